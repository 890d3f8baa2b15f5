//! The data plane over TLS: certificates from files, and from a real ACME authority.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, Issuer, KeyPair};
use reqwest::{Certificate, Method};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{PATIENCE, Platform, binary, eventually, free_port};

/// An authority of the test's own, and what it vouches for.
struct Authority {
    root: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        Self { root, issuer: Issuer::new(params, key) }
    }

    /// Puts a new certificate for the hosts, and its key, into two files.
    fn issue(&self, hosts: &[&str], certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let issued = CertificateParams::new(hosts).unwrap().signed_by(&pair, &self.issuer).unwrap();
        fs::write(key, pair.serialize_pem()).unwrap();
        fs::write(certificate, issued.pem()).unwrap();
    }
}

/// A client that trusts these roots, and finds the hosts at the platform.
fn client(roots: &[&str], hosts: &[&str], platform: &Platform) -> reqwest::Client {
    let mut client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let address = platform.tls_address().parse().unwrap();
    for host in hosts {
        client = client.resolve(host, address);
    }
    let roots = roots.iter().map(|root| Certificate::from_pem(root.as_bytes()).unwrap());
    client.tls_certs_only(roots).build().unwrap()
}

/// A platform that shows the certificate in these files.
async fn with_files(certificate: &Path, key: &Path) -> Platform {
    Platform::builder()
        .arg("--tls-listen=127.0.0.1:0")
        .arg(format!("--tls-certificate={}", certificate.display()))
        .arg(format!("--tls-key={}", key.display()))
        .start()
        .await
}

#[tokio::test]
async fn https_is_spoken_with_certificates_from_files_which_may_change() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = (home.path().join("tls.crt"), home.path().join("tls.key"));
    let (first, second) = (Authority::new(), Authority::new());
    first.issue(&["fn.example", "*.fn.example"], &certificate, &key);
    let platform = with_files(&certificate, &key).await;
    platform.deploy("inspect").await;
    let port = platform.tls_address().rsplit_once(':').unwrap().1.to_owned();

    let hosts = ["fn.example", "a.fn.example"];
    let trusting = |authority: &Authority| client(&[&authority.root], &hosts, &platform);
    for host in hosts {
        let url = format!("https://{host}:{port}/inspect/x");
        let seen: serde_json::Value = trusting(&first).get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["scheme"], "https");
        let headers = seen["headers"].as_array().unwrap();
        assert!(headers.iter().any(|header| header[0] == "x-forwarded-proto" && header[1] == "https"), "{headers:?}");
    }
    // Plain HTTP goes on beside it.
    assert_eq!(platform.get("/inspect/").await.expect(200).json()["scheme"], "http");
    let expiry = platform.metrics().await.value("wasmway_certificate_expiry_timestamp_seconds", &[("host", "")]);
    assert!(expiry > 1.7e9, "{expiry}");

    // Files that do not belong together are not shown; those that do are, without a restart.
    let url = format!("https://fn.example:{port}/inspect/");
    fs::write(&certificate, "nothing").unwrap();
    eventually("the damaged file to be noticed", PATIENCE, async || {
        platform.process().log().contains("the certificate that was read before is still shown").then_some(())
    })
    .await;
    trusting(&first).get(&url).send().await.unwrap();
    second.issue(&["fn.example"], &certificate, &key);
    eventually("the new certificate to be shown", PATIENCE, async || {
        trusting(&second).get(&url).send().await.ok().map(drop)
    })
    .await;
    assert!(trusting(&first).get(&url).send().await.is_err());
}

#[tokio::test]
async fn http2_is_chosen_by_the_handshake() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = (home.path().join("tls.crt"), home.path().join("tls.key"));
    let authority = Authority::new();
    authority.issue(&["fn.example"], &certificate, &key);
    let platform = with_files(&certificate, &key).await;
    platform.deploy("hello").await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root.as_bytes()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(platform.tls_address()).await.unwrap();
    let host = ServerName::try_from("fn.example").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("https://fn.example/hello/").body(String::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
}

#[test]
fn settings_of_tls_that_do_not_go_together_are_refused() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["--tls-listen=127.0.0.1:0"][..], "--tls-listen needs --tls-certificate and --tls-key, or --acme-host"),
        (&["--tls-listen=127.0.0.1:0", "--tls-certificate=a.pem"][..], "--tls-key is missing"),
        (&["--acme-host=fn.example"][..], "--tls-listen is missing"),
        (
            &["--tls-listen=127.0.0.1:0", "--tls-certificate=/no/a.pem", "--tls-key=/no/b.pem"][..],
            "/no/a.pem cannot be read",
        ),
        (&["--tls-listen=127.0.0.1:0", "--acme-host=*.fn.example"][..], "not a domain"),
    ] {
        let output = binary()
            .args(["up", "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--data-dir"])
            .arg(home.path())
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{arguments:?}: {said}");
    }
}

