//! The commands of `examples/github-actions` do what its README says.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Platform, binary, guest};

const WORKFLOW: &str = include_str!("../../../examples/github-actions/wasmway.yml");

/// The steps that run `wasmway`, in their order.
fn commands() -> Vec<&'static str> {
    WORKFLOW
        .lines()
        .filter_map(|line| line.trim().strip_prefix("run: "))
        .filter(|run| run.starts_with("wasmway"))
        .collect()
}

/// Runs a step as GitHub does, in a project's folder; answers whether it went well, and with the run's summary.
fn step(platform: &Platform, project: &Path, command: &str, approved: &str) -> (bool, String) {
    let program = binary().get_program().to_owned();
    let folder = Path::new(&program).parent().unwrap().display().to_string();
    let summary = project.join("summary");
    let mut shell = Command::new("bash");
    shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", command]).current_dir(project).env_clear();
    shell.env("PATH", format!("{folder}:/usr/bin:/bin")).env("GITHUB_STEP_SUMMARY", &summary).env("APPROVED", approved);
    shell.env("WASMWAY_SERVER", platform.control_url()).env("WASMWAY_TOKEN", platform.token());
    let _ = fs::remove_file(&summary);
    let output = shell.output().unwrap();
    (output.status.success(), fs::read_to_string(summary).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_pull_request_is_planned_and_main_is_deployed() {
    assert!(WORKFLOW.contains("shell: bash\n"), "without it, GitHub's shell has no pipefail, and `tee` hides failures");
    let [plan, deploy] = commands()[..] else { panic!("a plan and a deploy: {:?}", commands()) };
    assert!(plan.contains("--plan") && deploy.contains("--wait"), "{plan} {deploy}");
    let platform = Platform::start().await;
    let project = platform.scratch().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("it.wasm"), guest("hello")).unwrap();
    let manifest = "name = \"it\"\n[build]\ncommand = \"exit 1\"\ncomponent = \"it.wasm\"\n";
    let write = |more: &str| fs::write(project.join("wasmway.toml"), format!("{manifest}{more}")).unwrap();

    write("");
    let (is_good, said) = step(&platform, &project, deploy, "");
    assert!(is_good && said.contains("deployed it v1"), "{said}");
    platform.get("/it/").await.expect(200);

    write("[outbound]\nallow = [\"https://api.example.com\"]\n");
    let (is_good, said) = step(&platform, &project, plan, "");
    assert!(!is_good && said.contains("https://api.example.com"), "{said}");
    let (is_good, said) = step(&platform, &project, plan, "yes");
    assert!(is_good && said.contains("https://api.example.com"), "{said}");
    assert_eq!(platform.function("it").await["version"], 1, "a plan deploys nothing");
    let (is_good, said) = step(&platform, &project, deploy, "");
    assert!(is_good && said.contains("deployed it v2"), "{said}");
}
