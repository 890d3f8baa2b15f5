//! Tokens: who may do what.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::TryFutureExt;
use jiff::{SignedDuration, Timestamp};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::FromRow;

use super::Registry;
use super::audit::{self, Act, Author};
use super::rows::read;
use crate::database::on;
use crate::error::RegistryError;
use crate::names::Namespace;

/// How every token's secret begins, so that a leaked one is known for what it is.
pub const TOKEN_PREFIX: &str = "wwt_";
/// Random bytes of a secret. So many cannot be guessed, however fast their hash is: it needs no salt and no slowness.
const SECRET_BYTES: usize = 32;
/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 100;
/// When a token was used is written down no more often than this.
const USE_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What a token is good for; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reading.
    Viewer,
    /// Deploying and deleting too.
    Developer,
    /// Everything.
    Admin,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "developer" => Ok(Self::Developer),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("{text:?} is no role: choose viewer, developer or admin")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
        })
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for, for people.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The only namespace that it is good for; `None` for all.
    pub namespace: Option<Namespace>,
    /// How long it is good; `None` for ever.
    pub lifetime: Option<Duration>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// By which it is revoked.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The only namespace that it is good for; `None` for all.
    pub namespace: Option<Namespace>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends to be good; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last shown, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether it was good once, and is no more.
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= Timestamp::now())
    }
}

#[derive(FromRow)]
struct TokenRow {
    id: String,
    name: String,
    role: String,
    namespace: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

/// A role that this program does not know: a newer one wrote it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UnknownRole(String);

impl TokenRow {
    fn token(self) -> Result<Token, RegistryError> {
        let holder = format!("the token {}", self.id);
        let time = |at| read("time", &holder, Timestamp::from_microsecond(at));
        Ok(Token {
            name: self.name,
            role: read("role", &holder, self.role.parse().map_err(UnknownRole))?,
            namespace: self.namespace.map(|name| read("namespace", &holder, name.try_into())).transpose()?,
            created_at: time(self.created_at)?,
            expires_at: self.expires_at.map(time).transpose()?,
            last_used_at: self.last_used_at.map(time).transpose()?,
            id: self.id,
        })
    }
}

impl Registry {
    /// Makes a token. Its secret is in the answer, and nowhere else.
    pub async fn create_token(&self, new: &NewToken, author: &Author) -> Result<(Token, String), RegistryError> {
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            let detail =
                format!("name: write one of 1 to {NAME_CHARACTERS_MAX} characters that says what the token is for");
            return Err(RegistryError::BadToken(detail));
        }
        let mut random = [0; SECRET_BYTES + 6];
        rand::rng().fill_bytes(&mut random);
        let (id, secret) = random.split_at(6);
        let (id, secret) = (hex::encode(id), format!("{TOKEN_PREFIX}{}", hex::encode(secret)));
        let now = microseconds(Timestamp::now());
        let expires_at = match new.lifetime {
            None => None,
            Some(lifetime) => Some(now.checked_add(lifetime).map(microseconds).map_err(|_| {
                RegistryError::BadToken("expires: that is later than any date; leave it out for never".to_owned())
            })?),
        };
        let mut transaction = self.shared.database.change().await?;
        on!(&mut transaction, connection => sqlx::query(
            "INSERT INTO tokens (id, hash, name, role, namespace, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(hash(&secret))
        .bind(name)
        .bind(new.role.to_string())
        .bind(new.namespace.as_ref().map(Namespace::as_str))
        .bind(now.as_microsecond())
        .bind(expires_at.map(Timestamp::as_microsecond))
        .execute(connection).map_ok(drop))?;
        let token = Token {
            name: name.to_owned(),
            role: new.role,
            namespace: new.namespace.clone(),
            created_at: now,
            expires_at,
            last_used_at: None,
            id,
        };
        let (subject, after) = (format!("token {}", token.id), describe(&token));
        let act = Act { action: "token-create", subject: &subject, before: None, after: Some(&after) };
        audit::write(&mut transaction, author, act).await?;
        transaction.commit().await?;
        Ok((token, secret))
    }

    /// The token with this secret, also when it [has expired](Token::has_expired); notes that it was used when it has not.
    pub async fn token_of(&self, secret: &str) -> Result<Option<Token>, RegistryError> {
        let random = secret.strip_prefix(TOKEN_PREFIX).unwrap_or_default();
        if random.len() != 2 * SECRET_BYTES || !random.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut transaction = self.shared.database.read().await?;
        let hash = hash(secret);
        let row: Option<TokenRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT id, name, role, namespace, created_at, expires_at, last_used_at FROM tokens WHERE hash = $1",
        )
        .bind(&hash)
        .fetch_optional(connection))?;
        drop(transaction);
        self.used(row).await
    }

    /// The token of that id, for whoever has shown its secret before; otherwise as [`Registry::token_of`].
    pub async fn token_of_id(&self, id: &str) -> Result<Option<Token>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let row: Option<TokenRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT id, name, role, namespace, created_at, expires_at, last_used_at FROM tokens WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(connection))?;
        drop(transaction);
        self.used(row).await
    }

    /// Notes that a token was used, when it is good.
    async fn used(&self, row: Option<TokenRow>) -> Result<Option<Token>, RegistryError> {
        let Some(token) = row.map(TokenRow::token).transpose()? else { return Ok(None) };
        let now = Timestamp::now();
        if !token.has_expired()
            && token.last_used_at.is_none_or(|last| now.duration_since(last) > USE_NOTED_EVERY)
            && let Err(error) = self.note_use(&token.id, now).await
        {
            // A token is good also while nothing can be written.
            tracing::warn!(%error, "the use of a token cannot be noted");
        }
        Ok(Some(token))
    }

    async fn note_use(&self, id: &str, now: Timestamp) -> Result<(), RegistryError> {
        let mut transaction = self.shared.database.note().await?;
        on!(&mut transaction, connection => sqlx::query("UPDATE tokens SET last_used_at = $2 WHERE id = $1")
            .bind(id)
            .bind(now.as_microsecond())
            .execute(connection).map_ok(drop))?;
        transaction.commit().await
    }

    /// All tokens, the oldest first; those that have expired are among them.
    pub async fn tokens(&self) -> Result<Vec<Token>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let rows: Vec<TokenRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT id, name, role, namespace, created_at, expires_at, last_used_at FROM tokens ORDER BY created_at, id",
        )
        .fetch_all(connection))?;
        rows.into_iter().map(TokenRow::token).collect()
    }

    /// Ends a token at once; `false` if there is none of that id.
    pub async fn revoke_token(&self, id: &str, author: &Author) -> Result<bool, RegistryError> {
        let mut transaction = self.shared.database.change().await?;
        let row: Option<TokenRow> = on!(&mut transaction, connection => sqlx::query_as(
            "DELETE FROM tokens WHERE id = $1 RETURNING id, name, role, namespace, created_at, expires_at, last_used_at",
        )
        .bind(id)
        .fetch_optional(connection))?;
        let Some(token) = row.map(TokenRow::token).transpose()? else { return Ok(false) };
        let (subject, before) = (format!("token {}", token.id), describe(&token));
        let act = Act { action: "token-revoke", subject: &subject, before: Some(&before), after: None };
        audit::write(&mut transaction, author, act).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The time as the database keeps it.
fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn describe(token: &Token) -> String {
    let namespace = token.namespace.as_ref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
    let end = token.expires_at.map_or_else(String::new, |end| format!(" until {end}"));
    format!("{:?}: {}{namespace}{end}", token.name, token.role)
}
