//! The settings of TLS on the data plane.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use url::Url;
use wasmway_gateway::{AcmeConfig, TlsConfig, TlsFiles};

use super::values::{Domain, address};

/// How an authority looks whether a host is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Challenge {
    /// By a handshake on port 443
    #[value(name = "tls-alpn-01")]
    TlsAlpn01,
    /// By a request on port 80
    #[value(name = "http-01")]
    Http01,
}

/// Where certificates come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct TlsSettings {
    /// Address of the data plane over TLS, such as 0.0.0.0:443; it needs --tls-certificate or --acme-host
    #[arg(long, env = "WASMWAY_TLS_LISTEN", value_name = "ADDRESS", value_parser = address)]
    tls_listen: Option<SocketAddr>,

    /// PEM file with the certificate for all hosts that have no other, and those that vouch for it; a new one is
    /// noticed within seconds
    #[arg(long, env = "WASMWAY_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,

    /// PEM file with the certificate's private key
    #[arg(long, env = "WASMWAY_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Hosts that get certificates from an ACME authority, such as api.example.com,example.com; with it you agree to the
    /// authority's terms
    #[arg(long, env = "WASMWAY_ACME_HOST", value_name = "HOSTS", value_delimiter = ',')]
    acme_host: Vec<Domain>,

    /// Address of mail at which the authority may warn you
    #[arg(long, env = "WASMWAY_ACME_CONTACT", value_name = "ADDRESS")]
    acme_contact: Option<String>,

    /// The authority
    #[arg(
        long,
        env = "WASMWAY_ACME_DIRECTORY",
        value_name = "URL",
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    acme_directory: Url,

    /// How the authority looks whether a host is ours: by a handshake on port 443, which must lead to --tls-listen, or by
    /// a request on port 80, which must lead to --listen
    #[arg(
        long, env = "WASMWAY_ACME_CHALLENGE", value_name = "KIND", value_enum, default_value_t = Challenge::TlsAlpn01
    )]
    acme_challenge: Challenge,

    /// PEM file with the certificates that vouch for an authority of your own
    #[arg(long, env = "WASMWAY_ACME_ROOTS", value_name = "FILE")]
    acme_roots: Option<PathBuf>,
}

impl TlsSettings {
    /// What the gateway is told, if TLS is wanted.
    pub(crate) fn config(self) -> anyhow::Result<Option<TlsConfig>> {
        let files = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => bail!("--tls-key is missing: name the file with the key of --tls-certificate"),
            (None, Some(_)) => bail!("--tls-certificate is missing: name the file with the certificate of --tls-key"),
        };
        let acme = (!self.acme_host.is_empty()).then(|| AcmeConfig {
            hosts: self.acme_host.iter().map(Domain::to_string).collect(),
            contact: self.acme_contact,
            directory: self.acme_directory,
            roots: self.acme_roots,
            challenge: match self.acme_challenge {
                Challenge::TlsAlpn01 => wasmway_gateway::Challenge::TlsAlpn01,
                Challenge::Http01 => wasmway_gateway::Challenge::Http01,
            },
        });
        let listen = match (self.tls_listen, files.is_some() || acme.is_some()) {
            (None, false) => return Ok(None),
            (Some(listen), true) => listen,
            (None, true) => {
                return Err(anyhow!("--tls-listen is missing: name the address for TLS, such as 0.0.0.0:443"));
            }
            (Some(_), false) => bail!("--tls-listen needs --tls-certificate and --tls-key, or --acme-host"),
        };
        Ok(Some(TlsConfig { listen, files, acme }))
    }
}
