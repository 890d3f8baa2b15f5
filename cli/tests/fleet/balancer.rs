//! haproxy before the gateways, as operators have it.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::harness::{PATIENCE, eventually, free_port};
use crate::members::Fleet;

/// A balancer, gone when it is dropped.
pub(crate) struct Balancer {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Balancer {
    pub(crate) async fn start(fleet: &Fleet) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let servers: String = fleet
            .gateways
            .iter()
            .enumerate()
            .map(|(place, gateway)| {
                let control = gateway.control_address().rsplit_once(':').unwrap().1;
                format!("  server g{place} {} check port {control}\n", gateway.data_address())
            })
            .collect();
        // A request of which nothing has been answered goes to another gateway: calls here are all GET.
        let config = format!(
            "global\n  maxconn 2000\n\
             defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n\
             frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n\
             backend b\n  balance roundrobin\n  option httpchk GET /readyz\n  option redispatch 1\n  retries 3\n  \
             retry-on conn-failure empty-response\n  default-server inter 200ms fall 1 rise 1\n{servers}"
        );
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let program =
            ["/usr/sbin/haproxy", "haproxy"].into_iter().find(|it| !it.starts_with('/') || fs::exists(it).unwrap());
        let mut command = Command::new(program.unwrap());
        command.arg("-f").arg(&file).stdin(Stdio::null());
        let child = command.spawn().expect("haproxy is needed: `cargo xtask toolchain` installs it");
        let balancer = Self { child, port, _dir: dir };
        eventually("the balancer to listen", PATIENCE, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        balancer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Gone already, as far as either fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
