//! A process can only be locked in once, and never let out: the tests run themselves again, and the second process goes
//! to jail and says what it could do there.

use super::{enter, linux};
use std::{
    collections::{BTreeSet, HashMap},
    env, fs, io,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Everything that is tried.
const ALL: [&str; 11] = [
    "connect",
    "create",
    "exec",
    "list",
    "open",
    "raise-limits",
    "read-open",
    "remove",
    "send",
    "signal",
    "write-open",
];
/// What landlock by itself cannot deny: it knows no UDP, no limits, and nothing that is open already.
const NOT_OF_LANDLOCK: [&str; 4] = ["raise-limits", "read-open", "send", "write-open"];

/// A folder with a file in it, gone with the test.
struct Outside(PathBuf);

impl Outside {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("wasmway-jail-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("there"), "secret").unwrap();
        Self(folder)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs [`prisoner`] in a process of its own.
fn lock_in(behind: &str, outside: &Outside, listener: &TcpListener) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "jail::tests::prisoner", "--ignored", "--nocapture"])
        .env("PRISONER_BEHIND", behind)
        .env("PRISONER_OUTSIDE", &outside.0)
        .env("PRISONER_PARENT", std::process::id().to_string())
        .env("PRISONER_PORT", listener.local_addr().unwrap().port().to_string())
        .output()
        .unwrap()
}

/// What was denied behind `behind`.
fn denied(behind: &str) -> BTreeSet<String> {
    let outside = Outside::new(behind);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = lock_in(behind, &outside, &listener);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let tried: HashMap<&str, &str> =
        said.lines().filter_map(|line| line.strip_prefix("tried ")?.split_once(": ")).collect();
    assert_eq!(tried.len(), ALL.len(), "{said}");
    assert!(said.contains("\nworked on\n"), "{said}");
    assert!(outside.0.join("there").exists() || tried["remove"] == "done", "{said}");
    tried.iter().filter(|(_, how)| **how != "done").map(|(what, _)| (*what).to_owned()).collect()
}

fn set(names: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn nothing_is_denied_without_a_jail() {
    assert_eq!(denied("nothing"), set([]), "what is tried must be what works elsewhere");
}

#[test]
fn the_whole_jail_denies_everything() {
    assert_eq!(denied("everything"), set(ALL));
}

#[test]
fn seccomp_alone_denies_everything() {
    assert_eq!(denied("seccomp"), set(ALL));
}

#[test]
fn landlock_alone_denies_files_connections_and_signals() {
    // It binds the thread that asks for it, and this one ends.
    match std::thread::spawn(linux::deny_files_and_network).join().unwrap() {
        Ok(()) => assert_eq!(denied("landlock"), set(ALL.into_iter().filter(|what| !NOT_OF_LANDLOCK.contains(what)))),
        Err(why) => println!("nothing to show on this kernel: {why}"),
    }
}

#[test]
fn a_prisoner_can_still_die() {
    let output = lock_in("abort", &Outside::new("abort"), &TcpListener::bind("127.0.0.1:0").unwrap());
    let abort = rustix::process::Signal::ABORT.as_raw();
    assert_eq!(output.status.signal(), Some(abort), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "goes to jail: the other tests run it in a process of its own"]
fn prisoner() {
    let outside = PathBuf::from(env::var_os("PRISONER_OUTSIDE").unwrap());
    let port = env::var("PRISONER_PORT").unwrap().parse().unwrap();
    let (mut input, mut output) = (open(&outside, "input"), open(&outside, "output"));
    let mut left_open = open(&outside, "left-open");
    match env::var("PRISONER_BEHIND").unwrap().as_str() {
        "nothing" => {}
        "landlock" => linux::deny_files_and_network().unwrap(),
        "seccomp" => linux::deny_system_calls(&input, &output).unwrap(),
        "everything" => assert!(!enter(&input, &output).holds.is_empty()),
        "abort" => {
            enter(&input, &output);
            std::process::abort();
        }
        other => panic!("no such jail: {other}"),
    }
    for what in ALL {
        let how =
            attempt(what, &outside, &mut left_open, port).map_or_else(|error| error.to_string(), |()| "done".into());
        println!("tried {what}: {how}");
    }
    work(&mut input, &mut output);
    println!("\nworked on");
    // Before the harness does what it could do outside.
    std::process::exit(0);
}

fn open(outside: &Path, name: &str) -> fs::File {
    fs::write(outside.join(name), name).unwrap();
    fs::File::options().read(true).append(true).open(outside.join(name)).unwrap()
}

fn attempt(what: &str, outside: &Path, left_open: &mut fs::File, port: u16) -> io::Result<()> {
    match what {
        "open" => fs::read("/etc/passwd").map(drop),
        "read-open" => left_open.read(&mut [0]).map(drop),
        "write-open" => left_open.write(b"x").map(drop),
        "list" => fs::read_dir("/").map(drop),
        "create" => fs::write(outside.join("new"), "x"),
        "remove" => fs::remove_file(outside.join("there")),
        "connect" => TcpStream::connect(("127.0.0.1", port)).map(drop),
        "send" => UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", port)).map(drop),
        "exec" => Command::new("/bin/true").status().map(drop),
        "signal" => {
            let parent = rustix::process::Pid::from_raw(env::var("PRISONER_PARENT").unwrap().parse().unwrap()).unwrap();
            Ok(rustix::process::test_kill_process(parent)?)
        }
        "raise-limits" => {
            use rustix::process::{Resource, Rlimit, setrlimit};
            Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
        }
        other => panic!("nobody knows how to {other}"),
    }
}

/// What compiling takes: memory, threads, randomness, and the files that are open.
fn work(input: &mut fs::File, output: &mut fs::File) {
    let count = || vec![1_u8; 32 << 20].iter().filter(|byte| **byte == 1).count();
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(count)).collect();
    let bytes: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let known: HashMap<_, _> = [(bytes, true)].into();
    assert!(known[&(128 << 20)]);
    std::thread::sleep(std::time::Duration::from_millis(1));
    let mut read = Vec::new();
    input.read_to_end(&mut read).unwrap();
    output.write_all(&read).unwrap();
}
