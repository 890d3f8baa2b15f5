//! Load by a client that never sleeps: it looks at its connections again and again. A client that waits costs
//! the server a wake-up for every answer, and in a virtual machine that is an interrupt from one processor to another,
//! which can cost more than all the rest of a small request.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::client::Target;
use crate::closed_loop::Run;
use crate::latency::Summary;
use crate::load::Plan;

/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;
/// A connection that waits longer for an answer fails the run.
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks at all connections between two looks at the clock.
const LOOKS: u32 = 64;

/// Sends requests at planned times, whatever became of those before; a request's latency counts from its planned time.
/// What is due while all connections wait for answers waits too. One failed answer fails the run.
pub(crate) fn run_open(target: &Target, connections: u32, plan: Plan) -> Result<Summary> {
    let request = request(target);
    let mut open = (0..connections).map(|_| Connection::open(target.address)).collect::<Result<Vec<_>>>()?;
    // All take turns: a server closes a connection that rests for long.
    let (mut idle, mut busy): (VecDeque<_>, Vec<_>) = ((0..open.len()).collect(), Vec::<usize>::new());
    let mut planned = vec![Instant::now(); open.len()];
    let mut random = StdRng::seed_from_u64(plan.seed);
    let (mut buffer, mut latencies, mut due) = (vec![0; BUFFER], Vec::new(), VecDeque::new());
    let begin = Instant::now();
    let end = begin + plan.time;
    let mut next = begin;
    loop {
        let now = Instant::now();
        while next <= now && next < end {
            due.push_back(next);
            next += plan.gap(&mut random);
        }
        while let (Some(&at), Some(&which)) = (due.front(), idle.front()) {
            due.pop_front();
            idle.pop_front();
            planned[which] = at;
            open[which].send(&request)?;
            busy.push(which);
        }
        let mut answered = Vec::new();
        for (place, &which) in busy.iter().enumerate() {
            if open[which].look(&request, &mut buffer)?.is_some() {
                latencies.push(planned[which].elapsed());
                answered.push(place);
            }
        }
        for place in answered.into_iter().rev() {
            idle.push_back(busy.swap_remove(place));
        }
        if next >= end && due.is_empty() && busy.is_empty() {
            return Ok(Summary::of(latencies));
        }
        ensure!(now < end + PATIENCE, "{} answers have not come within {PATIENCE:?}", busy.len() + due.len());
    }
}

/// Requests to one server, and which of them is sent next.
pub(crate) struct Mix<'a> {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    /// `None` when no more is to be sent.
    next: Box<dyn FnMut() -> Option<usize> + 'a>,
}

impl<'a> Mix<'a> {
    /// The same again and again.
    pub(crate) fn one(target: &Target) -> Self {
        Self { address: target.address, requests: vec![request(target)], next: Box::new(|| Some(0)) }
    }

    /// Every one of them, once, in order.
    pub(crate) fn each_once(targets: &[Target]) -> Self {
        let mut order = 0..targets.len();
        Self::of(targets, Box::new(move || order.next()))
    }

    /// As `choose` draws them.
    pub(crate) fn random(targets: &[Target], seed: u64, choose: impl Fn(&mut StdRng) -> usize + 'a) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        Self::of(targets, Box::new(move || Some(choose(&mut random))))
    }

    fn of(targets: &[Target], next: Box<dyn FnMut() -> Option<usize> + 'a>) -> Self {
        Self { address: targets[0].address, requests: targets.iter().map(request).collect(), next }
    }
}

/// Loads a server for this time over so many connections. One failed answer fails the run.
pub(crate) fn run(mix: Mix<'_>, connections: u32, time: Duration) -> Result<Run> {
    let Mix { address, requests, mut next } = mix;
    let mut open = Vec::new();
    for _ in 0..connections {
        let Some(which) = next() else { break };
        let mut connection = Connection::open(address)?;
        connection.send(&requests[which])?;
        open.push((connection, which));
    }
    let (mut buffer, mut latencies) = (vec![0; BUFFER], Vec::new());
    let begin = Instant::now();
    while !open.is_empty() {
        for _ in 0..LOOKS {
            let mut ended = Vec::new();
            for (place, (connection, which)) in open.iter_mut().enumerate() {
                let Some(latency) = connection.look(&requests[*which], &mut buffer)? else { continue };
                latencies.push(latency);
                match next() {
                    Some(then) => {
                        *which = then;
                        connection.send(&requests[then])?;
                    }
                    None => ended.push(place),
                }
            }
            for place in ended.into_iter().rev() {
                open.swap_remove(place);
            }
        }
        let now = Instant::now();
        if now - begin >= time {
            break;
        }
        let waits = open.iter().map(|(connection, _)| now.saturating_duration_since(connection.sent)).max();
        ensure!(waits.unwrap_or_default() < PATIENCE, "no answer within {PATIENCE:?}");
    }
    let requests = latencies.len() as u64;
    let per_second = requests as f64 / begin.elapsed().as_secs_f64();
    let latency = Summary::of(latencies);
    Ok(Run { requests, per_second, p50_us: latency.p50_us, p99_us: latency.p99_us })
}

