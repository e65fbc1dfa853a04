//! The statement protocol: a statement is posted, and answers are asked for until there is no next one.
//!
//! - Every request carries the token; a token that is refused is renewed once.
//! - 429, 502, 503 and 504 are repeated a few times, as the protocol asks for; then the error is transient.
//! - A connection that breaks while answers are asked for is made again: asking twice gives the same answer.
//! - A query that is dropped before its end is cancelled.
//! - Requests carry `PARAMETRIC_DATETIME`: without it the server cuts times to milliseconds.

use std::sync::Arc;
use std::time::Duration;

use levada_model::ErrorClass;
use levada_runtime::TaskKind;
use levada_settings::Duration as DurationSetting;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Response, Url};
use tokio::sync::Mutex;

use super::failure::Failure;
use super::literal::Column;
use super::page::Page;
use super::sql::TableName;
use super::token::Tokens;
use crate::blocks::{Keycloak, Tls};
use crate::context::BuildContext;
use crate::http_client::{answer, client};
use crate::spec::BuildError;

/// Who asks. Source: dataflow-operator.md §3.5.
const USER_DEFAULT: &str = "dataflow-operator";

/// How long a statement may take. Source: dataflow-operator.md §1.7, `queryTimeoutSeconds`.
pub(crate) const QUERY_TIMEOUT_DEFAULT: i32 = 600;

/// How long one request may take. Source: dataflow-operator.md §3.5.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the server may take to forget a query.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer. Ours: the server aims at 1 MiB and ends an answer behind the row that passes it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes of an answer that is an error.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// How often a request is repeated before the engine takes over. Ours.
const TRIES_MAX: u32 = 4;

/// The pause before a repetition; it doubles. Source: Trino's protocol, 50 to 100 ms.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause after answers without rows; it doubles. Ours: the server holds most requests itself.
const IDLE_PAUSE: Duration = Duration::from_millis(5);
const IDLE_PAUSE_MAX: Duration = Duration::from_millis(160);

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    url: Url,
    headers: HeaderMap,
    keycloak: Option<Keycloak>,
    tls: Option<Tls>,
    query_timeout: Duration,
}

/// Statements to one server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    server: Server,
    target: String,
    http: reqwest::Client,
    tokens: Arc<Mutex<Tokens>>,
    has_token: bool,
    ctx: BuildContext,
}

/// A statement under way; dropped, it is cancelled.
pub(crate) struct Query {
    next: Option<Url>,
    /// How long the server was waited for.
    waited: Duration,
    /// Answers without rows in a row.
    idle: u32,
    http: reqwest::Client,
    headers: HeaderMap,
    ctx: BuildContext,
}

/// What a connector's settings say about the server.
pub(crate) struct ServerSettings<'s> {
    pub(crate) server_url: &'s str,
    pub(crate) user: &'s str,
    pub(crate) place: &'s TableName,
    pub(crate) keycloak: Option<Keycloak>,
    pub(crate) tls: Option<Tls>,
    pub(crate) query_timeout_seconds: Option<i32>,
}

// === impl Server ===

impl Server {
    /// Checks the settings; connects to nothing.
    pub(crate) fn new(settings: ServerSettings<'_>) -> Result<Self, BuildError> {
        let invalid = |text: &str| BuildError::Invalid(text.to_owned());
        let base = settings.server_url.trim().trim_end_matches('/');
        let url = Url::parse(&format!("{base}/v1/statement"))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| invalid("serverURL must begin with http:// or https://"))?;
        // A token that cannot be had is told before anything runs.
        Tokens::new(settings.keycloak.as_ref())?;
        let user = if settings.user.is_empty() { USER_DEFAULT } else { settings.user };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-trino-user", user),
            ("x-trino-catalog", &settings.place.catalog),
            ("x-trino-schema", &settings.place.schema),
            ("x-trino-source", "levada"),
            ("x-trino-time-zone", "UTC"),
            ("x-trino-client-capabilities", "PARAMETRIC_DATETIME"),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                invalid("user, catalog and schema must not hold control characters")
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let agent = concat!("levada/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let seconds = settings.query_timeout_seconds.filter(|&seconds| seconds > 0);
        let seconds = seconds.unwrap_or(QUERY_TIMEOUT_DEFAULT);
        Ok(Server {
            url,
            headers,
            keycloak: settings.keycloak,
            tls: settings.tls,
            query_timeout: Duration::from_secs(u64::from(seconds.unsigned_abs())),
        })
    }
}

// === impl Client ===

