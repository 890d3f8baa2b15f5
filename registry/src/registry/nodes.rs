//! The nodes that serve functions, as they say of themselves.

use futures::TryFutureExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::Registry;
use super::rows::read;
use crate::database::on;
use crate::error::RegistryError;

/// A node that has said nothing for so long is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name, the same after a restart.
    pub name: String,
    /// Where it is called.
    pub address: String,
    /// The revision up to which it serves everything but what is in `failing`.
    pub revision: u64,
    /// What it cannot serve, and why.
    pub failing: Vec<String>,
    /// What it has to do; a node of before does not say.
    #[serde(default)]
    pub load: Option<NodeLoad>,
}

/// What a node has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeLoad {
    /// Requests a second, over the last ten seconds.
    pub requests_s: f64,
    /// The share of the last minute's requests that failed; `None` when there were none.
    pub failed: Option<f64>,
    /// The time in seconds within which 99 of 100 requests of the last minute were answered.
    pub p99_s: Option<f64>,
    /// Seconds of CPU time in a second, of the whole process; `None` where nothing says it.
    pub cpu: Option<f64>,
    /// Bytes of resident memory; `None` where nothing says it.
    pub memory_bytes: Option<f64>,
    /// Instances that it has, and that it can have.
    pub slots_used: u32,
    pub slots: u32,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it said last.
    pub report: NodeReport,
    /// When.
    pub seen_at: Timestamp,
}

#[derive(FromRow)]
struct NodeRow {
    name: String,
    address: String,
    revision: i64,
    failing: String,
    seen_at: i64,
    load: Option<String>,
}

impl Registry {
    /// Writes down what a node says of itself, over what it said before.
    pub async fn report_node(&self, report: &NodeReport) -> Result<(), RegistryError> {
        // A text that serde made of texts.
        let failing = serde_json::to_string(&report.failing).expect("JSON can hold it");
        let load = report.load.as_ref().map(|load| serde_json::to_string(load).expect("JSON can hold it"));
        let revision = i64::try_from(report.revision).unwrap_or(i64::MAX);
        let now = Timestamp::now();
        let mut transaction = self.shared.database.note().await?;
        on!(&mut transaction, connection => sqlx::query("DELETE FROM nodes WHERE seen_at < $1")
            .bind((now - FORGOTTEN_AFTER).as_microsecond())
            .execute(connection).map_ok(drop))?;
        on!(&mut transaction, connection => sqlx::query(
            "INSERT INTO nodes (name, address, revision, failing, seen_at, load) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (name) DO UPDATE SET address = excluded.address, revision = excluded.revision, \
             failing = excluded.failing, seen_at = excluded.seen_at, load = excluded.load",
        )
        .bind(&report.name)
        .bind(&report.address)
        .bind(revision)
        .bind(&failing)
        .bind(now.as_microsecond())
        .bind(load)
        .execute(connection).map_ok(drop))?;
        transaction.commit().await
    }

    /// All nodes by name that were heard of in the last hour.
    pub async fn nodes(&self) -> Result<Vec<Node>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let rows: Vec<NodeRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT name, address, revision, failing, seen_at, load FROM nodes ORDER BY name",
        )
        .fetch_all(connection))?;
        rows.into_iter().map(NodeRow::record).collect()
    }
}

impl NodeRow {
    fn record(self) -> Result<Node, RegistryError> {
        let holder = format!("the node {}", self.name);
        Ok(Node {
            report: NodeReport {
                name: self.name,
                address: self.address,
                revision: read("revision", &holder, self.revision.try_into())?,
                failing: read("list of failures", &holder, serde_json::from_str(&self.failing))?,
                load: read("load", &holder, self.load.as_deref().map(serde_json::from_str).transpose())?,
            },
            seen_at: read("time", &holder, Timestamp::from_microsecond(self.seen_at))?,
        })
    }
}