fn request(target: &Target) -> Vec<u8> {
    let Target { path, body, .. } = target;
    match body {
        None => format!("GET {path} HTTP/1.1\r\nhost: bench.invalid\r\n\r\n").into_bytes(),
        Some(body) => {
            let head = format!("POST {path} HTTP/1.1\r\nhost: bench.invalid\r\ncontent-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the request that have been sent.
    written: usize,
    answer: Answer,
    sent: Instant,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, written: 0, answer: Answer::default(), sent: Instant::now() })
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        self.answer = Answer::default();
        self.written = 0;
        self.write(request)
    }

    /// Sends what the connection takes of the rest.
    fn write(&mut self, request: &[u8]) -> Result<()> {
        match self.stream.write(&request[self.written..]) {
            Ok(written) => self.written += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot send"),
        }
        Ok(())
    }

    /// How long the answer took, when all of it is here.
    fn look(&mut self, request: &[u8], buffer: &mut [u8]) -> Result<Option<Duration>> {
        if self.written < request.len() {
            self.write(request)?;
        }
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => Ok(self.answer.take(&buffer[..read])?.then(|| self.sent.elapsed())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("cannot read"),
        }
    }
}

/// An answer on its way in.
#[derive(Default)]
struct Answer {
    /// Until its end has come; empty after that.
    head: Vec<u8>,
    body: Body,
}

#[derive(Default)]
enum Body {
    #[default]
    Unknown,
    /// So many bytes are missing.
    Length(usize),
    /// The last bytes that came: a body in chunks ends with an empty one.
    Chunks(Vec<u8>),
}

/// The end of a body in chunks without trailers.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

impl Answer {
    /// Takes bytes as they come; true when the answer is complete.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        match &mut self.body {
            Body::Unknown => {
                self.head.extend_from_slice(bytes);
                let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
                let mut head = std::mem::take(&mut self.head);
                // With the line's end before the body, which the first chunk may need for being the last.
                let rest = head.split_off(end + 2);
                self.body = body(&head)?;
                match &mut self.body {
                    Body::Length(_) => self.take(&rest[2..]),
                    Body::Chunks(_) | Body::Unknown => self.take(&rest),
                }
            }
            Body::Length(missing) => {
                *missing = missing.checked_sub(bytes.len()).context("more than the announced length came")?;
                Ok(*missing == 0)
            }
            Body::Chunks(last) => {
                last.extend_from_slice(bytes);
                last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
                Ok(last == LAST_CHUNK)
            }
        }
    }
}

/// What is said about the body by a head, which must be that of a good answer.
fn body(head: &[u8]) -> Result<Body> {
    let head = std::str::from_utf8(head).context("a head that is no text")?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "the answer is: {head}");
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (value("content-length:"), value("transfer-encoding:")) {
        (Some(length), _) => Ok(Body::Length(length.parse()?)),
        (None, Some("chunked")) => Ok(Body::Chunks(Vec::new())),
        _ => bail!("a body without a length: {head}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(answer: &str, piece: usize) -> Vec<bool> {
        let mut taken = Answer::default();
        answer.as_bytes().chunks(piece).map(|bytes| taken.take(bytes).unwrap()).collect()
    }

    #[test]
    fn an_answer_ends_with_its_last_byte_in_whatever_pieces_it_comes() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            for piece in [1, 2, 7, 1000] {
                let ends = ends(answer, piece);
                assert_eq!(ends.iter().position(|end| *end), Some(ends.len() - 1), "{answer:?} by {piece}");
            }
        }
    }

    #[test]
    fn anything_but_a_good_answer_fails() {
        for bad in ["HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(Answer::default().take(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Answer::default().take(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
    }
}
