//! A stand-in for ClickHouse's HTTP interface: one table, and what the connectors say about it.
//!
//! It follows the documented behaviour: credentials in headers, statements in the body or in `query`, typed
//! parameters, inserts that are there whole or not at all, deduplication by token, exceptions by code.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use levada_codec::compression::{Compression, decompress_all};
use serde_json::Value;

use crate::fake_http::{FakeServer, Reply, Request};

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It works.
    Well,
    /// Every statement fails with this exception.
    Fails(i32),
    /// A proxy before it says that it is away.
    Away,
    /// It closes every connection.
    Cut,
    /// It stands still until told otherwise.
    Hold,
    /// Answers with rows break off after so many bytes.
    Breaks(usize),
    /// Answers with rows end with an exception.
    FailsLate(i32),
}

/// What the server knows.
#[derive(Debug)]
pub struct State {
    /// The name of the table.
    table: String,
    /// The columns of the table and their types; none: there is no table.
    pub columns: Vec<(String, String)>,
    /// The engine of the table.
    pub engine: String,
    /// The rows, in the order of their insertion.
    pub rows: Vec<Vec<u8>>,
    /// Inserts with a token that was seen are not done again.
    pub looks_at_tokens: bool,
    /// Every token, in order.
    pub tokens: Vec<String>,
    /// Every statement that changed something, and every query for rows.
    pub statements: Vec<String>,
    /// The parameters of the last query for rows.
    pub params: Vec<String>,
    /// Inserts that came compressed.
    pub compressed: usize,
    seen: HashSet<String>,
    mode: Mode,
    /// After so many requests the server is well again.
    ends_after: Option<usize>,
}

/// The server.
#[derive(Debug)]
pub struct Clickhouse {
    server: FakeServer,
    shared: Arc<(Mutex<State>, Condvar)>,
}

// === impl Clickhouse ===

impl Clickhouse {
    /// Starts it with the table `orders`; without columns there is none.
    pub fn start(columns: &[(&str, &str)]) -> Self {
        Self::start_with("orders", columns)
    }

    /// Starts it with a table of this name.
    pub fn start_with(table: &str, columns: &[(&str, &str)]) -> Self {
        let state = State {
            table: table.to_owned(),
            columns: columns
                .iter()
                .map(|(name, kind)| (name.to_string(), kind.to_string()))
                .collect(),
            engine: "MergeTree".to_owned(),
            rows: Vec::new(),
            looks_at_tokens: false,
            tokens: Vec::new(),
            statements: Vec::new(),
            params: Vec::new(),
            compressed: 0,
            seen: HashSet::new(),
            mode: Mode::Well,
            ends_after: None,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let answering = shared.clone();
        let server = FakeServer::start(move |request| answer(&answering, request));
        Clickhouse { server, shared }
    }

    /// Gives the connection string of a user who may do everything.
    pub fn connection(&self) -> String {
        format!("http://levada:s3cr%20et@{}/shop?max_threads=1", self.address())
    }

    /// Gives host and port.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Gives the connection string of somebody else.
    pub fn wrong_connection(&self) -> String {
        format!("clickhouse://levada:guess@{}/shop", self.server.address())
    }

    /// Looks at what the server knows, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.0.lock().unwrap())
    }

    /// Changes what it does.
    pub fn set(&self, mode: Mode) {
        self.set_for(mode, None);
    }

    /// Changes what it does, for so many requests.
    pub fn set_for(&self, mode: Mode, requests: Option<usize>) {
        self.with(|state| (state.mode, state.ends_after) = (mode, requests));
        self.shared.1.notify_all();
    }
}

fn exception(code: i32, text: &str) -> Reply {
    let status = match code {
        516 => 403,
        60 => 404,
        27 | 117 => 400,
        _ => 500,
    };
    Reply::new(status, format!("Code: {code}. DB::Exception: {text}. (NAME) (version 25.1)\n"))
        .with("X-ClickHouse-Exception-Code", &code.to_string())
}

