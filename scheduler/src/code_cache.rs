//! Native code on disk, one file per component and engine, made again whenever it is not what we wrote.
//!
//! # Safety
//! This is the one file of Wasmway with `unsafe` code. Loading native code means trusting it: wasmtime
//! checks that the file is meant for this engine, not that its instructions are harmless. What makes the
//! call sound is that a file is loaded only when
//! 1. it lies in a folder that only the user of the service can enter (mode 0700), and
//! 2. a keyed MAC (HMAC-SHA256) over all of its bytes, made when our own compiler wrote it, still
//!    matches, computed over the very file that is then mapped, or that was mapped before and has not been touched since
//!    as the kernel says (inode, size, time of change).
//!
//! Nothing that was uploaded can be such a file: uploads are compiled, never loaded.
#![allow(unsafe_code)]

use crate::{component::World, engine};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::Sha256;
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};
use wasmtime::{Engine, Module, Precompiled, component::Component};

/// How the names of files begin that are being made; what a process that was killed has left of them is removed.
const SCRATCH: &str = "making-";

/// The folder of native code.
pub(crate) struct CodeCache {
    folder: PathBuf,
    /// Of the code of each engine, in it.
    of_engines: [PathBuf; 2],
    key: [u8; 32],
    /// Files that were found to be what we wrote, since this process began.
    verified: Mutex<HashSet<Identity>>,
}

/// Verified files that are remembered; past it all are forgotten, and verified again.
const VERIFIED: usize = 1 << 16;

/// A file as it was at a moment. Nobody can write to a file without changing it: of its times one is the kernel's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let now = file.metadata()?;
        Ok(Self {
            file: (now.dev(), now.ino()),
            bytes: now.len(),
            modified: (now.mtime(), now.mtime_nsec()),
            changed: (now.ctime(), now.ctime_nsec()),
        })
    }
}

/// Names the code of one component for one engine.
#[derive(Clone, Copy)]
pub(crate) struct CodeId<'a> {
    pub(crate) digest: &'a [u8; 32],
    pub(crate) world: World,
    pub(crate) engine: &'a Engine,
}

/// Native code, ready to be linked.
pub(crate) enum Code {
    Component(Component),
    /// Of a [flat](crate::flat) component.
    Flat(Module),
}

impl CodeCache {
    /// Opens the cache in `folder`, which is made if it is not there, for the engines of WASI 0.2 and of 0.3. Code of
    /// other engines is removed.
    pub(crate) fn open(folder: &Path, engines: [&Engine; 2]) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let key = read_or_make_key(&folder.join("key"))?;
        let current = engines.map(engine::fingerprint);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let known = current.iter().any(|name| entry.file_name() == name.as_str());
            if entry.file_type()?.is_dir() && !known {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name().as_encoded_bytes().starts_with(SCRATCH.as_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        let of_engines = current.map(|name| folder.join(name));
        for folder in &of_engines {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { folder: folder.to_owned(), of_engines, key, verified: Mutex::default() })
    }

    /// Whether there is a file of that code; whether it is good shows when it is loaded.
    pub(crate) fn has(&self, id: CodeId<'_>) -> bool {
        self.path(id).exists()
    }

    fn path(&self, id: CodeId<'_>) -> PathBuf {
        let digest: String = id.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let [of_02, of_03] = &self.of_engines;
        let folder = if id.world == World::Http02 { of_02 } else { of_03 };
        folder.join(format!("{digest}-{}.cwasm", id.world))
    }

    /// A name for code that is being made, in the same file system.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.join(format!("{SCRATCH}{:016x}", rand::rng().next_u64()))
    }

    /// Takes over the code that the compiler wrote to `scratch`.
    pub(crate) fn adopt(&self, id: CodeId<'_>, scratch: &Path) -> io::Result<()> {
        let path = self.path(id);
        let mac = self.mac(&mut File::open(scratch)?)?;
        // Code and MAC go in by rename, so that neither is ever half there. Cut off between the two
        // they do not match, and the code is made again.
        let mac_scratch = scratch.with_extension("mac");
        private_file(&mac_scratch)?.write_all(&mac)?;
        fs::rename(&mac_scratch, path.with_extension("mac"))?;
        fs::rename(scratch, &path)
    }

