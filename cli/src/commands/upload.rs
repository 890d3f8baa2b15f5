//! A component on its way to the platform, with the progress that a person at a terminal sees.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Body;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// Bytes that are read from the file at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// A component that is being sent.
pub(crate) struct Upload {
    pub(crate) body: Body,
    /// Length of the body, in bytes.
    pub(crate) length: u64,
    /// Shows the bytes sent, then that the platform is compiling; nothing where standard error is no terminal.
    pub(crate) progress: ProgressBar,
}

impl Upload {
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        let cannot_read = || format!("cannot read {}", file.display());
        let opened = File::open(file).await.with_context(cannot_read)?;
        let length = opened.metadata().await.with_context(cannot_read)?.len();
        let progress = ProgressBar::new(length).with_style(
            ProgressStyle::with_template("uploading {bar:30} {binary_bytes}/{binary_total_bytes}")
                .context("the progress bar's template is wrong")?,
        );
        let spinner =
            ProgressStyle::with_template("{spinner} {msg} {elapsed}").context("the spinner's template is wrong")?;
        let body = Body::wrap_stream(counted(opened, progress.clone(), length, spinner));
        Ok(Self { body, length, progress })
    }
}

fn counted(
    file: File,
    progress: ProgressBar,
    length: u64,
    spinner: ProgressStyle,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    ReaderStream::with_capacity(file, CHUNK_BYTES).inspect_ok(move |chunk| {
        progress.inc(chunk.len() as u64);
        if progress.position() >= length {
            progress.set_style(spinner.clone());
            progress.set_message("compiling");
            progress.reset_elapsed();
            progress.enable_steady_tick(TICK);
        }
    })
}
