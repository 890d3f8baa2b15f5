#!/usr/bin/env python3
"""Checks the Helm chart without a cluster. Needs kubernetes-validate and helm.

For each of the chart's ci/*-values.yaml:
- helm lints and renders it.
- What is rendered fits the schemas of the oldest Kubernetes that the chart allows, and of the newest known.
- What names something finds it: selectors find pods, ports, volumes, Secrets and accounts are there.
- Pods have no privileges, and time to drain; functions do not reach the metadata service.
- The Prometheus rules are those of deploy/prometheus, the dashboards those of deploy/grafana.

Values that are missing or unknown are refused, by name. The chart's appVersion is the platform's.
"""

import json
import re
import subprocess
import sys
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/wasmway"
RULES = ROOT / "deploy/prometheus/rules/wasmway.rules.yml"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
VALUE_SETS = sorted((CHART / "ci").glob("*-values.yaml"))
COMPLETE = CHART / "ci/required-values.yaml"
REQUIRED = ["image.repository", "database.existingSecret", "artifacts.url", "artifacts.existingSecret"]
REFUSED = [
    "gateway.replica=3",
    "gateway.settings.listen=0.0.0.0:80",
    "artifacts.url=/var/lib",
    "registry.replicas=0",
    "ingress.enabled=true",
]
# Where a node of a cloud finds its credentials.
METADATA_SERVICES = [ip_address("169.254.169.254"), ip_address("fd00:ec2::254")]
# Kinds of the Prometheus operator: their schemas are not Kubernetes' own.
OPERATOR = "monitoring.coreos.com/"


def helm(*arguments):
    return subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True)


def render(*arguments):
    return helm("template", "test", CHART, "--namespace", "wasmway", *arguments)


def missing_values_errors():
    """Leaving out a required value, or giving an unknown one, must be an error that names it."""
    for value in REQUIRED:
        run = render("--values", COMPLETE, "--set", f"{value}=")
        if run.returncode == 0 or f"{value} is required" not in run.stderr:
            yield f"without {value}, helm does not say that it is required: {run.stderr}"
    for value in REFUSED:
        run = render("--values", COMPLETE, "--set", value)
        if run.returncode == 0 or "schema" not in run.stderr:
            yield f"{value} is not refused by values.schema.json"


def schema_errors(resource, versions):
    if resource["apiVersion"].startswith(OPERATOR):
        return
    for version in versions:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"


def pods(resources):
    """Each pod that the resources make: what it is called, its metadata and its spec."""
    for resource in resources:
        name = f"{resource['kind']} {resource['metadata']['name']}"
        if resource["kind"] == "Pod":
            yield name, resource["metadata"], resource["spec"], set()
        elif resource["kind"] in ("Deployment", "StatefulSet"):
            spec = resource["spec"]
            claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
            yield name, spec["template"]["metadata"], spec["template"]["spec"], claims


