//! TLS of the data plane: which certificate a client sees. They come from files, which are looked at again and again, and
//! from an ACME authority.

use crate::{
    acme::{Acme, AcmeConfig},
    drain::Drain,
    metrics::Metrics,
};
use anyhow::{Context, anyhow};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;

/// HTTP/2, as a client asks for it (RFC 9113, section 3.2).
pub(crate) const HTTP2: &[u8] = b"h2";
/// An authority that looks whether a host is ours (RFC 8737).
pub(crate) const ACME: &[u8] = b"acme-tls/1";
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// TLS on the data plane.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Address of the listener; port 0 takes any.
    pub listen: SocketAddr,
    /// The certificate that is shown for all hosts that have no other.
    pub files: Option<TlsFiles>,
    /// Certificates that are got from an authority.
    pub acme: Option<AcmeConfig>,
}

/// A certificate in files, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and after it those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A certificate with its key and the time in which it is good, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// The certificates that are shown.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// To clients who ask for a host that has none of its own, or for none.
    for_all: ArcSwapOption<CertifiedKey>,
    by_host: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// Shown to an authority that looks whether a host is ours.
    proofs: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    pub(crate) fn put(&self, host: &str, certificate: &Certificate) {
        insert(&self.by_host, host, Some(certificate.key.clone()));
    }

    /// Puts what an authority wants to see at the host, or takes it away.
    pub(crate) fn prove(&self, host: &str, proof: Option<Arc<CertifiedKey>>) {
        insert(&self.proofs, host, proof);
    }
}

fn insert(map: &ArcSwap<HashMap<String, Arc<CertifiedKey>>>, host: &str, key: Option<Arc<CertifiedKey>>) {
    map.rcu(|map| {
        let mut map = HashMap::clone(map);
        match &key {
            Some(key) => map.insert(host.to_owned(), key.clone()),
            None => map.remove(host),
        };
        map
    });
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        if hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME)) {
            return self.proofs.load().get(host?).cloned();
        }
        let own = host.and_then(|host| self.by_host.load().get(host).cloned());
        own.or_else(|| self.for_all.load_full())
    }
}

/// What the listener accepts connections with, and what answers an authority over plain HTTP.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) acme: Option<Arc<Acme>>,
}

impl Tls {
    /// Reads the files, and keeps all certificates up to date from now on. `folder` is that of the authority's.
    pub(crate) fn start(
        config: &TlsConfig,
        folder: &Path,
        metrics: &Arc<Metrics>,
        drain: &Drain,
    ) -> anyhow::Result<Self> {
        let certificates = Arc::new(Certificates::default());
        if let Some(files) = &config.files {
            let shown = Shown::of(files, read(files)?)?;
            shown.show(&certificates, metrics);
            tokio::spawn(keep_looking(files.clone(), shown, certificates.clone(), metrics.clone()));
        }
        let acme = match &config.acme {
            Some(config) => {
                let acme =
                    Arc::new(Acme::open(config.clone(), folder.join("acme"), certificates.clone(), metrics.clone())?);
                let (ordering, drain) = (acme.clone(), drain.clone());
                tokio::spawn(async move {
                    tokio::select! { () = ordering.keep() => {} () = drain.closing() => {} }
                });
                Some(acme)
            }
            None => None,
        };
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        server.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        if acme.is_some() {
            server.alpn_protocols.push(ACME.to_vec());
        }
        // A client that comes back is known by what it brings along: nothing of it is kept here.
        server.ticketer = ring::Ticketer::new()?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), acme })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What was last read from the files.
struct Shown {
    pem: (Vec<u8>, Vec<u8>),
    certificate: Certificate,
}

impl Shown {
    fn of(files: &TlsFiles, pem: (Vec<u8>, Vec<u8>)) -> anyhow::Result<Self> {
        let certificate = certificate(&pem.0, &pem.1).with_context(|| {
            format!("the certificate in {} with the key in {}", files.certificate.display(), files.key.display())
        })?;
        Ok(Self { pem, certificate })
    }

    fn show(&self, certificates: &Certificates, metrics: &Metrics) {
        certificates.for_all.store(Some(self.certificate.key.clone()));
        metrics.certificate_until("", self.certificate.until);
    }
}

fn read(files: &TlsFiles) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path, flag| fs::read(path).with_context(|| format!("{flag} {} cannot be read", path.display()));
    Ok((read(&files.certificate, "--tls-certificate")?, read(&files.key, "--tls-key")?))
}

/// Shows what the files hold whenever that changes, for ever. Files that are no certificate change nothing: between the
/// two of them they may be a pair no more for a moment.
async fn keep_looking(files: TlsFiles, mut shown: Shown, certificates: Arc<Certificates>, metrics: Arc<Metrics>) {
    let mut complained = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Two small files; the disk of a data plane is its own.
        let found = read(&files);
        let pem = found.as_ref().ok().cloned();
        if pem.as_ref() == Some(&shown.pem) {
            continue;
        }
        match found.and_then(|pem| Shown::of(&files, pem)) {
            Ok(new) => {
                new.show(&certificates, &metrics);
                (shown, complained) = (new, None);
                tracing::info!(certificate = %files.certificate.display(), "the new certificate is shown from now on");
            }
            Err(error) if complained.as_ref() != Some(&pem) => {
                tracing::warn!(error = format!("{error:#}"), "the certificate that was read before is still shown");
                complained = Some(pem);
            }
            Err(_) => {}
        }
    }
}

/// A certificate that only an authority looks at. What the authority looks for in it nobody else knows (RFC 8737 has it
/// marked as critical), so that it is taken without a check.
pub(crate) fn proof(certificate: &CertificateDer<'static>, key: Vec<u8>) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let key = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key).into())?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.clone()], key)))
}

/// Reads a certificate with those that vouch for it, and its key, both as PEM.
pub(crate) fn certificate(chain: &[u8], key: &[u8]) -> anyhow::Result<Certificate> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().context("no PEM")?;
    let first = chain.first().ok_or_else(|| anyhow!("no certificate is in it: it begins with BEGIN CERTIFICATE"))?;
    let (_, parsed) = parse_x509_certificate(first).context("not an X.509 certificate")?;
    let (from, until) = (parsed.validity.not_before.timestamp(), parsed.validity.not_after.timestamp());
    let key = PrivateKeyDer::from_pem_slice(key)
        .context("no private key is in the file: it begins with BEGIN PRIVATE KEY")?;
    let key = CertifiedKey::from_der(chain, key, &provider()).context("the key is not that of the certificate")?;
    Ok(Certificate { key: Arc::new(key), from, until })
}
