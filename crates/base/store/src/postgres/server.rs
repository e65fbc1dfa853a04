//! The server: how it is reached, and what its errors mean.

use std::str::FromStr as _;
use std::time::Duration;

use levada_model::ErrorKind;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Error as SqlError};
use tokio::time::timeout;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a session must be like: what was confirmed is on disk, and a machine that vanished loses its locks within half a minute.
const PREPARE: &str = "
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SET statement_timeout = '8s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3";

/// Why something failed.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Where the server is, and how it is named in errors.
pub(crate) struct Server {
    options: PgConnectOptions,
    /// Host, port and database.
    pub(crate) name: String,
}

// === impl Server ===

impl Server {
    /// Reads an address such as `postgres://user:password@host:5432/database?sslmode=verify-full`; connections carry the name
    /// `application` unless the address names another.
    ///
    /// - Errors: what is wrong with it, without the password.
    pub(crate) fn new(address: &str, application: &str) -> Result<Self, String> {
        let mut options = PgConnectOptions::from_str(address)
            .map_err(|error| error.to_string())?
            .disable_statement_logging();
        if options.get_application_name().is_none() {
            options = options.application_name(application);
        }
        let database = options.get_database().unwrap_or(options.get_username());
        let name = format!("{}:{}/{database}", options.get_host(), options.get_port());
        Ok(Self { options, name })
    }

    /// Makes a connection and prepares its session.
    pub(crate) async fn connect(&self) -> Result<PgConnection, (ErrorKind, Source)> {
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            sqlx::raw_sql(PREPARE).execute(&mut connection).await?;
            Ok::<_, SqlError>(connection)
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err((kind_of(&error), error.into())),
            Err(_) => Err((ErrorKind::Unavailable, no_answer(CONNECT_TIMEOUT))),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold the password.
        formatter.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

// === helpers ===

/// Says that nobody answered for so long.
pub(crate) fn no_answer(patience: Duration) -> Source {
    format!("no answer within {} s", patience.as_secs()).into()
}

/// Gives the code of an error of the server.
pub(crate) fn code_of(error: &SqlError) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// Says whether the connection cannot be used any more. An error of the server about one statement leaves it as it was.
pub(crate) fn is_lost(error: &SqlError) -> bool {
    match code_of(error).as_deref() {
        // Connection errors, shutdowns, ends of idle sessions, and statements prepared for tables that were made anew.
        Some(code) => {
            ["08", "57P", "25P", "0A000", "42P01"].iter().any(|start| code.starts_with(start))
        }
        None => true,
    }
}

pub(crate) fn kind_of(error: &SqlError) -> ErrorKind {
    let Some(code) = code_of(error) else {
        return match error {
            SqlError::Configuration(_) | SqlError::InvalidArgument(_) => ErrorKind::Invalid,
            SqlError::Decode(_) | SqlError::ColumnDecode { .. } | SqlError::ColumnNotFound(_) => {
                ErrorKind::Internal
            }
            _ => ErrorKind::Unavailable,
        };
    };
    match code.as_str() {
        code if code.starts_with("28") => ErrorKind::Unauthorized,
        "42501" => ErrorKind::Forbidden,
        "3D000" | "3F000" => ErrorKind::NotFound,
        code if code.starts_with("42") || code.starts_with("22") => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    }
}