def keys_under(node, key):
    """Every value of `key` anywhere in a document."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from keys_under(child, key)


def finds(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def selector_errors(resources):
    """Selectors that find none of our pods, and ports that the pods that are found do not have."""
    labels = {name: metadata["labels"] for name, metadata, _, _ in pods(resources)}
    ports = {
        name: {port[key] for container in spec["containers"] for port in container.get("ports", []) for key in port}
        for name, _, spec, _ in pods(resources)
    }
    for resource in resources:
        if resource["apiVersion"].startswith(OPERATOR):
            continue
        name = f"{resource['kind']} {resource['metadata']['name']}"
        spec = resource.get("spec", {})
        spread = list(keys_under(spec, "topologySpreadConstraints"))
        wanted = [(spec, "selector"), (spec, "podSelector"), (spread, "labelSelector")]
        selectors = [s.get("matchLabels", s) for node, key in wanted for s in keys_under(node, key)]
        for selector in selectors:
            if not any(finds(selector, found) for found in labels.values()):
                yield f"{name}: {selector} finds no pod"
        served = [port["targetPort"] for port in spec["ports"]] if resource["kind"] == "Service" else []
        allowed = [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
        for pod, found in labels.items():
            if (served or allowed) and finds(selectors[0], found):
                for port in {*served, *allowed} - ports[pod]:
                    yield f"{name}: {pod} has no port {port}"


def policy_errors(resources):
    """Functions must not reach the metadata service, and only those who are named reach a control port."""
    for policy in (r for r in resources if r["kind"] == "NetworkPolicy"):
        name = policy["metadata"]["name"]
        for rule in policy["spec"]["ingress"]:
            if not rule.get("from") and any(port["port"] == 8081 for port in rule["ports"]):
                yield f"NetworkPolicy {name}: the control port is open to everybody"
        for block in keys_under(policy["spec"].get("egress", []), "ipBlock"):
            for address in METADATA_SERVICES:
                excepted = any(address in ip_network(cidr) for cidr in block.get("except", []))
                if address in ip_network(block["cidr"]) and not excepted:
                    yield f"NetworkPolicy {name}: {address} can be reached"


def monitor_errors(resources):
    """The ServiceMonitor must find gateways and registries, each once."""
    for monitor in (r for r in resources if r["kind"] == "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        port = monitor["spec"]["endpoints"][0]["port"]
        roles = sorted(
            service["metadata"]["labels"]["app.kubernetes.io/component"]
            for service in resources
            if service["kind"] == "Service" and finds(selector, service["metadata"]["labels"])
            for service_port in service["spec"]["ports"]
            if service_port["name"] == port
        )
        if roles != ["gateway", "registry"]:
            yield f"ServiceMonitor finds {roles}"


def reference_errors(resources, values):
    """Names of other resources that nobody rendered and no value gave."""
    there = {(resource["kind"], resource["metadata"]["name"]) for resource in resources}
    if len(there) != len(resources):
        yield "two resources have one name"
    given = {("Secret", name) for name in keys_under(values, "existingSecret")}
    for name, _, spec, claims in pods(resources):
        secrets = {("Secret", ref["name"]) for ref in keys_under(spec, "secretKeyRef")}
        secrets |= {("Secret", secret["secretName"]) for secret in keys_under(spec, "secret")}
        account = {("ServiceAccount", spec["serviceAccountName"])} - {("ServiceAccount", "default")}
        for kind, missing in sorted((secrets | account) - there - given):
            yield f"{name}: no {kind} {missing}"
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims
        mounts = {mount["name"] for mounts in keys_under(spec, "volumeMounts") for mount in mounts}
        if volumes != mounts:
            yield f"{name}: volumes {sorted(volumes)}, mounted {sorted(mounts)}"
    for resource in resources:
        for target in keys_under(resource, "scaleTargetRef"):
            if (target["kind"], target["name"]) not in there:
                yield f"the autoscaler's {target['kind']} {target['name']} is not there"
        for backend in keys_under(resource, "backend"):
            if ("Service", backend["service"]["name"]) not in there:
                yield f"the ingress's service {backend['service']['name']} is not there"


def privilege_errors(resources):
    for name, _, spec, _ in pods(resources):
        security = spec["securityContext"]
        if not security["runAsNonRoot"] or security["seccompProfile"] != {"type": "RuntimeDefault"}:
            yield f"{name} may run as root, or without seccomp"
        if spec["automountServiceAccountToken"]:
            yield f"{name} gets a token for the Kubernetes API"
        for container in spec["containers"]:
            if container["securityContext"] != {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }:
                yield f"{name}: container {container['name']} has privileges"


def drain_errors(resources):
    """A pod that is killed before it has drained loses requests."""
    for name, _, spec, _ in pods(resources):
        for container in spec["containers"]:
            environment = {variable["name"]: variable.get("value") for variable in container["env"]}
            if name.startswith("Pod "):
                continue
            drain = int(environment["WASMWAY_DRAIN_TIMEOUT"].removesuffix("s"))
            sleep = sum(action["seconds"] for action in keys_under(container.get("lifecycle"), "sleep"))
            if spec["terminationGracePeriodSeconds"] <= sleep + drain:
                yield f"{name} is killed after {spec['terminationGracePeriodSeconds']}s, before it has drained"


def rule_errors(resources):
    for rules in (r for r in resources if r["kind"] == "PrometheusRule"):
        if rules.get("spec") != yaml.safe_load(RULES.read_text()):
            yield f"PrometheusRule {rules['metadata']['name']} has not what is in {RULES.relative_to(ROOT)}"


def dashboard_errors(resources):
    there = {file.name: json.loads(file.read_text()) for file in DASHBOARDS.glob("*.json")}
    for resource in (r for r in resources if r["metadata"]["name"].endswith("-dashboards")):
        if {name: json.loads(text) for name, text in resource["data"].items()} != there:
            yield f"ConfigMap {resource['metadata']['name']} has not what is in {DASHBOARDS.relative_to(ROOT)}"


def value_set_errors(file, versions):
    """Everything that is wrong with the chart under one set of values, and the number of resources that it makes."""
    lint = helm("lint", "--strict", CHART, "--values", file)
    rendered = render("--values", file)
    if lint.returncode != 0 or rendered.returncode != 0:
        return [lint.stdout + lint.stderr + rendered.stderr], 0
    resources = [document for document in yaml.safe_load_all(rendered.stdout) if document]
    errors = [
        f"{resource['kind']} {resource['metadata']['name']}: {error}"
        for resource in resources
        for error in schema_errors(resource, versions)
    ]
    # What follows reads the resources, and relies on their form.
    if not errors:
        errors = [
            *selector_errors(resources),
            *policy_errors(resources),
            *monitor_errors(resources),
            *reference_errors(resources, yaml.safe_load(file.read_text())),
            *privilege_errors(resources),
            *drain_errors(resources),
            *rule_errors(resources),
            *dashboard_errors(resources),
        ]
    return [f"{file.name}: {error}" for error in errors], len(resources)


def main():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    versions = [re.search(r"\d+\.\d+", chart["kubeVersion"])[0], kubernetes_validate.latest_version()]
    errors = list(missing_values_errors())
    platform = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if chart["appVersion"] != platform:
        errors.append(f"Chart.yaml: appVersion is {chart['appVersion']}, the platform's is {platform}")
    counts = []
    for file in VALUE_SETS:
        found, count = value_set_errors(file, versions)
        errors += found
        counts.append(f"{file.name} {count}")
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        sys.exit(1)
    print(f"resources that fit Kubernetes {' and '.join(versions)}: {', '.join(counts)}")


if __name__ == "__main__":
    main()
