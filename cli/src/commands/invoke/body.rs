//! The body of a request: a text, a file, or what comes by standard input.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use bytes::Bytes;
use indicatif::HumanBytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, RequestBuilder};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

/// Bytes of a body that is sent many times, which is held in memory.
const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// Where the body of a request comes from.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Data {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            _ if text == "-" => Self::Stdin,
            Some("-") => Self::Stdin,
            Some(file) => Self::File(file.into()),
            None => Self::Text(text.to_owned()),
        })
    }
}

impl Data {
    /// Makes it the body of a request, of whatever length it is.
    pub(super) async fn stream_into(self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        let file = match self {
            Self::Text(text) => return Ok(request.body(text)),
            Self::Stdin => return Ok(request.body(Body::wrap_stream(ReaderStream::new(tokio::io::stdin())))),
            Self::File(file) => file,
        };
        let cannot_read = || format!("cannot read {}", file.display());
        let opened = File::open(&file).await.with_context(cannot_read)?;
        let metadata = opened.metadata().await.with_context(cannot_read)?;
        // Pipes and devices have no length; their bodies are chunked.
        let request = if metadata.is_file() { request.header(CONTENT_LENGTH, metadata.len()) } else { request };
        Ok(request.body(opened))
    }

    /// All of it.
    pub(super) async fn whole(&self) -> anyhow::Result<Bytes> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Stdin => read(tokio::io::stdin()).await.context("cannot read standard input"),
            Self::File(file) => {
                let cannot_read = || format!("cannot read {}", file.display());
                read(File::open(file).await.with_context(cannot_read)?).await.with_context(cannot_read)
            }
        }
    }
}

async fn read(from: impl AsyncRead + Unpin) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    from.take(WHOLE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > WHOLE_BYTES_MAX {
        bail!("a body that is sent by --repeat may have {} at most", HumanBytes(WHOLE_BYTES_MAX));
    }
    Ok(bytes.into())
}
