//! Addresses, clocks, and what is elsewhere: database, store, registry.

use super::Finding;
use crate::{
    config::{Config, Role},
    token::Token,
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{Client, Response, Url};
use std::{error::Error, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use wasmway_registry::Stores;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Apart from each other by this much clocks are wrong; a header's time is cut to seconds.
const CLOCK_OFF: SignedDuration = SignedDuration::from_secs(5);

/// Whether the listeners find their addresses free.
pub(super) async fn addresses(config: &Config, running: Option<&Url>) -> Vec<Finding> {
    if let Some(url) = running {
        return vec![Finding::fine("addresses", format!("a server of this data directory runs, {url}"))];
    }
    let mut found = Vec::new();
    if !matches!(config.role, Role::Registry) {
        found.push(address("data plane", "--listen", config.listen).await);
        if let Some(tls) = &config.tls {
            found.push(address("data plane over TLS", "--tls-listen", tls.listen).await);
        }
    }
    found.push(address("control plane", "--control", config.control).await);
    found
}

async fn address(name: &'static str, flag: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::fine(name, format!("{address} is free")),
        Err(error) => Finding::bad(
            name,
            format!("{address} cannot be bound: {error}"),
            format!("stop what listens there (ss -ltnp), or name another with {flag}"),
        ),
    }
}

/// Holds the clock of this machine against that of a control plane.
pub(super) async fn clock(server: Option<&Url>) -> Option<Finding> {
    const NAME: &str = "clock";
    let server = server?;
    let before = Timestamp::now();
    let response = match livez(server).await {
        Ok(response) => response,
        Err(why) => {
            let fix = "start it, or name another with --server";
            return Some(Finding::poor(NAME, format!("{server} does not answer: {why}"), fix));
        }
    };
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| rfc2822::parse(date).ok()) else {
        let seen = format!("{server} does not say what time it is");
        return Some(Finding::poor(NAME, seen, "name a control plane of Wasmway with --server"));
    };
    let apart = before.duration_since(theirs.timestamp()).abs();
    let seen = format!("{:.0} s apart from {server}", apart.as_secs_f64());
    Some(if apart > CLOCK_OFF {
        let fix = "let NTP set both clocks: tokens end by the clock, and gateways count as away by it";
        Finding::poor(NAME, seen, fix)
    } else {
        Finding::fine(NAME, seen)
    })
}

/// Whether the registry that a gateway follows answers.
pub(super) async fn registry(server: &Url) -> Finding {
    match livez(server).await {
        Ok(response) if response.status().is_success() => Finding::fine("registry", format!("{server} answers")),
        Ok(response) => Finding::bad(
            "registry",
            format!("{server} answers {} to /livez", response.status()),
            "name the control plane of `wasmway registry` or `wasmway up` with --registry",
        ),
        Err(why) => Finding::bad(
            "registry",
            format!("{server} does not answer: {why}"),
            "start it, or name another with --registry; a gateway that has a snapshot starts without it",
        ),
    }
}

/// Whether a gateway has its token.
pub(super) fn token(config: &Config) -> Finding {
    let path = config.node_token_file.clone().unwrap_or_else(|| config.data_dir.join("node.token"));
    match Token::read(&path) {
        Ok(_) => Finding::fine("node token", path.display().to_string()),
        Err(error) => Finding::bad(
            "node token",
            format!("{} cannot be read: {error}", path.display()),
            "copy node.token of the registry's data directory, and name it with --node-token-file",
        ),
    }
}

/// Whether database and object store answer, where they are elsewhere.
pub(super) async fn stores(stores: &Stores) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(database) = &stores.database {
        found.push(match database.answers().await {
            Ok(version) => Finding::fine("database", format!("{database} answers, Postgres {version}")),
            Err(error) => {
                let seen = format!("{database} does not answer: {}", whole(&error));
                Finding::bad("database", seen, "look at --database, at the server's log, and at what is between")
            }
        });
    }
    if let Some(bucket) = &stores.bucket {
        let answer = tokio::time::timeout(PATIENCE, bucket.answers()).await;
        let trouble = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(whole(&error)),
            Err(_) => Some(format!("no answer in {PATIENCE:?}")),
        };
        found.push(match trouble {
            None => Finding::fine("object store", format!("{bucket} answers, and lets us read")),
            Some(why) => Finding::bad(
                "object store",
                format!("{bucket} does not answer: {why}"),
                "look at --artifacts, and at the credentials in the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, ...)",
            ),
        });
    }
    found
}

async fn livez(server: &Url) -> Result<Response, String> {
    let client = Client::builder().timeout(PATIENCE).no_proxy().build().map_err(|error| whole(&error))?;
    let mut url = server.clone();
    url.set_path(&format!("{}/livez", server.path().trim_end_matches('/')));
    client.get(url).send().await.map_err(|error| whole(&error.without_url()))
}

/// An error with all its causes, each said once.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