/// Pebble, the ACME authority for tests, with a name server for which every host is this machine.
struct Pebble {
    children: Vec<Child>,
    home: tempfile::TempDir,
    directory: String,
    management: String,
    root: String,
}

impl Pebble {
    /// It looks for hosts at these ports of ours.
    async fn start(http: u16, tls: u16) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = |name: &str| home.path().join(name);
        let authority = Authority::new();
        authority.issue(&["localhost"], &file("cert.pem"), &file("key.pem"));
        let [acme, management, names, names_management] = [(); 4].map(|()| free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": file("cert.pem"), "privateKey": file("key.pem"), "httpPort": http, "tlsPort": tls,
        }});
        fs::write(file("config.json"), config.to_string()).unwrap();
        fs::write(file("root.pem"), &authority.root).unwrap();
        let mut servers = Command::new("pebble-challtestsrv");
        servers.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]);
        servers.arg(format!("-dns01=127.0.0.1:{names}")).arg(format!("-management=127.0.0.1:{names_management}"));
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(file("config.json")).arg(format!("-dnsserver=127.0.0.1:{names}"));
        // It does not wait at random before it looks; it does refuse some nonces, as it does by default.
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let children = [servers, pebble].map(|mut command| {
            let log = fs::File::create(home.path().join(command.get_program())).unwrap();
            let started = command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn();
            started.expect("pebble is needed: `cargo xtask toolchain` installs it")
        });
        let pebble = Self {
            children: children.into(),
            directory: format!("https://localhost:{acme}/dir"),
            management: format!("https://localhost:{management}"),
            root: authority.root,
            home,
        };
        eventually("pebble to answer", PATIENCE, async || pebble.get(&pebble.directory).await).await;
        pebble
    }

    async fn get(&self, url: &str) -> Option<String> {
        let root = Certificate::from_pem(self.root.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
        client.get(url).send().await.ok()?.text().await.ok()
    }

    /// The certificate that vouches for those that it issues.
    async fn issuer(&self) -> String {
        self.get(&format!("{}/roots/0", self.management)).await.unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.home.path().join("pebble")).unwrap_or_default());
        }
    }
}

/// A platform that gets a certificate by `challenge` shows it, and has it still when it starts again without the authority.
async fn is_issued_a_certificate(challenge: &str) {
    // An error says that another test has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (http, tls) = (free_port(), free_port());
    let pebble = Pebble::start(http, tls).await;
    let mut platform = Platform::builder()
        .arg(format!("--listen=127.0.0.1:{http}"))
        .arg(format!("--tls-listen=127.0.0.1:{tls}"))
        .arg("--acme-host=one.example.test,two.example.test")
        .arg("--acme-contact=ops@example.test")
        .arg(format!("--acme-challenge={challenge}"))
        .arg(format!("--acme-directory={}", pebble.directory))
        .arg(format!("--acme-roots={}", pebble.home.path().join("root.pem").display()))
        .start()
        .await;
    platform.deploy("hello").await;
    let issuer = pebble.issuer().await;
    let hosts = ["one.example.test", "two.example.test"];
    let call = async |platform: &Platform, host: &str| {
        let client = client(&[&issuer], &hosts, platform);
        client.get(format!("https://{host}:{tls}/hello/")).send().await?.text().await
    };
    for host in hosts {
        let answer =
            eventually("a certificate", Duration::from_secs(50), async || call(&platform, host).await.ok()).await;
        assert_eq!(answer, "Hello from Wasmway!\n");
    }
    // Nobody else is told what only the authority is to hear.
    platform.get("/.well-known/acme-challenge/any").await.expect(404);

    drop(pebble);
    platform.kill().await;
    platform.start_again().await;
    for host in hosts {
        assert_eq!(call(&platform, host).await.unwrap(), "Hello from Wasmway!\n");
    }
    let files = fs::read_dir(platform.folder().join("acme")).unwrap();
    for file in files {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.unwrap().metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    platform.api(Method::GET, "/functions").await.expect(200);
}

#[tokio::test]
async fn an_authority_that_shakes_hands_issues_certificates() {
    is_issued_a_certificate("tls-alpn-01").await;
}

#[tokio::test]
async fn an_authority_that_asks_over_http_issues_certificates() {
    is_issued_a_certificate("http-01").await;
}
