//! The platform in one file, and back.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::Value;

use crate::durability::{all, answers_as_before, with_history};
use crate::harness::{PATIENCE, binary, eventually};

fn wasmway(verb: &str, file: &Path, data_dir: &Path) -> Command {
    let mut command = binary();
    command.arg(verb).arg(file).arg("--data-dir").arg(data_dir);
    command
}

/// What a command says that must succeed.
#[track_caller]
fn said(output: Output) -> String {
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// What a command says that must fail.
#[track_caller]
fn refused(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    said
}

/// Makes the data directory what it was before anything was in it.
fn wipe(data_dir: &Path) {
    fs::remove_dir_all(data_dir).unwrap();
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_backup_under_load_has_everything_that_was_acknowledged_before() {
    let mut platform = with_history().await;
    let before = all(&platform).await;
    let token = platform.token();
    let file = platform.scratch().join("backup.tar");
    // Meanwhile everything goes on: calls, and deploys into another namespace, before the backup begins and after its end.
    let (deploys, over) = (Cell::new(0), Cell::new(false));
    let deploying = async {
        while !over.get() {
            platform.deploy("echo").namespace("load").manifest(&format!("[env]\nN = \"{}\"\n", deploys.get())).await;
            deploys.set(deploys.get() + 1);
            platform.get("/it/").await.expect(200);
        }
    };
    let backing_up = async {
        let more = async |count: u64| {
            let wanted = deploys.get() + count;
            eventually("deploys to go on", PATIENCE, async || (deploys.get() >= wanted).then_some(wanted)).await
        };
        let before = more(2).await;
        let mut command = wasmway("backup", &file, &platform.folder());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let after = deploys.get() + 1;
        more(2).await;
        over.set(true);
        (output, before..=after)
    };
    let ((), (output, versions)) = tokio::join!(deploying, backing_up);
    assert!(said(output).starts_with("backed up "), "it says what it holds");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "there are tokens in it");
    platform.upload("later", crate::harness::guest("hello")).await;

    let ended = platform.terminate().await;
    assert_eq!(ended.code(), Some(0));
    wipe(&platform.folder());
    let restored = said(wasmway("restore", &file, &platform.folder()).output().unwrap());
    assert!(restored.starts_with("restored "), "{restored}");
    platform.start_again().await;
    assert_eq!(platform.token(), token, "who had a token has it still");
    answers_as_before(&platform, &before).await;
    let load = platform.api(Method::GET, "/functions/echo?namespace=load").await.expect(200).json();
    assert!(versions.contains(&load["version"].as_u64().unwrap()), "{versions:?}: {load}");
    platform.get("/echo.load/").await.expect(200);
    platform.get("/later/").await.expect_problem(404, "unknown-function", "platform");
    platform.deploy("trap").await;
    platform.get("/trap/").await.expect(502);
}

#[tokio::test]
async fn a_backup_goes_through_pipes() {
    let mut platform = with_history().await;
    let before = all(&platform).await;
    platform.terminate().await;
    let data_dir = platform.folder();
    let backup = wasmway("backup", Path::new("-"), &data_dir).output().unwrap();
    assert!(backup.status.success());
    assert!(String::from_utf8(backup.stderr).unwrap().starts_with("backed up "));
    wipe(&data_dir);
    let mut restore = wasmway("restore", Path::new("-"), &data_dir);
    let mut restore = restore.stdin(Stdio::piped()).stdout(Stdio::piped()).args(["-o", "json"]).spawn().unwrap();
    std::io::Write::write_all(&mut restore.stdin.take().unwrap(), &backup.stdout).unwrap();
    let output = restore.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["functions"], &summary["versions"]), (&3.into(), &5.into()), "{summary}");
    platform.start_again().await;
    answers_as_before(&platform, &before).await;
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    let platform = with_history().await;
    let file = platform.scratch().join("backup.tar");
    said(wasmway("backup", &file, &platform.folder()).output().unwrap());
    let again = refused(wasmway("backup", &file, &platform.folder()).output().unwrap());
    assert!(again.contains("is there already"), "{again}");
    let in_use = refused(wasmway("restore", &file, &platform.folder()).output().unwrap());
    assert!(in_use.contains("another process uses the data directory"), "{in_use}");
    let other = platform.scratch().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine.txt"), "mine").unwrap();
    let not_empty = refused(wasmway("restore", &file, &other).output().unwrap());
    assert!(not_empty.contains("is not empty (mine.txt)"), "{not_empty}");
    assert_eq!(fs::read_to_string(other.join("mine.txt")).unwrap(), "mine");
    let nothing = refused(wasmway("backup", &platform.scratch().join("b.tar"), &other).output().unwrap());
    assert!(nothing.contains("there is no registry.db in "), "{nothing}");
    assert!(!platform.scratch().join("b.tar").exists());
    let other = platform.scratch().join("c.tar");
    let half = wasmway("backup", &other, &platform.folder()).env("WASMWAY_ARTIFACTS", "file:///tmp").output();
    assert!(refused(half.unwrap()).contains("without --database"));
    let away =
        wasmway("backup", &other, &platform.folder()).env("WASMWAY_DATABASE", "postgres://127.0.0.1:1/x").output();
    assert!(refused(away.unwrap()).contains("cannot be opened"));
}

#[tokio::test]
async fn a_backup_that_is_damaged_restores_nothing() {
    let platform = with_history().await;
    let file = platform.scratch().join("backup.tar");
    said(wasmway("backup", &file, &platform.folder()).output().unwrap());
    let whole = fs::read(&file).unwrap();
    let target = platform.scratch().join("target");
    let mut flipped = whole.clone();
    // In the first component, behind its head.
    flipped[2000] ^= 1;
    for (bytes, why) in [
        (&whole[..whole.len() / 2], "no whole backup"),
        (&whole[..whole.len() - 2048], "ends before backup.json"),
        (&flipped[..], "other bytes are stored under sha256:"),
        (b"not a tar archive at all", "no whole backup"),
        (b"", "ends before backup.json"),
    ] {
        fs::write(&file, bytes).unwrap();
        let said = refused(wasmway("restore", &file, &target).output().unwrap());
        assert!(said.contains(why) && said.contains("nothing was restored"), "{why}: {said}");
        let left: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["registry.lock"], "{why}");
    }
    fs::write(&file, &whole).unwrap();
    said(wasmway("restore", &file, &target).output().unwrap());
}

#[tokio::test]
async fn a_file_that_no_backup_has_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    // The library refuses to write such a name; one who means ill does not ask it.
    header.as_mut_bytes()[..15].copy_from_slice(b"../escaped.file");
    header.set_mode(0o600);
    header.set_cksum();
    archive.append(&header, &b"evil"[..]).unwrap();
    let file = home.path().join("backup.tar");
    fs::write(&file, archive.into_inner().unwrap()).unwrap();
    let said = refused(wasmway("restore", &file, &home.path().join("data")).output().unwrap());
    assert!(said.contains("it holds ../escaped.file, which no backup does"), "{said}");
    assert!(!home.path().join("escaped.file").exists());
}