impl Client {
    /// Makes the client; reads certificates, and asks the server nothing yet.
    pub(crate) async fn connect(server: &Server, ctx: &BuildContext) -> Result<Self, Failure> {
        let http =
            client(server.tls.as_ref(), &ctx.base_dir).await.map_err(crate::SinkError::from)?;
        let tokens = Tokens::new(server.keycloak.as_ref())
            .map_err(|error| Failure::new(ErrorClass::AuthError, error.to_string()))?;
        let target = redacted(&server.url);
        let has_token = tokens.are_used();
        let tokens = Arc::new(Mutex::new(tokens));
        Ok(Client { server: server.clone(), target, http, tokens, has_token, ctx: ctx.clone() })
    }

    /// Sends a statement and reads the first answer into `page`.
    pub(crate) async fn start(&self, sql: &[u8], page: &mut Page) -> Result<Query, Failure> {
        page.clear();
        page.columns = None;
        let started = self.ctx.clock.monotonic();
        let url = self.server.url.clone();
        let headers = self
            .send(Method::POST, url, Some(sql.to_vec()), REQUEST_TIMEOUT, &mut page.text)
            .await?;
        let mut query = Query {
            next: None,
            waited: self.ctx.clock.monotonic().saturating_sub(started),
            idle: 0,
            http: self.http.clone(),
            headers,
            ctx: self.ctx.clone(),
        };
        query.next = self.next(page)?;
        Ok(query)
    }

    /// Reads the next answer into `page`. Cancel-safe: dropped, it asks for the same answer again.
    pub(crate) async fn follow(&self, query: &mut Query, page: &mut Page) -> Result<(), Failure> {
        let Some(url) = query.next.clone() else { return Ok(()) };
        page.clear();
        let started = self.ctx.clock.monotonic();
        if query.idle > 0 {
            let pause = IDLE_PAUSE * 2u32.saturating_pow(query.idle.min(6) - 1);
            self.ctx.clock.sleep(pause.min(IDLE_PAUSE_MAX)).await;
        }
        let left = self.server.query_timeout.saturating_sub(query.waited);
        if left.is_zero() {
            return Err(self.too_long());
        }
        let result =
            self.send(Method::GET, url, None, left.min(REQUEST_TIMEOUT), &mut page.text).await;
        query.waited += self.ctx.clock.monotonic().saturating_sub(started);
        query.headers = match result {
            Err(failure)
                if failure.class == ErrorClass::Timeout
                    && query.waited >= self.server.query_timeout =>
            {
                return Err(self.too_long());
            }
            result => result?,
        };
        match self.next(page) {
            Ok(next) => query.next = next,
            Err(failure) => {
                // The server has ended it.
                query.next = None;
                return Err(failure);
            }
        }
        query.idle = if page.first.is_some() { 0 } else { query.idle.saturating_add(1) };
        Ok(())
    }

    /// Runs a statement to its end and drops its rows.
    pub(crate) async fn execute(&self, sql: &[u8], page: &mut Page) -> Result<(), Failure> {
        let mut query = self.start(sql, page).await?;
        while !query.is_finished() {
            self.follow(&mut query, page).await?;
        }
        Ok(())
    }

    /// Gives the columns of a table, none when it does not exist.
    pub(crate) async fn table_columns(
        &self,
        table: &TableName,
        page: &mut Page,
    ) -> Result<Vec<Column>, Failure> {
        let mut columns = Vec::new();
        let mut query = self.start(&table.columns_sql(), page).await?;
        loop {
            let mut at = page.first;
            while let Some(row) = at {
                let mut cells = page.tree.children(row);
                let mut cell = || {
                    let node = cells.next()?;
                    page.tree.string(&page.text, node).map(std::borrow::Cow::into_owned)
                };
                if let (Some(name), Some(declared)) = (cell(), cell()) {
                    columns.push(Column::new(name, declared));
                }
                at = page.tree.following(row);
            }
            if query.is_finished() {
                return Ok(columns);
            }
            self.follow(&mut query, page).await?;
        }
    }

    /// Gives the columns of a query's result, by asking for no row of it.
    pub(crate) async fn result_columns(
        &self,
        sql: &[u8],
        page: &mut Page,
    ) -> Result<Vec<Column>, Failure> {
        let mut query = self.start(sql, page).await?;
        while !query.is_finished() {
            self.follow(&mut query, page).await?;
        }
        Ok(page.columns.clone().unwrap_or_default())
    }

    fn too_long(&self) -> Failure {
        let limit = DurationSetting::from(self.server.query_timeout);
        Failure::new(ErrorClass::Timeout, format!("Trino query did not end within {limit}"))
    }

