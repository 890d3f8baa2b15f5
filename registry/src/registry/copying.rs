//! Everything that one registry holds, copied into another: from SQLite to Postgres, from a folder to an object store,
//! and back.

use std::collections::HashSet;

use futures::{Stream, TryFutureExt, TryStreamExt};
use sqlx::FromRow;
use tokio::io::AsyncReadExt;

use super::Registry;
use super::garbage::digests;
use crate::artifacts::ArtifactError;
use crate::database::{Transaction, on};
use crate::digest::Digest;
use crate::error::{RegistryError, io_error};

/// How often a registry that changes meanwhile is looked at again.
const TRIES: u32 = 10;
/// Bytes of a component that are read at a time.
const PIECE_BYTES: usize = 128 * 1024;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Functions, those that were deleted among them: their version numbers are never used again.
    pub functions: u64,
    /// Versions of them.
    pub versions: u64,
    /// Components.
    pub artifacts: u64,
    /// Bytes of the components.
    pub bytes: u64,
}

/// A table: its row, and how rows are read and written. Columns are named once; `places` has as many as there are.
macro_rules! table {
    ($row:ident, $table:literal, $places:literal, $first:ident: $first_type:ty, $($column:ident: $type:ty),+ $(,)?) => {
        #[derive(FromRow)]
        struct $row { $first: $first_type, $($column: $type),+ }

        impl Row for $row {
            async fn copy_all(from: &mut Transaction, to: &mut Transaction) -> Result<u64, RegistryError> {
                const ALL: &str = concat!("SELECT ", stringify!($first), $(", ", stringify!($column),)+ " FROM ", $table);
                on!(from, connection => write_all(sqlx::query_as::<_, Self>(ALL).fetch(connection), to))
            }

            async fn write(self, to: &mut Transaction) -> Result<(), RegistryError> {
                const ONE: &str = concat!(
                    "INSERT INTO ", $table, " (", stringify!($first), $(", ", stringify!($column),)+ ") VALUES (", $places, ")",
                );
                let Self { $first, $($column),+ } = self;
                on!(to, connection => sqlx::query(ONE).bind($first)$(.bind($column))+.execute(connection).map_ok(drop))?;
                Ok(())
            }
        }
    };
}

/// A row of a table that is copied.
trait Row: Sized {
    /// Answers how many there are.
    async fn copy_all(from: &mut Transaction, to: &mut Transaction) -> Result<u64, RegistryError>;
    async fn write(self, to: &mut Transaction) -> Result<(), RegistryError>;
}

// Without the active version, which has to be there first.
table!(FunctionRow, "functions", "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10",
    id: i64, namespace: String, name: String, last_version: i64, created_at: i64, deployed_at: i64, revision: i64,
    sticky: Option<String>, trial: Option<String>, split_from: Option<i64>);
table!(VersionRow, "versions", "$1, $2, $3, $4, $5, $6, $7, $8, $9",
    function_id: i64, version: i64, digest: String, size: i64, world: String, imports: String, manifest: String,
    created_at: i64, preview: i64);
table!(DeploymentRow, "deployments", "$1, $2, $3, $4", function_id: i64, seq: i64, version: i64, at: i64);
table!(RouteRow, "routes", "$1, $2, $3", host: String, path: String, function_id: i64);
table!(TrafficRow, "traffic", "$1, $2, $3", function_id: i64, version: i64, weight: i64);
table!(TokenRow, "tokens", "$1, $2, $3, $4, $5, $6, $7, $8",
    id: String, hash: String, name: String, role: String, namespace: Option<String>, created_at: i64,
    expires_at: Option<i64>, last_used_at: Option<i64>);
table!(AuditRow, "audit", "$1, $2, $3, $4, $5, $6, $7, $8, $9",
    id: i64, at: i64, author: String, address: String, request_id: String, action: String, subject: String,
    before: Option<String>, after: Option<String>);
table!(QuotaRow, "quotas", "$1, $2, $3, $4, $5, $6, $7, $8",
    namespace: String, functions: Option<i64>, component_bytes: Option<i64>, memory: Option<i64>,
    concurrency: Option<i64>, requests_per_second: Option<i64>, cpu_weight: Option<i64>, revision: i64);

impl Registry {
    /// Copies everything into `to`, which must be empty: functions, all their versions, tokens, quotas, the audit log and
    /// the components. What is there afterwards is as of one moment during the call; others may go on to use this
    /// registry. Nodes, which say anew who they are, are left out.
    pub async fn copy_to(&self, to: &Registry) -> Result<Copied, RegistryError> {
        to.refuse_unless_empty().await?;
        let mut copied = Copied::default();
        let mut there = HashSet::new();
        for _ in 0..TRIES {
            // The components first: what has a name in `to` is there.
            for digest in self.named().await? {
                if there.insert(digest) {
                    copied.bytes += self.copy_artifact(&digest, to).await?;
                    copied.artifacts += 1;
                }
            }
            if let Some(rows) = self.copy_rows(to, &there).await? {
                return Ok(Copied { functions: rows.functions, versions: rows.versions, ..copied });
            }
        }
        Err(RegistryError::Busy("the registry changed all the while; stop its deploys, and try again".to_owned()))
    }

