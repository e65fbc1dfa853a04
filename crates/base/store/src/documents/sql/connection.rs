//! A connection of either database, and statements on it.

use sqlx::Error as SqlError;

use crate::Document;

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqliteConnection),
    #[cfg(feature = "postgresql")]
    Postgres(sqlx::PgConnection),
}

/// What takes the place of `$1`, `$2`, … in a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Number(i64),
}

/// Something that a row of a result is.
pub(super) trait Fetch: Sized + Send {
    /// Gives all rows.
    fn fetch(
        connection: &mut Connection,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self>, SqlError>> + Send;
}

/// Does the same with a connection, whichever it is.
macro_rules! on {
    ($self:expr, $connection:ident => $work:expr) => {
        match $self {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite($connection) => $work,
            #[cfg(feature = "postgresql")]
            Connection::Postgres($connection) => $work,
        }
    };
}

/// Puts values into a query.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }};
}

// === impl Connection ===

impl Connection {
    /// Runs a statement; gives how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, SqlError> {
        on!(self, connection => {
            let query = bound!(sqlx::query(statement), values);
            Ok(query.execute(connection).await?.rows_affected())
        })
    }

    /// Runs statements, separated by `;`.
    pub(super) async fn script(&mut self, statements: &'static str) -> Result<(), SqlError> {
        on!(self, connection => {
            sqlx::raw_sql(statements).execute(connection).await?;
            Ok(())
        })
    }

    /// Gives the rows of a result.
    pub(super) async fn fetch<T: Fetch>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, SqlError> {
        T::fetch(self, statement, values).await
    }

    /// Gives the only row of a result.
    pub(super) async fn fetch_one<T: Fetch>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<T, SqlError> {
        self.fetch(statement, values).await?.pop().ok_or(SqlError::RowNotFound)
    }

    /// Ends it in an orderly way.
    pub(super) async fn close(self) -> Result<(), SqlError> {
        on!(self, connection => sqlx::Connection::close(connection).await)
    }
}

// === impl Fetch ===

/// Fetches rows whose columns are a tuple.
macro_rules! fetch {
    ($item:ty, $row:ty, $from:expr) => {
        impl Fetch for $item {
            async fn fetch(
                connection: &mut Connection,
                statement: &'static str,
                values: &[Value<'_>],
            ) -> Result<Vec<Self>, SqlError> {
                on!(connection, connection => {
                    let query = bound!(sqlx::query_as::<_, $row>(statement), values);
                    Ok(query.fetch_all(connection).await?.into_iter().map($from).collect())
                })
            }
        }
    };
}

fetch!(Document, (String, Vec<u8>, i64), |(key, value, version)| Document {
    key,
    value: value.into(),
    // The column holds what was given out, from 1.
    version: u64::try_from(version).unwrap_or(0),
});
fetch!(String, (String,), |(text,)| text);
fetch!(i64, (i64,), |(number,)| number);
fetch!((i64, i64), (i64, i64), |row| row);
fetch!((i64, String, String), (i64, String, String), |row| row);
