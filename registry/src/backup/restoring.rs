//! A backup, back in a data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::Connection;
use tar::Entry;

use super::{ARTIFACTS, BackupError, BackupSummary, DATABASE, FORM, SUMMARY, TOKENS, blocking, failed};
use crate::digest::{Digest, DigestWriter};
use crate::durable::{create_private_folder, sync_folder};
use crate::registry::lock;

/// The database, until everything else is in its place and was looked through.
const UNCHECKED: &str = "registry.db.restoring";
/// Held while the directory is in use.
const LOCK: &str = "registry.lock";
/// Bytes of the summary: it is far below that.
const SUMMARY_BYTES: u64 = 64 << 10;

/// Puts a backup into the data directory, which must be empty or not there, and in nobody's use. When this returns, a
/// server can be started on it, and neither a crash nor a power cut loses it. What fails leaves the directory empty.
pub async fn restore<R: Read + Send + 'static>(data_dir: &Path, backup: R) -> Result<BackupSummary, BackupError> {
    // A folder that is somebody else's does not get a lock.
    if data_dir.is_dir() && !data_dir.join(LOCK).exists() {
        refuse_anything_in(data_dir)?;
    }
    let _lock = lock(data_dir)?;
    refuse_anything_in(data_dir)?;
    let restored = restore_into(data_dir, backup).await;
    if restored.is_err() {
        // All of it is ours, since there was nothing.
        clear(data_dir)?;
    }
    restored
}

async fn restore_into<R: Read + Send + 'static>(data_dir: &Path, backup: R) -> Result<BackupSummary, BackupError> {
    let folder = data_dir.to_owned();
    let summary = blocking(move || unpack(&folder, backup)).await?;
    let database = data_dir.join(UNCHECKED);
    check(&database, data_dir).await?;
    let place = data_dir.join(DATABASE);
    fs::rename(&database, &place).map_err(failed("make", &place))?;
    sync_folder(data_dir).map_err(failed("flush", data_dir))?;
    Ok(summary)
}

/// Refuses a folder that has anything in it but the lock.
fn refuse_anything_in(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let found = entry.map_err(failed("list", folder))?.file_name().to_string_lossy().into_owned();
        // A volume that was just made has the second.
        if found != LOCK && found != "lost+found" {
            return Err(BackupError::NotEmpty { path: folder.to_owned(), found });
        }
    }
    Ok(())
}

/// Removes what a restore that failed has made.
fn clear(folder: &Path) -> Result<(), BackupError> {
    for name in TOKENS.iter().chain(&[UNCHECKED]) {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    let artifacts = folder.join("artifacts");
    if artifacts.exists() {
        fs::remove_dir_all(&artifacts).map_err(failed("remove", &artifacts))?;
    }
    Ok(())
}

fn unpack(folder: &Path, backup: impl Read) -> Result<BackupSummary, BackupError> {
    let mut archive = tar::Archive::new(io::BufReader::new(backup));
    let mut summary = None;
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
        if summary.is_some() {
            return Err(BackupError::Damaged(format!("something comes after its end: {name}")));
        }
        if !entry.header().entry_type().is_file() {
            return Err(BackupError::Damaged(format!("{name} is no file")));
        }
        if name == SUMMARY {
            summary = Some(read_summary(&mut entry)?);
        } else if let Some(digest) = component(&name) {
            put_component(&folder.join(&name), &mut entry, &digest)?;
        } else if name == DATABASE {
            put(&folder.join(UNCHECKED), &mut entry, &mut io::sink())?;
        } else if TOKENS.contains(&name.as_str()) {
            put(&folder.join(name), &mut entry, &mut io::sink())?;
        } else {
            return Err(BackupError::Damaged(format!("it holds {name}, which no backup does")));
        }
    }
    let artifacts = folder.join(ARTIFACTS);
    create_private_folder(&artifacts).map_err(failed("create", &artifacts))?;
    sync_folder(&artifacts).map_err(failed("flush", &artifacts))?;
    summary.ok_or_else(|| BackupError::Damaged(format!("it ends before {SUMMARY}")))
}

fn unreadable(error: io::Error) -> BackupError {
    BackupError::Damaged(error.to_string())
}

fn read_summary(entry: &mut Entry<'_, impl Read>) -> Result<BackupSummary, BackupError> {
    let summary: BackupSummary = serde_json::from_reader(entry.take(SUMMARY_BYTES))
        .map_err(|error| BackupError::Damaged(format!("{SUMMARY}: {error}")))?;
    if summary.form != FORM {
        let detail =
            format!("its form is {}, and this program knows {FORM}; use the program that made it", summary.form);
        return Err(BackupError::Damaged(detail));
    }
    Ok(summary)
}

/// Whose component has that name in an archive, if it is one's.
fn component(name: &str) -> Option<Digest> {
    let digest = format!("sha256:{}", name.rsplit('/').next()?).parse().ok()?;
    (super::component_name(&digest) == name).then_some(digest)
}

fn put_component(path: &Path, entry: &mut impl Read, digest: &Digest) -> Result<(), BackupError> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    create_private_folder(&folder).map_err(failed("create", &folder))?;
    let mut found = DigestWriter::new();
    put(path, entry, &mut found)?;
    if found.finish() != *digest {
        return Err(BackupError::Damaged(format!("other bytes are stored under {digest}")));
    }
    sync_folder(&folder).map_err(failed("flush", &folder))
}

/// Writes a new file of this user alone, to the disk, and to `witness`.
fn put(path: &Path, entry: &mut impl Read, witness: &mut impl io::Write) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed("create", path))?;
    let mut both = Both { file: &mut file, witness };
    io::copy(entry, &mut both).map_err(failed("restore", path))?;
    file.sync_all().map_err(failed("flush", path))
}

struct Both<'a, W> {
    file: &'a mut File,
    witness: &'a mut W,
}

impl<W: io::Write> io::Write for Both<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.witness.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Looks whether the database is whole, and every component that it names is there.
async fn check(database: &Path, data_dir: &Path) -> Result<(), BackupError> {
    if !database.is_file() {
        return Err(BackupError::Damaged(format!("it holds no {DATABASE}")));
    }
    let mut connection = super::open(database).await?;
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await?;
    if found != ["ok"] {
        return Err(BackupError::Damaged(format!("{DATABASE}: {}", found.join("; "))));
    }
    let named = super::digests(&mut connection).await?;
    connection.close().await?;
    let is_there = |digest: &Digest| data_dir.join(super::component_name(digest)).is_file();
    match named.iter().find(|digest| !is_there(digest)) {
        Some(missing) => Err(BackupError::Damaged(format!("the component {missing} is missing"))),
        None => Ok(()),
    }
}