    /// The component's code, mapped, in the form that the compiler chose; `None` when there is none that can be trusted. What can be trusted and yet does
    /// not load is too large for the engine's pool: the error says in what.
    pub(crate) fn load(&self, id: CodeId<'_>) -> Result<Option<Code>, String> {
        let path = self.path(id);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(distrust(&path, &error.to_string())),
        };
        match self.verify(&mut file, &path) {
            Ok(true) => {}
            Ok(false) => return Ok(distrust(&path, "it is not what was written")),
            Err(error) => return Ok(distrust(&path, &error.to_string())),
        }
        let verified = path_of_open(&file, &path);
        let form = Engine::detect_precompiled_file(&verified).ok().flatten();
        // SAFETY: see the head of this file; `verified` names the open file that was just checked.
        let loaded = unsafe {
            match form {
                Some(Precompiled::Module) => Module::deserialize_file(id.engine, verified).map(Code::Flat),
                _ => Component::deserialize_file(id.engine, verified).map(Code::Component),
            }
        };
        loaded.map(Some).map_err(|error| format!("{error:#}"))
    }

    /// Removes the code of components that `is_needed` does not name, if it has been there for longer than `kept`. What is
    /// in use stays in memory. Answers how many bytes are gone.
    pub(crate) fn forget(&self, kept: Duration, is_needed: impl Fn(&[u8; 32]) -> bool) -> io::Result<u64> {
        let mut gone = 0;
        for folder in &self.of_engines {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let about = entry.metadata()?;
                // A clock that was set back makes it young.
                let is_old = about.modified()?.elapsed().is_ok_and(|age| age > kept);
                let digest = entry.file_name().to_str().and_then(digest_of);
                if is_old && digest.is_some_and(|digest| !is_needed(&digest)) {
                    fs::remove_file(entry.path())?;
                    gone += about.len();
                }
            }
        }
        Ok(gone)
    }

    fn verify(&self, file: &mut File, path: &Path) -> io::Result<bool> {
        let identity = Identity::of(file)?;
        if self.verified().contains(&identity) {
            return Ok(true);
        }
        let expected = fs::read(path.with_extension("mac"))?;
        let mut mac = self.hmac();
        update(&mut mac, file)?;
        let verified = mac.verify_slice(&expected).is_ok();
        // What was written to while it was read is read again the next time.
        if verified && is_settled(&identity) && Identity::of(file)? == identity {
            let mut known = self.verified();
            if known.len() >= VERIFIED {
                known.clear();
            }
            known.insert(identity);
        }
        Ok(verified)
    }

    fn verified(&self) -> MutexGuard<'_, HashSet<Identity>> {
        // A set is whole between any two statements that could panic.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mac(&self, file: &mut File) -> io::Result<Vec<u8>> {
        let mut mac = self.hmac();
        update(&mut mac, file)?;
        Ok(mac.finalize().into_bytes().to_vec())
    }

    fn hmac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
    }
}

/// The digest that the name of a file of code begins with.
fn digest_of(name: &str) -> Option<[u8; 32]> {
    let hex = name.get(..64)?;
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// Time after which a change shows in a file's times, however coarse the clock of its file system is.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether the file was changed so long ago that another change could not have the same time.
fn is_settled(identity: &Identity) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(identity.changed.0.max(0) as u64);
    changed.elapsed().is_ok_and(|since| since > SETTLED)
}

fn update(mac: &mut Hmac<Sha256>, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => mac.update(&buffer[..read]),
        }
    }
}

/// Says why code is not used. It is made again, so that this is no error for the caller.
fn distrust(path: &Path, why: &str) -> Option<Code> {
    tracing::warn!(path = %path.display(), why, "native code is not usable and will be compiled again");
    None
}

/// A path that leads to this very open file where the system has one, whatever was renamed meanwhile.
fn path_of_open(file: &File, path: &Path) -> PathBuf {
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if open.exists() { open } else { path.to_owned() }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; 32]> {
    if let Ok(bytes) = fs::read(path)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    private_file(path)?.write_all(&key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_nobody_needs_is_forgotten_when_it_is_old() {
        let (folder, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let cache = CodeCache::open(folder.path(), [&engine, &engine]).unwrap();
        let id = |digest| CodeId { digest, world: World::Http02, engine: &engine };
        let (needed, other) = ([1; 32], [0xab; 32]);
        for digest in [&needed, &other] {
            let scratch = cache.scratch();
            fs::write(&scratch, "native code").unwrap();
            cache.adopt(id(digest), &scratch).unwrap();
        }
        fs::write(cache.of_engines[0].join("of somebody else"), "").unwrap();

        assert_eq!(cache.forget(Duration::from_secs(60), |digest| *digest == needed).unwrap(), 0, "it is young");
        // The code and its MAC.
        assert_eq!(cache.forget(Duration::ZERO, |digest| *digest == needed).unwrap(), 11 + 32);
        assert_eq!((cache.has(id(&needed)), cache.has(id(&other))), (true, false));
        assert_eq!(fs::read_dir(&cache.of_engines[0]).unwrap().count(), 3);
    }
}
