//! docs/mistakes.md says what is so: each of its commands is run, and answered as it is written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{PATIENCE, Platform, binary, empty_component, guest};

const DOCUMENT: &str = include_str!("../../../docs/mistakes.md");
const MISTAKES: usize = 10;

/// Artifacts go to a disk of 2 MiB, where the machine lets us make one.
const SMALL_DISK_NEEDS: &str = "unshare --user --map-root-user --mount mount -t tmpfs -o size=2m tmpfs /mnt";
const SMALL_DISK: &str = "mkdir -p \"$DATA/artifacts\" && exec unshare --user --map-root-user --mount /bin/sh -c \
    'mount -t tmpfs -o size=2m tmpfs \"$DATA/artifacts\" && exec \"$0\" \"$@\"' \"$0\" \"$@\"";

/// A command of the document, and what it prints.
struct Step {
    command: String,
    answer: String,
}

/// The commands below the heading `## NUMBER. ...`.
fn steps(number: usize) -> Vec<Step> {
    let heading = format!("\n## {number}. ");
    let section = DOCUMENT.split_once(&heading).unwrap_or_else(|| panic!("no mistake {number}")).1;
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```console\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0);
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1)).map(|step| {
        let (command, answer) = step.split_once('\n').expect("an answer");
        Step { command: command.to_owned(), answer: answer.trim_end().to_owned() }
    });
    let steps: Vec<_> = commands.collect();
    assert!(!steps.is_empty(), "mistake {number} has no command");
    steps
}

/// Somebody who follows the document.
struct Reader<'a> {
    platform: &'a Platform,
    /// Whether this is who started the platform, and so may read its token.
    is_owner: bool,
}

impl Reader<'_> {
    /// Runs a command of the document, with our ports in place of its own, and shows what it prints with those of the
    /// document.
    fn run(&self, command: &str) -> String {
        let (data, control) = (self.platform.data_address(), self.platform.control_address());
        let line = command.replace("127.0.0.1:8080", data).replace("127.0.0.1:8081", control);
        let program = binary().get_program().to_owned();
        let folder = Path::new(&program).parent().unwrap().display();
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec 2>&1; {line}")).current_dir(self.platform.scratch()).env_clear();
        shell.env("PATH", format!("{folder}:/usr/bin:/bin")).env("HOME", self.platform.scratch());
        if self.is_owner {
            shell.env("WASMWAY_DATA_DIR", self.platform.folder());
        }
        let printed = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        printed.replace(data, "127.0.0.1:8080").replace(control, "127.0.0.1:8081").trim_end().to_owned()
    }

    /// Makes a mistake as the document has it.
    async fn makes(&self, number: usize) {
        for Step { command, answer } in steps(number) {
            // What a request leaves in the log comes a moment after its answer.
            let limit = if command.starts_with("wasmway logs") { PATIENCE } else { std::time::Duration::ZERO };
            let started = std::time::Instant::now();
            loop {
                let printed = self.run(&command);
                if is_as_written(&answer, &printed) {
                    break;
                }
                assert!(
                    started.elapsed() < limit,
                    "{number}. {command}\n--- documented\n{answer}\n--- said\n{printed}"
                );
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whether a text is the documented one, in which `...` stands for anything.
fn is_as_written(documented: &str, said: &str) -> bool {
    let mut parts = documented.split("...");
    let Some(mut rest) = parts.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let mut ends_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        ends_open = part.is_empty();
    }
    ends_open || rest.is_empty()
}

/// The files that the document speaks of.
fn files_of_the_document(home: &Path) {
    let write = |path: &str, bytes: &[u8]| {
        let file = home.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    };
    write("target/release/libhello.so", b"\x7fELF\x02\x01\x01\0 and so on");
    write("target/wasm32-unknown-unknown/release/hello.wasm", b"\0asm\x01\0\0\0");
    write("empty.wasm", &empty_component());
    write("hello.wasm", &guest("hello"));
    for (name, component, manifest) in [
        ("shop", "hello", "[[routes]]\nhost = \"example.com\"\npath = \"/api\"\n"),
        ("orders", "hello", "[[routes]]\nhost = \"example.com\"\npath = \"/api\"\n"),
        ("hungry", "memory", "[limits]\nmemory = \"2MiB\"\n"),
        ("crash", "sdk", ""),
        ("caller", "outbound", ""),
    ] {
        write(&format!("{name}/{name}.wasm"), &guest(component));
        let build = format!("name = \"{name}\"\n[build]\ncomponent = \"{name}.wasm\"\n");
        write(&format!("{name}/wasmway.toml"), format!("{build}{manifest}").as_bytes());
    }
}

#[tokio::test]
async fn every_mistake_is_answered_as_the_document_says() {
    let platform = Platform::start().await;
    files_of_the_document(platform.scratch());
    let owner = Reader { platform: &platform, is_owner: true };
    for name in ["shop", "hungry", "crash", "caller"] {
        owner.run(&format!("wasmway deploy {name}/"));
    }
    let stranger = Reader { platform: &platform, is_owner: false };
    for number in 1..MISTAKES {
        let reader = if number == 5 { &stranger } else { &owner };
        reader.makes(number).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_as_the_document_says() {
    let can = Command::new("/bin/sh").args(["-c", SMALL_DISK_NEEDS]).output().is_ok_and(|it| it.status.success());
    if !can {
        println!("LEFT OUT: this machine lets nobody mount a small disk");
        return;
    }
    let platform = Platform::builder().after(SMALL_DISK).start().await;
    let mut large = guest("hello");
    // A custom section without a name, of 3 MiB.
    large.extend([0, 0x81, 0x80, 0xc0, 0x01, 0]);
    large.resize(large.len() + (3 << 20), 0);
    fs::write(platform.scratch().join("large.wasm"), large).unwrap();
    Reader { platform: &platform, is_owner: true }.makes(MISTAKES).await;
}

#[test]
fn the_table_has_every_mistake() {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| ["));
    let named: Vec<_> = rows.map(|row| row.split(['[', ']']).nth(1).unwrap()).collect();
    let headings = DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(". "));
    assert_eq!(named, headings.map(|(_, title)| title).collect::<Vec<_>>());
    assert_eq!(named.len(), MISTAKES);
}

#[test]
fn three_dots_stand_for_anything() {
    for (documented, said, is_it) in [
        ("a ... c", "a b c", true),
        ("a ...", "a b c", true),
        ("a ... c", "a b c d", false),
        ("a", "a b", false),
        ("b ...", "a b", false),
        ("a ... d", "a b c", false),
    ] {
        assert_eq!(is_as_written(documented, said), is_it, "{documented:?} {said:?}");
    }
}