fn answer(shared: &(Mutex<State>, Condvar), request: &Request) -> Reply {
    let mut state = shared.0.lock().unwrap();
    while state.mode == Mode::Hold {
        state = shared.1.wait_timeout(state, Duration::from_secs(20)).unwrap().0;
    }
    let mode = state.mode;
    if let Some(left) = &mut state.ends_after {
        *left -= 1;
        if *left == 0 {
            (state.mode, state.ends_after) = (Mode::Well, None);
        }
    }
    match mode {
        Mode::Fails(code) => return exception(code, "as the test says"),
        Mode::Away => return Reply::new(503, "<html>Service Unavailable"),
        Mode::Cut => return Reply::cut(),
        _ => {}
    }
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("x-clickhouse-database"), Some("shop"));
    assert!(!request.target.contains("s3cr"), "credentials do not belong into addresses");
    if request.header("x-clickhouse-key") != Some("s3cr et")
        || request.header("x-clickhouse-user") != Some("levada")
    {
        return exception(516, "levada: Authentication failed");
    }
    assert_eq!(request.query("max_threads").as_deref(), Some("1"), "settings are passed on");
    let sql = request
        .query("query")
        .unwrap_or_else(|| String::from_utf8_lossy(&request.body).into_owned());
    if sql.starts_with("INSERT INTO ") {
        insert(&mut state, &sql, request)
    } else if sql.starts_with("SELECT * FROM ") {
        state.statements.push(sql.clone());
        select(&mut state, &sql, request, mode)
    } else if sql.starts_with("SELECT name, type FROM system.columns") {
        let is_it = request.query("param_table").as_deref() == Some(&state.table);
        let columns = if is_it { &state.columns[..] } else { &[] };
        Reply::new(200, describe(columns))
    } else if sql.starts_with("DESCRIBE TABLE (") {
        Reply::new(200, describe(&state.columns))
    } else if sql.starts_with("SELECT engine FROM system.tables") {
        let engine = serde_json::json!({"engine": state.engine}).to_string();
        Reply::new(200, if state.columns.is_empty() { String::new() } else { engine })
    } else if let Some(rest) = after(&sql, "CREATE TABLE IF NOT EXISTS", &state.table, "(") {
        let (columns, engine) = rest.split_once(") ENGINE = ").expect("an engine");
        state.engine = engine.split('(').next().unwrap_or_default().to_owned();
        state.columns = columns
            .trim_start_matches('`')
            .split(", `")
            .map(|column| column.split_once("` ").expect("a name and a type"))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect();
        state.statements.push(sql);
        Reply::new(200, "")
    } else if let Some(rest) =
        after(&sql, "ALTER TABLE", &state.table, "ADD COLUMN IF NOT EXISTS `")
    {
        let (name, kind) = rest.split_once("` ").expect("a name and a type");
        state.columns.push((name.to_owned(), kind.to_owned()));
        state.statements.push(sql);
        Reply::new(200, "")
    } else {
        exception(62, &format!("Syntax error: {sql}"))
    }
}

/// Gives what stands behind the name of the table and some words in a statement that begins with others.
fn after<'a>(sql: &'a str, words: &str, table: &str, more: &str) -> Option<&'a str> {
    sql.strip_prefix(&format!("{words} `{table}` {more}"))
}

fn describe(columns: &[(String, String)]) -> String {
    columns
        .iter()
        .map(|(name, kind)| format!("{}\n", serde_json::json!({"name": name, "type": kind})))
        .collect()
}

