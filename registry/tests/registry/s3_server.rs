//! An S3 server for tests, started by themselves: SeaweedFS, which checks signatures.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Who may come in, and by what.
pub(crate) const ACCESS_KEY: &str = "wasmway";
pub(crate) const SECRET_KEY: &str = "a-secret-of-the-tests";

/// A server in a folder of its own, gone when it is dropped.
pub(crate) struct S3 {
    child: Child,
    dir: tempfile::TempDir,
    /// Of master, volume server, filer and S3; each has another, 10000 above, for gRPC.
    ports: [u16; 4],
}

impl S3 {
    /// Starts one with an empty bucket named `functions`.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("wasmway-s3-").tempdir().unwrap();
        let identity = format!(
            r#"{{"identities":[{{"name":"tests","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],
            "actions":["Admin","Read","Write","List"]}}]}}"#
        );
        fs::write(dir.path().join("s3.json"), identity).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let ports = [(); 4].map(|()| free_port());
        let mut server = Self { child: spawn(dir.path(), ports), dir, ports };
        server.wait();
        // A bucket is a folder of the filer, which asks nobody who comes from this machine.
        let made = request(ports[2], "POST /buckets/functions/ HTTP/1.1\r\nContent-Length: 0");
        assert!(made.starts_with("HTTP/1.1 201"), "{made}");
        server
    }

    /// The URL of its S3 interface.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[3])
    }

    /// What a process that uses it finds in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// Puts other bytes in place of an object of the bucket, behind the back of S3.
    pub(crate) fn overwrite(&self, key: &str, bytes: &[u8]) {
        let head = format!("PUT /buckets/functions/{key} HTTP/1.1\r\nContent-Length: {}", bytes.len());
        let answer = exchange(self.ports[2], &head, bytes);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// Stops it as a power cut would.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Self::stop`].
    pub(crate) fn resume(&mut self) {
        self.child = spawn(self.dir.path(), self.ports);
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "the S3 server ended: {}", log());
            // All of it is there when the S3 interface, which starts last, can look into the store.
            if request(self.ports[3], "GET / HTTP/1.1").starts_with("HTTP/1.1 403")
                && request(self.ports[2], "GET /healthz HTTP/1.1").starts_with("HTTP/1.1 200")
            {
                return;
            }
            assert!(Instant::now() < end, "the S3 server does not come up: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn spawn(dir: &std::path::Path, [master, volume, filer, s3]: [u16; 4]) -> Child {
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/weed"));
    let log = fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(&program);
    command.args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=20"]);
    command.args([format!("-master.port={master}"), format!("-volume.port={volume}")]);
    command.args([format!("-filer.port={filer}"), format!("-s3.port={s3}")]);
    command.arg(format!("-dir={}", dir.join("data").display()));
    command.arg(format!("-s3.config={}", dir.join("s3.json").display()));
    command.current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask toolchain` installs it", program.display()))
}

/// The answer of a server to a request without a body; empty when there is none.
fn request(port: u16, head: &str) -> String {
    exchange(port, head, b"")
}

fn exchange(port: u16, head: &str, body: &[u8]) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "{head}\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().unwrap_or_default()
}

/// A port that nobody has, nor the one 10000 above, where SeaweedFS expects gRPC.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + (std::process::id() as u16).wrapping_mul(31).wrapping_add(offset) % 9_000;
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Gone already, as far as either fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