    async fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        if !self.has_token {
            return Ok(None);
        }
        self.tokens.lock().await.header(&self.http, &*self.ctx.clock).await
    }

    /// Reads an answer; gives where the next one is.
    fn next(&self, page: &mut Page) -> Result<Option<Url>, Failure> {
        let next = page.read()?;
        if let Some(next) = &next
            && self.has_token
            && next.origin() != self.server.url.origin()
        {
            // The token belongs to the server of the settings, whatever an answer says.
            let message = format!(
                "the server's answers point to `{}`, which is not serverURL, and the token is not sent \
                 there; behind a proxy set http-server.process-forwarded=true in Trino",
                redacted(next)
            );
            return Err(Failure::new(ErrorClass::AuthError, message));
        }
        Ok(next)
    }

    /// Sends a request and reads the body of its answer into `body`; gives the headers that were sent.
    async fn send(
        &self,
        method: Method,
        url: Url,
        sql: Option<Vec<u8>>,
        timeout: Duration,
        body: &mut Vec<u8>,
    ) -> Result<HeaderMap, Failure> {
        let sql = sql.map(bytes::Bytes::from);
        let is_repeatable = method == Method::GET;
        let (mut tries, mut is_renewed) = (0, false);
        loop {
            let mut headers = self.server.headers.clone();
            if let Some(token) = self.token().await? {
                headers.insert(AUTHORIZATION, token);
            }
            let mut request = self
                .http
                .request(method.clone(), url.clone())
                .headers(headers.clone())
                .timeout(timeout);
            if let Some(sql) = &sql {
                request = request.header(CONTENT_TYPE, "text/plain").body(sql.clone());
            }
            body.clear();
            let wait = match request.send().await {
                Err(error) => {
                    let failure = Failure::from(answer::no_answer(&self.target, error));
                    let may_repeat = is_repeatable && failure.class == ErrorClass::ConnectionError;
                    if !may_repeat || tries >= TRIES_MAX {
                        return Err(failure);
                    }
                    None
                }
                Ok(response) => {
                    let status = response.status().as_u16();
                    let wait = retry_after(response.headers());
                    let most = if status == 200 { ANSWER_BYTES_MAX } else { ERROR_BYTES_MAX };
                    let read = body_of(&self.target, response, most, body).await;
                    match (status, read) {
                        (200, Ok(())) => return Ok(headers),
                        (200, Err(failure)) => {
                            let may_repeat =
                                is_repeatable && failure.class == ErrorClass::ConnectionError;
                            if !may_repeat || tries >= TRIES_MAX {
                                return Err(failure);
                            }
                            None
                        }
                        (401, _) if !is_renewed && self.tokens.lock().await.forget() => {
                            is_renewed = true;
                            continue;
                        }
                        (429 | 502 | 503 | 504, _) if tries < TRIES_MAX => wait,
                        // No query was forgotten here: the address is wrong.
                        (404 | 410, _) if !is_repeatable => {
                            let class = ErrorClass::Unknown;
                            return Err(Failure { class, ..Failure::status(status, body) });
                        }
                        _ => return Err(Failure::status(status, body)),
                    }
                }
            };
            let pause = wait.unwrap_or(RETRY_PAUSE * 2u32.saturating_pow(tries));
            tries += 1;
            self.ctx.clock.sleep(pause.min(RETRY_PAUSE_MAX)).await;
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Gives an address without what may be secret in it.
pub(crate) fn redacted(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Reads a body of so many bytes at most; of an error the beginning is enough.
pub(crate) async fn body_of(
    target: &str,
    mut response: Response,
    most: usize,
    body: &mut Vec<u8>,
) -> Result<(), Failure> {
    let is_success = response.status().is_success();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(Some(_)) if is_success => {
                let message = format!("`{target}` answered more than {} MiB at once", most >> 20);
                return Err(Failure::new(ErrorClass::InvalidData, message));
            }
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk[..most - body.len()]);
                return Ok(());
            }
            Err(error) => return Err(answer::no_answer(target, error).into()),
        }
    }
}

// === impl Query ===

impl Query {
    /// Tells whether there is no other answer.
    pub(crate) fn is_finished(&self) -> bool {
        self.next.is_none()
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        let Some(next) = self.next.take() else { return };
        // Outside of a runtime the process ends, and the server forgets queries that nobody asks for.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let request = self
            .http
            .delete(next)
            .headers(std::mem::take(&mut self.headers))
            .timeout(CANCEL_TIMEOUT);
        let cancel = async move {
            if let Err(error) = request.send().await {
                tracing::debug!(error = %error.without_url(), "a trino query could not be cancelled");
            }
        };
        let _running = self.ctx.tasks.spawn(TaskKind::Connector, "trino cancel", cancel);
    }
}
