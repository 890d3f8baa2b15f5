//! `wasmway backup` and `wasmway restore`: the platform of one data directory in one file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use wasmway_registry::{BackupSummary, back_up, restore};

use crate::cli::Globals;
use crate::failure::Failure;
use crate::output::{self, Format};

/// In place of a file: standard output, or standard input.
const STREAM: &str = "-";

/// Write everything that a data directory holds to one file, while its server goes on or not
#[derive(Debug, Args)]
#[command(
    after_help = "It holds functions, versions, components, tokens and the audit log, as of one moment, and is as secret as\n\
                  the data directory itself.\n\n\
                  Example:\n  wasmway backup monday.tar\n  wasmway backup - | zstd > monday.tar.zst"
)]
pub(crate) struct Backup {
    /// File to make, a tar archive; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Put a backup into an empty data directory, to start a server on
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway restore monday.tar --data-dir /var/lib/wasmway\n  zstd -d < monday.tar.zst | wasmway restore -"
)]
pub(crate) struct Restore {
    /// The backup; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Settings of a server that does not keep everything in its data directory: seen, so that nobody takes a part for all.
#[derive(Debug, Args)]
struct Elsewhere {
    #[arg(long, env = "WASMWAY_DATABASE", hide = true)]
    database: Option<String>,
    #[arg(long, env = "WASMWAY_ARTIFACTS", hide = true)]
    artifacts: Option<String>,
}

impl Elsewhere {
    fn check(&self) -> Result<(), Failure> {
        let setting = match (&self.database, &self.artifacts) {
            (Some(_), _) => "--database (WASMWAY_DATABASE)",
            (None, Some(_)) => "--artifacts (WASMWAY_ARTIFACTS)",
            (None, None) => return Ok(()),
        };
        Err(Failure::Usage(format!(
            "{setting} is set, and this is for servers that keep everything in their data directory; back up the database \
             and the object store by their own tools, such as pg_dump"
        )))
    }
}

pub(crate) async fn run(arguments: Backup, globals: &Globals) -> Result<(), Failure> {
    arguments.elsewhere.check()?;
    let data_dir = &globals.data_dir.data_dir;
    if arguments.file.as_os_str() == STREAM {
        let summary = back_up(data_dir, io::stdout()).await.map_err(anyhow::Error::new)?;
        eprintln!("{}", described("backed up", &summary));
        return Ok(());
    }
    let summary = to_file(data_dir, &arguments.file).await?;
    say("backed up", &summary, globals)
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
    arguments.elsewhere.check()?;
    let data_dir = &globals.data_dir.data_dir;
    let summary = if arguments.file.as_os_str() == STREAM {
        restore(data_dir, io::stdin()).await
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot read {}", arguments.file.display()))?;
        restore(data_dir, file).await
    };
    say("restored", &summary.map_err(anyhow::Error::new)?, globals)
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
        "{done} {functions} functions in {versions} versions, {components} components of {}, as of {time:.0}",
        output::size(*component_bytes)
    )
}
