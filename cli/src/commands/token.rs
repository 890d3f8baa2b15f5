//! `wasmway token`.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use wasmway_registry::{Namespace, Role};

use crate::api::{CreatedToken, TokenList};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::settings::lasting;

/// Make, list and revoke tokens
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway token create \"CI of the shop\" --role developer --only shop --expires 2160h\n  wasmway token list\n  wasmway token revoke 3f9a01c27d44"
)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a token and print its secret, which is shown this once
    Create {
        /// What it is for
        name: String,
        /// What it is good for: viewer reads, developer deploys and deletes too, admin does everything
        #[arg(long)]
        role: Role,
        /// The only namespace that it is good for [default: all]
        #[arg(long, value_name = "NAMESPACE")]
        only: Option<Namespace>,
        /// How long it is good [default: for ever]
        #[arg(long, value_name = "TIME", value_parser = lasting("1s", "87600h"))]
        expires: Option<Duration>,
    },
    /// List tokens, without their secrets
    List,
    /// End a token at once
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

pub(crate) async fn run(arguments: Tokens, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    match arguments.act {
        Act::Create { name, role, only, expires } => {
            let expires = expires.map(|time| time.as_secs());
            let new = json!({"name": name, "role": role, "namespace": only, "expires_in_s": expires});
            let answer: Value = client.json(client.request(Method::POST, "api/v1/tokens").json(&new)).await?;
            if globals.output == Format::Json {
                return output::json(&answer);
            }
            let created: CreatedToken = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
            output::line(created.secret)
        }
        Act::List => {
            let answer: Value = client.json(client.request(Method::GET, "api/v1/tokens")).await?;
            if globals.output == Format::Json {
                return output::json(&answer);
            }
            let list: TokenList = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
            let rows = list.tokens.into_iter().map(|token| {
                let time = |time: Option<jiff::Timestamp>, none: &str| {
                    time.map_or_else(|| none.to_owned(), |it| it.to_string())
                };
                vec![
                    token.id,
                    token.name,
                    token.role,
                    token.namespace.unwrap_or_else(|| "all".to_owned()),
                    output::ago(token.created_at),
                    token.last_used_at.map_or_else(|| "never".to_owned(), output::ago),
                    time(token.expires_at, "never"),
                ]
            });
            output::table(&["ID", "NAME", "ROLE", "NAMESPACE", "CREATED", "USED", "EXPIRES"], rows)
        }
        Act::Revoke { id } => {
            client.send(client.request(Method::DELETE, &format!("api/v1/tokens/{id}"))).await?;
            output::line(format_args!("revoked {id}"))
        }
    }
}
