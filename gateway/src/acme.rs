//! Certificates from an authority that speaks ACME (RFC 8555), such as Let's Encrypt: got at the first start, and again
//! when two thirds of their time are over.
//!
//! ```text
//! acme/account.json    our account with the authority
//! acme/HOST.pem        a private key, its certificate, and those that vouch for it
//! ```

use crate::{
    metrics::Metrics,
    private_file,
    tls::{self, Certificate, Certificates},
};
use anyhow::{Context, anyhow, bail};
use instant_acme::{
    Account, AccountCredentials, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rand::Rng;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use reqwest::Url;
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

/// Where an authority that asks over plain HTTP looks (RFC 8555, section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// How often certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After the first failure; it doubles from failure to failure. Authorities count failures, and bar those who have many.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// How long an authority may take to look, and to sign.
const PATIENCE: Duration = Duration::from_secs(120);

/// How an authority looks whether a host is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a request on port 80, which must lead to the data plane.
    Http01,
    /// By a handshake on port 443, which must lead to the data plane's TLS.
    TlsAlpn01,
}

/// What certificates are got, and where.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Names that get one each.
    pub hosts: Vec<String>,
    /// Whom the authority may write to: an address of mail.
    pub contact: Option<String>,
    /// The authority.
    pub directory: Url,
    /// File, as PEM, with the certificates that vouch for the authority's own, where these are not generally known.
    pub roots: Option<PathBuf>,
    /// How it looks whether a host is ours.
    pub challenge: Challenge,
}

/// The certificates that an authority gives us.
pub(crate) struct Acme {
    config: AcmeConfig,
    folder: PathBuf,
    certificates: Arc<Certificates>,
    metrics: Arc<Metrics>,
    /// What an authority wants to hear over plain HTTP, by its question.
    answers: RwLock<HashMap<String, String>>,
}

impl Acme {
    /// Shows the certificates that are in the folder already.
    pub(crate) fn open(
        config: AcmeConfig,
        folder: PathBuf,
        certificates: Arc<Certificates>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let acme = Self { config, folder, certificates, metrics, answers: RwLock::default() };
        for host in &acme.config.hosts {
            if let Some(kept) = acme.kept(host) {
                acme.show(host, &kept);
            }
        }
        Ok(acme)
    }

