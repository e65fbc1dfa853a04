//! Requests to ClickHouse's HTTP interface.

use std::path::Path;
use std::time::Duration;

use levada_model::ErrorClass;
use reqwest::header::{CONTENT_ENCODING, HeaderValue};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::exception::code_in;
use super::{Connection, Failure, Table};
use crate::blocks::Tls;
use crate::http_client::{self, HttpError};

/// Bytes of an answer to anything but a read of rows. Ours: the columns of the widest tables are less.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Asks one server, as one user.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    connection: Connection,
    /// The address for messages.
    target: String,
}

// === impl Client ===

impl Client {
    /// Makes a client; connects to nothing.
    pub(crate) async fn new(
        connection: &Connection,
        tls: Option<&Tls>,
        folder: &Path,
    ) -> Result<Self, HttpError> {
        let trusting = Tls { insecure_skip_verify: true, ..Tls::default() };
        let tls = tls.or_else(|| connection.skips_verify.then_some(&trusting));
        Ok(Client {
            http: http_client::client(tls, folder).await?,
            connection: connection.clone(),
            target: http_client::shown_url(&connection.url).trim_end_matches('/').to_owned(),
        })
    }

    /// Gives the address for messages.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Begins a request with credentials, settings and parameters; `params` become part of the address.
    fn request(&self, params: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.connection.url.clone();
        {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &self.connection.settings {
                pairs.append_pair(name, value);
            }
            pairs.extend_pairs(params);
        }
        let mut request = self.http.post(url);
        let Connection { user, password, database, .. } = &self.connection;
        for (name, value) in [
            ("X-ClickHouse-User", user.as_str()),
            ("X-ClickHouse-Key", password.expose()),
            ("X-ClickHouse-Database", database.as_str()),
        ] {
            if !value.is_empty() {
                // A value that no header can carry makes the request fail, which says so.
                match HeaderValue::from_bytes(value.as_bytes()) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        request = request.header(name, value);
                    }
                    Err(_) => request = request.header(name, value),
                }
            }
        }
        request
    }

    /// Runs a statement whose answer is short, and gives the answer.
    pub(crate) async fn run(
        &self,
        sql: String,
        params: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let request = self.request(params).timeout(timeout).body(sql);
        self.answer(request).await
    }

    /// Writes a body with the statement among the parameters.
    pub(crate) async fn insert(
        &self,
        params: &[(&str, &str)],
        body: Vec<u8>,
        is_gzip: bool,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let mut request = self.request(params).timeout(timeout);
        if is_gzip {
            request = request.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.answer(request.body(body)).await.map(drop)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let response = self.send(request).await?;
        let body = http_client::body(&self.target, response, ANSWER_BYTES_MAX).await?;
        let Some(body) = body else {
            let text = format!("`{}` answers with more than {ANSWER_BYTES_MAX} bytes", self.target);
            return Err(Failure::new(ErrorClass::Unknown, text));
        };
        if has_exception(&body) {
            return Err(Failure::of_answer(&self.target, 200, None, &body));
        }
        Ok(body)
    }

    /// Runs a query whose answer is read as it comes.
    ///
    /// An answer that takes long is no fault, so only the connection is timed.
    pub(crate) async fn stream(
        &self,
        sql: String,
        params: &[(&str, &str)],
    ) -> Result<Response, Failure> {
        self.send(self.request(params).body(sql)).await
    }

    /// Sends a request and gives its answer, unless it is an exception.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response =
            request.send().await.map_err(|error| HttpError::no_answer(&self.target, error))?;
        let status = response.status();
        let code = response.headers().get("X-ClickHouse-Exception-Code");
        let code = code.and_then(|code| code.to_str().ok()?.trim().parse().ok());
        if status.as_u16() == 200 && code.is_none() {
            return Ok(response);
        }
        let body = http_client::body(&self.target, response, ANSWER_BYTES_MAX).await;
        let body = body.ok().flatten().unwrap_or_default();
        Err(Failure::of_answer(&self.target, status.as_u16(), code, &body))
    }

    /// Gives the rows of a short answer, each an object.
    pub(crate) async fn rows(
        &self,
        sql: String,
        params: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let body = self.run(sql, params, timeout).await?;
        let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(|_| {
            let text = format!("`{}` does not answer like ClickHouse", self.target);
            Failure::new(ErrorClass::InvalidData, text)
        })
    }
}

impl Client {
    /// Gives the columns of a table and their types; none when there is no table, or it may not be seen.
    pub(crate) async fn columns(
        &self,
        table: &Table,
        timeout: Duration,
    ) -> Result<Vec<(String, String)>, Failure> {
        let sql = "SELECT name, type FROM system.columns WHERE database = \
                   if({database:String} = '', currentDatabase(), {database:String}) \
                   AND table = {table:String} ORDER BY position FORMAT JSONEachRow";
        let rows = self.of_table(sql, table, timeout).await?;
        Ok(rows.iter().map(|row| (text(row, "name"), text(row, "type"))).collect())
    }

    /// Gives the engine of a table; nothing when there is none, or it may not be seen.
    pub(crate) async fn engine(
        &self,
        table: &Table,
        timeout: Duration,
    ) -> Result<Option<String>, Failure> {
        let sql = "SELECT engine FROM system.tables WHERE database = \
                   if({database:String} = '', currentDatabase(), {database:String}) \
                   AND name = {table:String} FORMAT JSONEachRow";
        let rows = self.of_table(sql, table, timeout).await?;
        Ok(rows.first().map(|row| text(row, "engine")))
    }

    async fn of_table(
        &self,
        sql: &str,
        table: &Table,
        timeout: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let database = parameter(table.database.as_deref().unwrap_or_default());
        let name = parameter(&table.name);
        let params = [("param_database", database.as_str()), ("param_table", &name)];
        self.rows(sql.to_owned(), &params, timeout).await
    }
}

fn text(row: &Value, key: &str) -> String {
    row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Gives a text as the value of a query parameter, which is written like a field of a TSV file.
pub(crate) fn parameter(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out
}

/// Tells whether a body that began well holds an exception.
fn has_exception(body: &[u8]) -> bool {
    code_in(body).is_some()
        && (body.starts_with(b"Code: ")
            || body.starts_with(b"{\"exception\"")
            || memchr::memmem::find(body, b"\nCode: ").is_some()
            || memchr::memmem::find(body, b"__exception__").is_some())
}