    async fn refuse_unless_empty(&self) -> Result<(), RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let found: i64 = on!(&mut transaction, connection => sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM functions) + (SELECT COUNT(*) FROM tokens) + (SELECT COUNT(*) FROM quotas) \
             + (SELECT COUNT(*) FROM audit)",
        )
        .fetch_one(connection))?;
        if found == 0 { Ok(()) } else { Err(RegistryError::NotEmpty) }
    }

    /// Answers how many bytes it has.
    async fn copy_artifact(&self, digest: &Digest, to: &Registry) -> Result<u64, RegistryError> {
        let mut artifact = self.artifacts().open(digest).await?.ok_or(RegistryError::ArtifactMissing(*digest))?;
        let mut upload = to.artifacts().upload(artifact.size).await?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match artifact.file.read(&mut piece).await.map_err(io_error("read", &self.artifacts().path(digest)))? {
                0 => break,
                read => upload.write(&piece[..read]).await?,
            }
        }
        let upload = upload.seal().await?;
        if upload.digest() != *digest {
            return Err(ArtifactError::Damaged(*digest).into());
        }
        upload.commit().await?;
        Ok(artifact.size)
    }

    /// `None`, and nothing is copied, if a version names a component that is not `there`.
    async fn copy_rows(&self, to: &Registry, there: &HashSet<Digest>) -> Result<Option<Copied>, RegistryError> {
        let mut from = self.shared.database.read().await?;
        let mut to = to.shared.database.change().await?;
        let mut copied = Copied::default();
        let revision: i64 = on!(&mut from, connection =>
            sqlx::query_scalar("SELECT revision FROM registry").fetch_one(connection))?;
        if digests(&mut from).await?.iter().any(|digest| !there.contains(digest)) {
            return Ok(None);
        }
        copied.functions = FunctionRow::copy_all(&mut from, &mut to).await?;
        copied.versions = VersionRow::copy_all(&mut from, &mut to).await?;
        activate(&mut from, &mut to).await?;
        DeploymentRow::copy_all(&mut from, &mut to).await?;
        RouteRow::copy_all(&mut from, &mut to).await?;
        TrafficRow::copy_all(&mut from, &mut to).await?;
        TokenRow::copy_all(&mut from, &mut to).await?;
        AuditRow::copy_all(&mut from, &mut to).await?;
        QuotaRow::copy_all(&mut from, &mut to).await?;
        on!(&mut to, connection => sqlx::query("UPDATE registry SET revision = $1")
            .bind(revision)
            .execute(connection).map_ok(drop))?;
        count_on(&mut to).await?;
        to.commit().await?;
        Ok(Some(copied))
    }
}

async fn write_all<R: Row>(
    rows: impl Stream<Item = Result<R, sqlx::Error>>,
    to: &mut Transaction,
) -> Result<u64, RegistryError> {
    let mut rows = std::pin::pin!(rows);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        row.write(to).await?;
        count += 1;
    }
    Ok(count)
}

/// Gives each function its active version.
async fn activate(from: &mut Transaction, to: &mut Transaction) -> Result<(), RegistryError> {
    let active: Vec<(i64, i64)> = on!(from, connection => sqlx::query_as(
        "SELECT id, active_version FROM functions WHERE active_version IS NOT NULL",
    )
    .fetch_all(connection))?;
    for (id, version) in active {
        on!(to, connection => sqlx::query("UPDATE functions SET active_version = $2 WHERE id = $1")
            .bind(id)
            .bind(version)
            .execute(connection).map_ok(drop))?;
    }
    Ok(())
}

/// Has Postgres number new rows from after those that were copied with their numbers. SQLite does so by itself.
async fn count_on(transaction: &mut Transaction) -> Result<(), RegistryError> {
    const SEQUENCES: [&str; 2] = [
        "SELECT setval(pg_get_serial_sequence('functions', 'id'), COALESCE(MAX(id), 0) + 1, false) FROM functions",
        "SELECT setval(pg_get_serial_sequence('audit', 'id'), COALESCE(MAX(id), 0) + 1, false) FROM audit",
    ];
    let Transaction::Postgres(transaction) = transaction else { return Ok(()) };
    for sequence in SEQUENCES {
        sqlx::query(sequence).execute(&mut **transaction).await?;
    }
    Ok(())
}
