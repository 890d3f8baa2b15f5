#!/usr/bin/env python3
"""Checks what nothing else checks in deploy/ and docker-compose.yml. Needs PyYAML and promtool.

- Every PromQL expression of the Grafana dashboards parses.
- Every metric that a dashboard or a rule names is one that the platform declares, or a rule records.
- Every alert has a page in docs/runbooks with its three parts, and every page there an alert.
- docker-compose.yml mounts only files that exist, and publishes nothing but the data plane beyond loopback.
- What the load balancer and Prometheus look for are services of docker-compose.yml.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.rules.yml"))
RUNBOOKS = ROOT / "docs/runbooks"
RUNBOOK_PARTS = ["## What it means", "## Where to look", "## What to do"]
PUBLISHED_TO_ALL = {"8080:8080"}


def expressions(node):
    """Every value of a key `expr` anywhere in a JSON or YAML document."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from expressions(child)


def without_variables(expression):
    """The expression as Grafana would send it: durations and label values in place of its variables."""
    expression = re.sub(r"\$__(rate_interval|interval|range)", "1m", expression)
    return re.sub(r"\$\{?\w+\}?", "any", expression)


def parse_errors(found):
    """What promtool says about the expressions; it parses them as recording rules."""
    rules = [{"record": f"e{i}", "expr": without_variables(e)} for i, e in enumerate(found)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        run = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
    return [] if run.returncode == 0 else [run.stdout + run.stderr]


def undeclared_metrics(found, rules):
    """Metrics of the platform that no source file declares, and names with a colon that no rule records."""
    sources = "".join(
        file.read_text() for crate in ("gateway", "scheduler") for file in (ROOT / crate / "src").rglob("*.rs")
    )
    names = {name for e in found for name in re.findall(r"(?<![\w:])wasmway_\w+(?![\w:])", e)}
    for name in sorted(names):
        declared = re.sub(r"_(bucket|sum|count)$", "", name)
        if f'"{declared}"' not in sources:
            yield f"{name}: named in deploy/, declared nowhere"
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for name in sorted({name for e in found for name in re.findall(r"(?<!\w)\w+:wasmway_\w+:\w+", e)} - recorded):
        yield f"{name}: named in deploy/, recorded nowhere"


def runbook_errors(rules):
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    pages = {page.stem: page for page in RUNBOOKS.glob("*.md")}
    for name in sorted(alerts.keys() - pages.keys()):
        yield f"the alert {name} has no page docs/runbooks/{name}.md"
    for name in sorted(pages.keys() - alerts.keys()):
        yield f"docs/runbooks/{name}.md is of no alert"
    for name, rule in alerts.items():
        if not rule["annotations"].get("runbook_url", "").endswith(f"docs/runbooks/{name}.md"):
            yield f"the alert {name} does not name its page in runbook_url"
    for name, page in pages.items():
        text = page.read_text()
        if [line for line in text.splitlines() if line.startswith("#")] != [f"# {name}", *RUNBOOK_PARTS]:
            yield f"{page.relative_to(ROOT)} does not have the parts {', '.join(RUNBOOK_PARTS)}"


def compose_errors(compose):
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not (ROOT / source).exists():
                yield f"docker-compose.yml: {name} mounts {source}, which does not exist"
            if not source.startswith((".", "/")) and source not in compose["volumes"]:
                yield f"docker-compose.yml: {name} mounts {source}, which is not a declared volume"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:") and port not in PUBLISHED_TO_ALL:
                yield f"docker-compose.yml: {name} publishes {port} to other machines"


def address_errors(compose):
    """Hosts that are no services, and gateways and registries that are left out."""
    balancer = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = [t for job in prometheus["scrape_configs"] for config in job["static_configs"] for t in config["targets"]]
    found = {
        "haproxy.cfg": set(re.findall(r"^ *server \S+ ([\w-]+):\d+", balancer, re.MULTILINE)),
        "prometheus.yml": {target.split(":")[0] for target in targets} - {"localhost"},
    }
    nodes = {name for name in compose["services"] if name.startswith(("gateway-", "registry-"))}
    for file, hosts in found.items():
        if hosts != nodes:
            yield f"{file} has {sorted(hosts)}, docker-compose.yml {sorted(nodes)}"


def main():
    dashboard_expressions = [e for file in DASHBOARDS for e in expressions(json.loads(file.read_text()))]
    rule_expressions = [e for file in RULES for e in expressions(yaml.safe_load(file.read_text()))]
    rules = [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    errors = [
        *parse_errors(dashboard_expressions),
        *undeclared_metrics(dashboard_expressions + rule_expressions, rules),
        *runbook_errors(rules),
        *compose_errors(compose),
        *address_errors(compose),
    ]
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        sys.exit(1)
    print(f"{len(dashboard_expressions)} dashboard expressions, {len(rule_expressions)} rules: fine")


if __name__ == "__main__":
    main()