    /// The answer to an authority's question, if the path is one that we wait for.
    pub(crate) fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.answers.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Gets what is missing or will be too old soon, for ever.
    pub(crate) async fn keep(&self) {
        let mut failures: HashMap<&str, (SystemTime, Duration)> = HashMap::new();
        let hosts = || self.config.hosts.iter().map(String::as_str);
        let mut held: HashMap<&str, Certificate> = hosts().filter_map(|host| Some((host, self.kept(host)?))).collect();
        loop {
            for host in hosts() {
                let waits = failures.get(host).is_some_and(|(until, _)| *until > SystemTime::now());
                if waits || held.get(host).is_some_and(|held| !is_due(held)) {
                    continue;
                }
                match self.obtain(host).await {
                    Ok(certificate) => {
                        failures.remove(host);
                        self.show(host, &certificate);
                        held.insert(host, certificate);
                        tracing::info!(host, "a certificate was issued");
                    }
                    Err(error) => {
                        let pause = failures.get(host).map_or(FIRST_PAUSE, |(_, last)| *last * 2);
                        let pause = pause.min(LONGEST_PAUSE);
                        // Hosts of the same start do not come back all at once.
                        let jitter = rand::rng().random_range(1.0..1.2);
                        failures.insert(host, (SystemTime::now() + pause.mul_f64(jitter), pause));
                        tracing::warn!(host, error = format!("{error:#}"), again_in = ?pause, "no certificate was issued");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn show(&self, host: &str, certificate: &Certificate) {
        self.certificates.put(host, certificate);
        self.metrics.certificate_until(host, certificate.until);
    }

    fn path(&self, host: &str) -> PathBuf {
        self.folder.join(format!("{host}.pem"))
    }

    /// The certificate in the folder.
    fn kept(&self, host: &str) -> Option<Certificate> {
        let path = self.path(host);
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a certificate cannot be read");
                return None;
            }
        };
        match tls::certificate(&pem, &pem) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), path = %path.display(), "a certificate cannot be read");
                None
            }
        }
    }

    /// Has the authority issue one, and keeps it.
    async fn obtain(&self, host: &str) -> anyhow::Result<Certificate> {
        let account = self.account().await?;
        let names = [Identifier::Dns(host.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&names)).await.context("the authority takes no order")?;
        let mut asked = Asked { acme: self, host, token: None };
        let (key, chain) = tokio::time::timeout(PATIENCE, order_through(&mut order, &mut asked))
            .await
            .map_err(|_| anyhow!("the authority has not finished within {PATIENCE:?}"))??;
        let pem = key + &chain;
        let certificate = tls::certificate(pem.as_bytes(), pem.as_bytes()).context("what the authority has issued")?;
        let path = self.path(host);
        private_file::write(&path, |out| out.write_all(pem.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(certificate)
    }

    /// Our account, which is made at the first order.
    async fn account(&self) -> anyhow::Result<Account> {
        let builder = || match &self.config.roots {
            Some(path) => Account::builder_with_root(path),
            None => Account::builder(),
        };
        let builder = builder().context("--acme-roots cannot be read")?;
        let path = self.folder.join("account.json");
        let kept = match fs::read(&path) {
            Ok(kept) => {
                serde_json::from_slice::<Kept>(&kept).with_context(|| format!("{} is damaged", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept { directory: None, credentials: None },
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        if let Some(credentials) = kept.credentials
            && kept.directory.as_ref() == Some(&self.config.directory)
        {
            return builder.from_credentials(credentials).await.context("the authority does not know our account");
        }
        let contact = self.config.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let directory = &self.config.directory;
        let (account, credentials) =
            builder.create(&new, directory.to_string(), None).await.context("the authority gives us no account")?;
        let kept = Kept { directory: Some(directory.clone()), credentials: Some(credentials) };
        private_file::write(&path, |out| Ok(serde_json::to_writer(out, &kept)?))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(account)
    }
}

/// `account.json`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    /// Whose account it is.
    directory: Option<Url>,
    credentials: Option<AccountCredentials>,
}

/// What an authority was told to look at, which is taken away at the end.
struct Asked<'a> {
    acme: &'a Acme,
    host: &'a str,
    token: Option<String>,
}

impl Asked<'_> {
    fn challenge(&self) -> ChallengeType {
        match self.acme.config.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }

    /// Puts what the authority wants to see where it will look.
    fn prove(&mut self, token: &str, answer: &KeyAuthorization) -> anyhow::Result<()> {
        match self.acme.config.challenge {
            Challenge::Http01 => {
                let mut answers = self.acme.answers.write().unwrap_or_else(PoisonError::into_inner);
                answers.insert(token.to_owned(), answer.as_str().to_owned());
                self.token = Some(token.to_owned());
            }
            Challenge::TlsAlpn01 => {
                let mut params = CertificateParams::new([self.host.to_owned()])?;
                params.custom_extensions = vec![CustomExtension::new_acme_identifier(answer.digest().as_ref())];
                let key = KeyPair::generate()?;
                let proof = params.self_signed(&key)?;
                self.acme.certificates.prove(self.host, Some(tls::proof(proof.der(), key.serialize_der())?));
            }
        }
        Ok(())
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.acme.certificates.prove(self.host, None);
        if let Some(token) = &self.token {
            self.acme.answers.write().unwrap_or_else(PoisonError::into_inner).remove(token);
        }
    }
}

/// Shows that the host is ours and answers the key and the certificates, as PEM.
async fn order_through(order: &mut Order, asked: &mut Asked<'_>) -> anyhow::Result<(String, String)> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Pending => ask_to_look(authorization, asked).await?,
            status => bail!("the authority has no use for our proof: {status:?}"),
        }
    }
    let retries = RetryPolicy::new().timeout(PATIENCE);
    if order.poll_ready(&retries).await? != OrderStatus::Ready {
        bail!("{}", complaint(order, asked).await);
    }
    let key = order.finalize().await.context("the authority does not sign")?;
    let chain = order.poll_certificate(&retries).await.context("the authority does not give the certificate")?;
    Ok((key, chain))
}

async fn ask_to_look(mut authorization: AuthorizationHandle<'_>, asked: &mut Asked<'_>) -> anyhow::Result<()> {
    let kind = asked.challenge();
    let mut challenge = authorization
        .challenge(kind.clone())
        .ok_or_else(|| anyhow!("the authority does not look by {kind:?}; choose another --acme-challenge"))?;
    let answer = challenge.key_authorization();
    asked.prove(&challenge.token.clone(), &answer)?;
    Ok(challenge.set_ready().await?)
}

/// Why the authority does not believe us.
async fn complaint(order: &mut Order, asked: &Asked<'_>) -> String {
    let mut why = String::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        why.extend(errors.map(|error| format!("; it says: {error}")));
    }
    let port = if asked.acme.config.challenge == Challenge::Http01 { 80 } else { 443 };
    format!("the authority does not find us at port {port} of {}{why}", asked.host)
}

/// Whether two thirds of the time in which a certificate is good are over.
fn is_due(certificate: &Certificate) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (from, until) = (certificate.from, certificate.until);
    i64::try_from(now).unwrap_or(i64::MAX) >= from + (until - from) / 3 * 2
}
