//! `wasmway backup` and `wasmway restore`: everything that a registry holds in one file, and back. The file holds it as a
//! data directory does; a registry on Postgres is copied into one first, or from one at the end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tempfile::TempDir;
use wasmway_registry::{BackupSummary, Bucket, PostgresUrl, Registry, Stores, back_up, restore};

use crate::cli::Globals;
use crate::failure::Failure;
use crate::output::{self, Format};

/// In place of a file: standard output, or standard input.
const STREAM: &str = "-";

/// Write everything that a registry holds to one file, while its servers go on or not
#[derive(Debug, Args)]
#[command(
    after_help = "It holds functions, versions, components, tokens and the audit log, as of one moment, and is as secret as\n\
                  the data directory itself.\n\n\
                  Example:\n  wasmway backup monday.tar\n  wasmway backup - | zstd > monday.tar.zst\n  \
                  wasmway backup monday.tar --database postgres://wasmway@db/wasmway --artifacts s3://functions"
)]
pub(crate) struct Backup {
    /// File to make, a tar archive; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Put a backup into an empty registry, of whatever kind: this is also how one moves from SQLite to Postgres and back
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway restore monday.tar --data-dir /var/lib/wasmway\n  zstd -d < monday.tar.zst | wasmway restore -\n  \
                  wasmway restore monday.tar --database postgres://wasmway@db/wasmway --artifacts s3://functions"
)]
pub(crate) struct Restore {
    /// The backup; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Where a registry is that does not keep everything in its data directory.
#[derive(Debug, Args)]
struct Elsewhere {
    /// Postgres database of the registry, as the server has it
    #[arg(long, env = "WASMWAY_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<PostgresUrl>,
    /// Object store of the registry, as the server has it
    #[arg(long, env = "WASMWAY_ARTIFACTS", value_name = "URL")]
    artifacts: Option<Bucket>,
}

impl Elsewhere {
    /// The registry's stores; `None` when all of it is in the data directory.
    fn stores(self) -> anyhow::Result<Option<Stores>> {
        match (self.database, self.artifacts) {
            (None, None) => Ok(None),
            (Some(database), bucket) => Ok(Some(Stores { database: Some(database), bucket })),
            (None, Some(_)) => bail!(
                "--artifacts (WASMWAY_ARTIFACTS) is set without --database; an object store beside a database in a data \
                 directory is backed up by its own tools"
            ),
        }
    }
}

pub(crate) async fn run(arguments: Backup, globals: &Globals) -> Result<(), Failure> {
    let Some(stores) = arguments.elsewhere.stores()? else {
        return write(&globals.data_dir.data_dir, &arguments.file, globals).await;
    };
    let (here, there) = (scratch()?, scratch()?);
    copy(&open(there.path(), &stores).await?, &open(here.path(), &Stores::default()).await?).await?;
    write(here.path(), &arguments.file, globals).await
}

/// Backs a data directory up.
async fn write(data_dir: &Path, file: &Path, globals: &Globals) -> Result<(), Failure> {
    if file.as_os_str() == STREAM {
        let summary = back_up(data_dir, io::stdout()).await.map_err(anyhow::Error::new)?;
        eprintln!("{}", described("backed up", &summary));
        return Ok(());
    }
    let summary = to_file(data_dir, file).await?;
    say("backed up", &summary, globals)
}

/// A folder that nobody else can read, gone at the end.
fn scratch() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("wasmway-").tempdir().context("cannot create a folder for the time being")
}

async fn open(data_dir: &Path, stores: &Stores) -> anyhow::Result<Registry> {
    let registry = Registry::open(data_dir, stores).await;
    registry.with_context(|| match &stores.database {
        Some(url) => format!("the registry in {url} cannot be opened"),
        None => format!("no registry can be made in {}", data_dir.display()),
    })
}

/// Copies one registry into another, and closes both.
async fn copy(from: &Registry, to: &Registry) -> anyhow::Result<()> {
    from.copy_to(to).await.context("the registry cannot be copied")?;
    from.close().await;
    to.close().await;
    Ok(())
}

/// Makes the file, whole or not at all.
async fn to_file(data_dir: &Path, file: &Path) -> Result<BackupSummary, Failure> {
    if file.exists() {
        return Err(anyhow!("{} is there already; choose another name", file.display()).into());
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody else may read it (mode 0600).
    let scratch = tempfile::Builder::new().prefix(".wasmway-backup-").tempfile_in(folder);
    let scratch = scratch.with_context(|| format!("cannot create a file in {}", folder.display()))?;
    let (out, path) = scratch.into_parts();
    let keep = out.try_clone().context("cannot use the new file twice")?;
    let summary = back_up(data_dir, io::BufWriter::new(out)).await.map_err(anyhow::Error::new)?;
    keep.sync_all().with_context(|| format!("cannot write {}", file.display()))?;
    path.persist_noclobber(file)
        .map_err(|error| error.error)
        .with_context(|| format!("cannot make {}", file.display()))?;
    Ok(summary)
}

pub(crate) async fn back(arguments: Restore, globals: &Globals) -> Result<(), Failure> {
    let Some(stores) = arguments.elsewhere.stores()? else {
        let summary = read(&globals.data_dir.data_dir, &arguments.file).await?;
        return say("restored", &summary, globals);
    };
    let (here, there) = (scratch()?, scratch()?);
    let summary = read(here.path(), &arguments.file).await?;
    copy(&open(here.path(), &Stores::default()).await?, &open(there.path(), &stores).await?).await?;
    say("restored", &summary, globals)
}

/// Restores a data directory.
async fn read(data_dir: &Path, file: &Path) -> anyhow::Result<BackupSummary> {
    let summary = if file.as_os_str() == STREAM {
        restore(data_dir, io::stdin()).await
    } else {
        let file = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        restore(data_dir, file).await
    };
    Ok(summary?)
}

fn say(done: &str, summary: &BackupSummary, globals: &Globals) -> Result<(), Failure> {
    match globals.output {
        Format::Json => output::json(summary),
        Format::Text => output::line(described(done, summary)),
    }
}

fn described(done: &str, summary: &BackupSummary) -> String {
    let BackupSummary { functions, versions, components, component_bytes, time, .. } = summary;
    format!(
        "{done} {} in {}, {} of {}, as of {time:.0}",
        counted(*functions, "function"),
        counted(*versions, "version"),
        counted(*components, "component"),
        output::size(*component_bytes)
    )
}

fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
