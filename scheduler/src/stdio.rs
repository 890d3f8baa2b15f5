//! The output of a guest, cut into lines and bounded, on its way to the function's log.

use bytes::Bytes;
use std::{
    io,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream as WasiOutputStream, Pollable, StreamResult},
};

use crate::limits::WRITE_BYTES;

/// Which of the two streams a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

impl OutputStream {
    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        }
    }
}

/// Takes the lines that a request prints. Must not block: it is called while the guest runs.
pub trait LogSink: Send + Sync {
    /// One line, without its end; control characters are escaped already.
    fn line(&self, stream: OutputStream, text: &str);
}

/// Where the output goes of an instance that has no request.
pub(crate) struct Unheard;

impl Unheard {
    /// The one that there is.
    pub(crate) fn by_all() -> Arc<dyn LogSink> {
        static UNHEARD: LazyLock<Arc<Unheard>> = LazyLock::new(|| Arc::new(Unheard));
        UNHEARD.clone()
    }
}

impl LogSink for Unheard {
    fn line(&self, _: OutputStream, _: &str) {}
}

/// Bytes of one stream of one request that are passed on as they come.
const HEAD_BYTES: usize = 32 << 10;
/// Bytes at the end of a stream that are passed on after a cut.
const TAIL_BYTES: usize = 8 << 10;
/// Bytes of one line; a longer one is broken.
const LINE_BYTES: usize = 8 << 10;

/// One of a guest's output streams. The first and the last part of it are kept, what is between is
/// dropped and the cut is marked; the guest never notices and never waits.
#[derive(Clone)]
pub(crate) struct GuestOutput(Arc<Mutex<Lines>>);

impl GuestOutput {
    pub(crate) fn new(stream: OutputStream, sink: Arc<dyn LogSink>) -> Self {
        Self(Arc::new(Mutex::new(Lines::new(stream, sink))))
    }

    /// What comes from here on is another request's; what there was is passed on.
    pub(crate) fn hand_over(&self, sink: Arc<dyn LogSink>) {
        if let Ok(mut lines) = self.0.lock() {
            *lines = Lines::new(lines.stream, sink);
        }
    }

    fn take(&self, bytes: &[u8]) {
        // A poisoned lock means that the sink panicked on an earlier line: later output is dropped.
        if let Ok(mut lines) = self.0.lock() {
            lines.take(bytes);
        }
    }
}

struct Lines {
    stream: OutputStream,
    sink: Arc<dyn LogSink>,
    /// The line that has not ended yet.
    line: Vec<u8>,
    head_left: usize,
    /// The last bytes after the head was used up.
    tail: Vec<u8>,
    dropped: u64,
}

impl Lines {
    fn new(stream: OutputStream, sink: Arc<dyn LogSink>) -> Self {
        Self { stream, sink, line: Vec::new(), head_left: HEAD_BYTES, tail: Vec::new(), dropped: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_left));
        self.head_left -= head.len();
        for &byte in head {
            self.push(byte);
        }
        self.keep_tail(rest);
    }

    fn push(&mut self, byte: u8) {
        if byte == b'\n' {
            self.end_line();
        } else {
            self.line.push(byte);
            if self.line.len() >= LINE_BYTES {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.sink.line(self.stream, &escape(line.strip_suffix(b"\r").unwrap_or(&line)));
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let excess = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.tail.extend_from_slice(kept);
        self.dropped += (bytes.len() - kept.len() + excess) as u64;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.dropped > 0 {
            if !self.line.is_empty() {
                self.end_line();
            }
            self.sink.line(self.stream, &format!("[{} bytes left out]", self.dropped));
        }
        for byte in std::mem::take(&mut self.tail) {
            self.push(byte);
        }
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

/// Text in which no character can forge a line, drive a terminal or turn what follows around.
fn escape(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => escaped.push('\t'),
            _ if character.is_control() || is_layout(character) => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Characters that break lines or change the direction of text: what is read is not what is written.
fn is_layout(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn WasiOutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

#[async_trait]
impl WasiOutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn line(&self, _: OutputStream, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let sink = Arc::new(Kept::default());
        let output = GuestOutput::new(OutputStream::Stdout, sink.clone());
        for bytes in writes {
            output.take(bytes);
        }
        drop(output);
        Arc::into_inner(sink).unwrap().0.into_inner().unwrap()
    }

    #[test]
    fn joins_writes_into_lines() {
        assert_eq!(lines(&[b"he", b"llo\nwor", b"ld\r\n\nend"]), ["hello", "world", "", "end"]);
    }

    #[test]
    fn control_characters_cannot_forge() {
        assert_eq!(lines(&[b"\x1b[2Jgone\rforged\t\xff"]), ["\\u{1b}[2Jgone\\rforged\t\u{fffd}"]);
    }

    #[test]
    fn keeps_the_first_and_the_last_of_a_flood() {
        let flood = b"0123456789abcde\n".repeat(1 << 16);
        let lines = lines(&[b"first\n", &flood, b"last\n"]);
        assert_eq!(lines[0], "first");
        assert_eq!(lines.last().unwrap(), "last");
        let kept: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(kept < HEAD_BYTES + TAIL_BYTES + 100, "{kept}");
        assert!(lines.iter().any(|line| line.ends_with("bytes left out]")));
    }

    #[test]
    fn breaks_an_endless_line() {
        assert_eq!(lines(&[&[b'x'; LINE_BYTES + 1]]).len(), 2);
    }
}
