//! Who changed what, and when: written in the transaction of the change.

use futures::TryFutureExt;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::FromRow;

use super::Registry;
use super::rows::read;
use crate::database::{Transaction, on};
use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace};

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name of the token.
    pub name: String,
    /// The address that the request came from.
    pub address: String,
    /// The request's id.
    pub request_id: String,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Counts up with every change.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The name of the token that was shown.
    pub author: String,
    /// The address that the request came from.
    pub address: String,
    /// The request's id.
    pub request_id: String,
    /// What was done: `deploy`, `rollback`, `traffic`, `take-back`, `delete`, `quota`, `token-create`, `token-revoke` or, which
    /// changes nothing but reads what people send, `record`.
    pub action: String,
    /// To which function (`NAMESPACE/NAME`), namespace or token.
    pub subject: String,
    /// As it was before; `None` when it was not there.
    pub before: Option<String>,
    /// As it was afterwards; `None` when it was gone.
    pub after: Option<String>,
}

#[derive(FromRow)]
struct AuditRow {
    id: i64,
    at: i64,
    author: String,
    address: String,
    request_id: String,
    action: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
}

impl AuditRow {
    fn entry(self) -> Result<AuditEntry, RegistryError> {
        let Self { id, author, address, request_id, action, subject, before, after, .. } = self;
        let at = read("time", "the audit log", Timestamp::from_microsecond(self.at))?;
        Ok(AuditEntry { id, at, author, address, request_id, action, subject, before, after })
    }
}

/// What is done to what, and how that was before and is after.
pub(super) struct Act<'a> {
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
}

/// Writes a change down.
pub(super) async fn write(transaction: &mut Transaction, author: &Author, act: Act<'_>) -> Result<(), RegistryError> {
    on!(transaction, connection => sqlx::query(
        "INSERT INTO audit (at, author, address, request_id, action, subject, before, after) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(Timestamp::now().as_microsecond())
    .bind(&author.name)
    .bind(&author.address)
    .bind(&author.request_id)
    .bind(act.action)
    .bind(act.subject)
    .bind(act.before)
    .bind(act.after)
    .execute(connection).map_ok(drop))?;
    Ok(())
}

/// Calls of a function that are about to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    pub namespace: &'a Namespace,
    pub name: &'a FunctionName,
    /// Which of them.
    pub what: &'a str,
}

impl Registry {
    /// Writes down that calls of a function are about to be recorded.
    pub async fn record(&self, calls: &Recorded<'_>, author: &Author) -> Result<(), RegistryError> {
        let mut transaction = self.shared.database.note().await?;
        let subject = format!("{}/{}", calls.namespace, calls.name);
        let act = Act { action: "record", subject: &subject, before: None, after: Some(calls.what) };
        write(&mut transaction, author, act).await?;
        transaction.commit().await
    }

    /// At most `limit` changes, the latest first: from the very latest, or from the one before the entry `before`.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let rows: Vec<AuditRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT id, at, author, address, request_id, action, subject, before, after FROM audit \
             WHERE id < $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(connection))?;
        rows.into_iter().map(AuditRow::entry).collect()
    }
}
