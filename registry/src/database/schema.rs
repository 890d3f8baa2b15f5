//! The schema of a database: which migrations make it what this program needs, and which of them it has had.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use crate::error::RegistryError;

/// A step of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Its number, by which they are ordered.
    pub number: i64,
    /// What it brings, in a word or two; of one that this program does not know it is not known.
    pub name: Option<String>,
    /// Whether the database has had it.
    pub applied: bool,
}

/// The steps that a database has had, if it has had any.
const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";

fn sqlite() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/sqlite");
    // Of a newer program: migrations first only add, so that what this one needs is there.
    migrator.set_ignore_missing(true);
    migrator
}

fn postgres() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    migrator.set_ignore_missing(true);
    migrator
}

/// Which steps the database has had, and which it lacks. It changes nothing.
pub(super) async fn of_sqlite(pool: &SqlitePool) -> Result<Vec<Migration>, RegistryError> {
    let begun: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_one(pool)
        .await?;
    let applied = if begun == 0 { Vec::new() } else { sqlx::query_scalar(APPLIED).fetch_all(pool).await? };
    Ok(steps(&sqlite(), applied))
}

/// As [`of_sqlite`].
pub(super) async fn of_postgres(pool: &PgPool) -> Result<Vec<Migration>, RegistryError> {
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    let applied = if begun { sqlx::query_scalar(APPLIED).fetch_all(pool).await? } else { Vec::new() };
    Ok(steps(&postgres(), applied))
}

fn steps(migrator: &Migrator, applied: Vec<i64>) -> Vec<Migration> {
    let mut applied: HashSet<i64> = applied.into_iter().collect();
    let known = migrator.iter().map(|step| (step.version, Some(step.description.to_string())));
    let known: Vec<Migration> =
        known.map(|(number, name)| Migration { number, name, applied: applied.remove(&number) }).collect();
    let mut newer: Vec<i64> = applied.into_iter().collect();
    newer.sort_unstable();
    let newer = newer.into_iter().map(|number| Migration { number, name: None, applied: true });
    known.into_iter().chain(newer).collect()
}

fn is_complete(steps: &[Migration]) -> bool {
    steps.iter().all(|step| step.applied)
}

/// Takes the steps that the database lacks.
pub(super) async fn bring_sqlite(pool: &SqlitePool) -> Result<(), RegistryError> {
    Ok(sqlite().run(pool).await?)
}

/// Takes the steps that the database lacks: one of several programs that start at once does it, under an advisory lock,
/// and the others wait for it. Where nothing is lacking nothing is written, so that a user who may not change the schema
/// will do.
pub(super) async fn bring_postgres(pool: &PgPool) -> Result<(), RegistryError> {
    if !is_complete(&of_postgres(pool).await?) {
        postgres().run(pool).await?;
    }
    Ok(())
}
