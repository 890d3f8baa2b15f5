//! A developer's session with `wasmway dev`: what is saved is served, and what is broken breaks nothing.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::harness::{PATIENCE, Platform, binary, eventually, guest};

/// Its build takes the guest that the file `src/guest` names.
const MANIFEST: &str = "name = \"greet\"\n[build]\ncommand = \"mkdir -p out && cp \\\"$(cat src/guest)\\\" out/greet.wasm\"\n\
                        component = \"out/greet.wasm\"\n";

/// A project that is being developed.
struct Project {
    platform: Platform,
    folder: tempfile::TempDir,
}

impl Project {
    /// Starts `wasmway dev` on `path` of a folder with these files.
    async fn start(path: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            write(&folder.path().join(name), content);
        }
        let path = folder.path().join(path).display().to_string();
        let builder = Platform::builder().role("dev").arg(path).env("PATH", "/usr/bin:/bin");
        Self { platform: builder.start().await, folder }
    }

    /// One that serves the guest `hello`.
    async fn of_hello() -> Self {
        let guest = guest_file("hello").into_bytes();
        let project = Self::start(".", &[("wasmway.toml", MANIFEST.into()), ("src/guest", guest)]).await;
        project.answers("Hello from Wasmway!\n").await;
        project
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.folder.path().join(name), content.as_ref());
    }

    fn said(&self) -> String {
        self.platform.process().printed()
    }

    async fn says(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            assert!(Instant::now() < end, "{text:?} is not in\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answers(&self, text: &str) {
        let right = async || (self.platform.get("/greet/").await.text() == text).then_some(());
        eventually(&format!("the answer {text:?}"), PATIENCE, right).await;
    }

    fn builds(&self) -> usize {
        self.said().matches(" building ").count()
    }
}

fn write(path: &std::path::Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The path of a built guest, for a build to copy.
fn guest_file(name: &str) -> String {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests");
    fs::canonicalize(format!("{guests}/{name}.wasm")).unwrap().display().to_string()
}

#[tokio::test]
async fn what_is_saved_is_served() {
    let project = Project::of_hello().await;
    project.says("serving greet v1  http://").await;
    project.says("GET / 200").await;
    project.write("src/guest", guest_file("hello-std"));
    project.answers("Hello from std\n").await;
    for said in ["changed src/guest", "serving greet v2", "stdout hello stdout", "stderr hello stderr"] {
        project.says(said).await;
    }

    // A folder that is new is a part of the project, what is ignored is not, and to save without a change is to do nothing.
    project.write(".gitignore", "/ignored\n");
    project.says("changed .gitignore").await;
    project.write("new/deep/file", "x");
    project.says("changed new/deep/file").await;
    let builds = 4;
    eventually("the fourth build", PATIENCE, async || (project.builds() == builds).then_some(())).await;
    for name in ["ignored", "target/a", "node_modules/a/b", ".git/index", "src/.guest.swp"] {
        project.write(name, "x");
    }
    project.write("new/deep/file", "x");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(project.builds(), builds, "{}", project.said());
}

#[tokio::test]
async fn what_is_broken_leaves_the_last_version_in_place() {
    let project = Project::of_hello().await;
    project.write("src/guest", "/nowhere.wasm");
    project.says("the build failed after").await;
    project.says("v1 goes on serving").await;
    project.answers("Hello from Wasmway!\n").await;

    project.write("wasmway.toml", MANIFEST.replace("[build]", "[limits]\nmemory = \"9TiB\"\n[build]"));
    project.says("limits.memory").await;
    project.write("wasmway.toml", "name = ");
    project.says("wasmway.toml cannot be used").await;
    project.write("src/guest", guest_file("trap"));
    project.write("wasmway.toml", MANIFEST);
    project.says("serving greet v2").await;
    project.platform.get("/greet/down").await.expect(502);
    for said in ["GET /down 502", "trap", "unreachable", "fall_through_the_floor"] {
        project.says(said).await;
    }
    project.write("src/guest", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    project.says("not-a-component").await;
    project.write("src/guest", guest_file("hello"));
    project.answers("Hello from Wasmway!\n").await;
}

#[tokio::test]
async fn a_component_that_something_else_builds_is_watched() {
    let project = Project::start("greet.wasm", &[("greet.wasm", guest("hello"))]).await;
    project.answers("Hello from Wasmway!\n").await;
    // As linkers do: written beside it, then moved.
    project.write("greet.wasm.new", guest("hello-std"));
    fs::rename(project.folder.path().join("greet.wasm.new"), project.folder.path().join("greet.wasm")).unwrap();
    project.answers("Hello from std\n").await;
    project.write("wasmway.toml", "[limits]\nresponse_body = \"5B\"\n");
    let refused = async || (project.platform.get("/greet/").await.status == 502).then_some(());
    eventually("the new limit", PATIENCE, refused).await;
    assert_eq!(project.builds(), 0);
}

#[tokio::test]
async fn a_newer_save_ends_an_older_build() {
    let manifest = "name = \"greet\"\n[build]\ncommand = \"if grep -q slow src; then sleep 600; fi; cp $(cat guest) greet.wasm\"\n\
                    component = \"greet.wasm\"\n";
    let guest = guest_file("hello").into_bytes();
    let files = [("wasmway.toml", manifest.into()), ("src", b"slow".to_vec()), ("guest", guest)];
    let project = Project::start(".", &files).await;
    project.says("building").await;
    project.write("src", "quick");
    project.says("changed src; starting over").await;
    project.answers("Hello from Wasmway!\n").await;
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_running() {
    let manifest =
        "name = \"greet\"\n[build]\ncommand = \"echo $$ > pid; sleep 600; true\"\ncomponent = \"greet.wasm\"\n";
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("wasmway.toml"), manifest.as_bytes());
    let mut command = binary();
    command.args(["dev", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).current_dir(folder.path());
    command.env("HOME", folder.path()).env("PATH", "/usr/bin:/bin").stdout(Stdio::null()).stderr(Stdio::null());
    let mut developing = command.spawn().unwrap();
    let building: PathBuf = folder.path().join("pid");
    let build = eventually("a build", PATIENCE, async || fs::read_to_string(&building).ok()?.trim().parse().ok()).await;
    let build = Pid::from_raw(build).unwrap();
    assert!(test_kill_process(build).is_ok());
    // Its data is in the project, where no version control takes it.
    let data = folder.path().join(".wasmway");
    assert_eq!(fs::read_to_string(data.join(".gitignore")).unwrap(), "*\n");
    assert!(data.join("run.json").exists());
    // Commands in the project find it.
    let listed = binary().args(["list"]).env("HOME", folder.path()).current_dir(folder.path()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));

    kill_process(Pid::from_child(&developing), Signal::INT).unwrap();
    let status = eventually("the end", PATIENCE, async || developing.try_wait().unwrap()).await;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(test_kill_process(build).is_err(), "the build still runs");
    assert!(!data.join("run.json").exists());
}