fn insert(state: &mut State, sql: &str, request: &Request) -> Reply {
    assert_eq!(sql, format!("INSERT INTO `{}` FORMAT JSONEachRow", state.table));
    for (name, value) in [
        ("wait_end_of_query", "1"),
        ("async_insert", "0"),
        ("date_time_input_format", "best_effort"),
    ] {
        assert_eq!(request.query(name).as_deref(), Some(value));
    }
    let token = request.query("insert_deduplication_token").expect("a token");
    let skips = request.query("input_format_skip_unknown_fields").expect("strict or not") == "1";
    let is_gzip = request.header("content-encoding") == Some("gzip");
    let body = if is_gzip {
        state.compressed += 1;
        decompress_all(Compression::Gzip, &request.body, 64 << 20).unwrap()
    } else {
        request.body.clone()
    };
    if state.columns.is_empty() {
        return exception(60, "Table shop.orders does not exist");
    }
    let mut rows = Vec::new();
    for line in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(Value::Object(row)) = serde_json::from_slice(line) else {
            return exception(27, "Cannot parse input: expected '{'");
        };
        for (key, value) in &row {
            match state.columns.iter().find(|(name, _)| name == key) {
                None if skips => {}
                None => {
                    let text =
                        format!("Unknown field found while parsing JSONEachRow format: {key}");
                    return exception(117, &text);
                }
                Some((_, kind)) if kind.contains("Int64") && value.as_i64().is_none() => {
                    return exception(27, &format!("Cannot parse input: {key}"));
                }
                Some(_) => {}
            }
        }
        rows.push(line.to_vec());
    }
    let is_new = state.seen.insert(token.clone());
    state.tokens.push(token);
    if is_new || !state.looks_at_tokens {
        state.rows.extend(rows);
    }
    Reply::new(200, "")
}

fn select(state: &mut State, sql: &str, request: &Request, mode: Mode) -> Reply {
    for (name, value) in [
        ("output_format_json_quote_64bit_integers", "0"),
        ("output_format_json_quote_decimals", "0"),
        ("date_time_output_format", "iso"),
    ] {
        assert_eq!(request.query(name).as_deref(), Some(value));
    }
    let names = sql.split_once(" ORDER BY ").expect("an order").1;
    let mut names = names.split('`').skip(1).step_by(2);
    let (change, order) = (names.next().expect("change"), names.next().expect("order"));
    let params = [request.query("param_change"), request.query("param_order")];
    let is_behind = sql.contains(&format!("(`{change}`, `{order}`) > ("));
    assert_eq!(is_behind, params.iter().all(Option::is_some), "{sql}");
    state.params = params.iter().flatten().cloned().collect();
    let mut rows: Vec<(Value, &Vec<u8>)> = state
        .rows
        .iter()
        .map(|row| (serde_json::from_slice::<Value>(row).unwrap(), row))
        .filter(|(row, _)| !row[change].is_null() && !row[order].is_null())
        .collect();
    let compare = |value: &Value, text: &str| match value {
        Value::Number(number) => {
            number.as_i64().unwrap().cmp(&text.parse::<i64>().expect("a number"))
        }
        value => value.as_str().unwrap().cmp(text),
    };
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    rows.sort_by(|(a, _), (b, _)| {
        compare(&a[change], &text(&b[change])).then(compare(&a[order], &text(&b[order])))
    });
    if let [change_at, order_at] = &state.params[..] {
        rows.retain(|(row, _)| {
            compare(&row[change], change_at).then(compare(&row[order], order_at))
                == Ordering::Greater
        });
    }
    if let Some((_, limit)) = sql.split_once(" LIMIT ") {
        let limit = limit.split(' ').next().unwrap().parse().unwrap();
        rows.truncate(limit);
    }
    let mut body = Vec::new();
    for (_, row) in rows {
        body.extend_from_slice(row);
        body.push(b'\n');
    }
    let mut cut_after = None;
    match mode {
        Mode::Breaks(bytes) => cut_after = Some(bytes),
        Mode::FailsLate(code) => {
            body.truncate(body.len() / 2);
            while body.last().is_some_and(|&byte| byte != b'\n') {
                body.pop();
            }
            body.extend(format!("Code: {code}. DB::Exception: as the test says").bytes());
        }
        _ => {}
    }
    Reply { cut_after, ..Reply::new(200, body) }
}
