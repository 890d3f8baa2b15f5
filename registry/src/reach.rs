//! Whether a database can be reached, without changing anything in it.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

use crate::database::PostgresUrl;
use crate::error::RegistryError;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl PostgresUrl {
    /// Connects, and answers the version of the server.
    pub async fn answers(&self) -> Result<String, RegistryError> {
        let ask = async {
            let mut connection = self.0.clone().connect().await?;
            let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok(version)
        };
        let late =
            |_| Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in 5 s")).into());
        tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(late)
    }
}
