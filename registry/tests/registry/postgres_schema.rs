//! The schema for Postgres is the schema for SQLite.

use std::path::{Path, PathBuf};

use crate::harness::TestRegistry;
use crate::postgres_server::Postgres;

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");

#[tokio::test]
async fn both_databases_get_the_same_tables_and_columns() {
    let server = Postgres::shared();
    let database = server.database();
    for migration in migrations("postgres") {
        server.psql(&["-d", &database, "-f", migration.to_str().unwrap()]);
    }
    let in_postgres = server.psql(&[
        "-d",
        &database,
        "-c",
        "SELECT table_name || '.' || column_name || ' ' || \
         CASE data_type WHEN 'bigint' THEN 'INTEGER' ELSE upper(data_type) END || ' ' || is_nullable \
         FROM information_schema.columns WHERE table_schema = 'public' \
         ORDER BY table_name COLLATE \"C\", ordinal_position",
    ]);
    assert_eq!(in_postgres.trim(), columns_in_sqlite().await);

    let names =
        |database| migrations(database).iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names("postgres"), names("sqlite"));
}

/// The columns that a registry's own database has, by the name and type they are known by in SQLite.
async fn columns_in_sqlite() -> String {
    let registry = TestRegistry::new().await;
    let url = format!("sqlite://{}/registry.db", registry.path().display());
    let database = sqlx::SqlitePool::connect(&url).await.unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END \
         FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
         WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '_sqlx%' ORDER BY t.name, c.cid",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    columns.join("\n")
}

fn migrations(database: &str) -> Vec<PathBuf> {
    let folder = Path::new(MIGRATIONS).join(database);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
