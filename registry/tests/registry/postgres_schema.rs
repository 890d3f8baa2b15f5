//! The schema for Postgres is the schema for SQLite: applied to a server of its own, where Postgres is installed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::TestRegistry;

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");

#[tokio::test]
async fn both_databases_get_the_same_tables_and_columns() {
    let bin = postgres_programs().expect("initdb is needed: `cargo xtask toolchain` installs Postgres");
    let server = Postgres::start(&bin);
    for migration in migrations("postgres") {
        server.psql(&["-f", migration.to_str().unwrap()]);
    }
    let in_postgres = server.psql(&[
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

/// Where `initdb`, `pg_ctl` and `psql` are: Debian keeps them out of the path, in a folder per version.
fn postgres_programs() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let installed = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    installed.chain(on_path).find(|folder| folder.join("initdb").is_file())
}

/// A server in a folder of its own that listens on a socket there, and stops when it is dropped.
struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    /// Whether this process is root, which Postgres refuses to run as: `run` runs it as nobody then.
    as_nobody: bool,
}

impl Postgres {
    fn start(bin: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("wasmway-pg-").tempdir_in("/tmp").unwrap();
        // Whoever makes a folder owns it.
        let as_nobody = dir.path().metadata().unwrap().uid() == 0;
        let server = Self { bin: bin.to_owned(), dir, as_nobody };
        if as_nobody {
            expect_success(&mut command("chown", &["nobody", &server.path("")]));
        }
        server.run("initdb", &["-D", &server.path("data"), "-U", "postgres", "-A", "trust", "--no-sync"]);
        let options = format!("-c listen_addresses= -c fsync=off -k {}", server.path(""));
        let (data, log) = (server.path("data"), server.path("log"));
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
        server
    }

    /// What `psql` with these arguments prints, unaligned and without headings.
    fn psql(&self, arguments: &[&str]) -> String {
        let socket = self.path("");
        let mut all = vec!["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", &socket];
        all.extend(arguments);
        // As oneself, who can read the migrations wherever they are.
        let psql = Some(self.bin.join("psql")).filter(|path| path.is_file());
        let psql = psql.unwrap_or_else(|| "psql".into());
        let output = expect_success(&mut command(psql.to_str().unwrap(), &all));
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.bin.join(program);
        let program = program.to_str().unwrap();
        let mut command = if self.as_nobody {
            let mut as_nobody = command("runuser", &["-u", "nobody", "--", program]);
            as_nobody.args(arguments);
            as_nobody
        } else {
            command(program, arguments)
        };
        expect_success(command.current_dir(self.dir.path()));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.path("data"), "-m", "immediate", "stop"]);
    }
}

fn command(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn expect_success(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
