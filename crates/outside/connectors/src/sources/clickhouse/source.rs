//! The source itself: polls, reads rows as they come, remembers the last one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_codec::lines::DEFAULT_MAX_RECORD_BYTES;
use levada_model::{ErrorClass, Meta, Position, RecordBatch, Str, Tree};
use memchr::memchr;
use reqwest::Response;
use serde_json::{Value, json};

use super::Spec;
use crate::blocks::Tls;
use crate::clickhouse::client::parameter;
use crate::clickhouse::{Client, Connection, Failure, Table, quoted};
use crate::context::BuildContext;
use crate::http_client::HttpError;
use crate::spec::BuildError;
use crate::traits::{Source, SourceError};

/// Ours: questions about columns are quick.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A row at most. Ours, as for lines of files.
const ROW_BYTES_MAX: usize = DEFAULT_MAX_RECORD_BYTES;

/// What rows look like. Ours, so that no digit is lost; none of it is new in ClickHouse.
const FORMAT: &[(&str, &str)] = &[
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_decimals", "0"),
    ("output_format_json_quote_denormals", "1"),
    ("output_format_json_escape_forward_slashes", "0"),
    ("date_time_output_format", "iso"),
];

pub(super) struct ClickhouseSource {
    connection: Connection,
    table: Table,
    query: String,
    change: String,
    order: String,
    interval: Duration,
    rows_max: Option<u64>,
    stops_at_end: bool,
    tls: Option<Tls>,
    ctx: BuildContext,
    partition: Str,
    meta: Arc<Meta>,
    client: Option<Client>,
    /// What stands for the values of the two columns in a query, once their types are known.
    change_slot: String,
    order_slot: String,
    /// The values of the two columns in the last row that was handed out.
    position: Option<(Value, Value)>,
    /// The answer that is being read, and what was read of it but not handed out.
    response: Option<Response>,
    buffer: Vec<u8>,
    /// Where in `buffer` the next row begins.
    at: usize,
    /// Rows of the answer so far.
    rows: u64,
    /// When to poll again, on the monotonic clock.
    due: Duration,
    tree: Tree,
}

// === impl ClickhouseSource ===

impl ClickhouseSource {
    pub(super) fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let connection = Connection::parse(spec.connection_string.expose())
            .map_err(|problem| BuildError::Invalid(format!("connectionString {problem}")))?;
        let or =
            |name: String, default: &str| if name.is_empty() { default.to_owned() } else { name };
        let table = spec.table.trim();
        let mut meta = Meta::new();
        meta.set("table", table.into());
        Ok(ClickhouseSource {
            connection,
            partition: table.into(),
            table: Table::parse(table),
            query: spec.query.trim().trim_end_matches(';').trim_end().to_owned(),
            change: or(spec.change_tracking_column, "created_at"),
            order: or(spec.order_by_column, "id"),
            interval: Duration::from_secs(spec.poll_interval.unwrap_or(5).max(1) as u64),
            rows_max: spec.read_batch_size.filter(|&rows| rows > 0).map(|rows| rows as u64),
            stops_at_end: spec.stop_at_end,
            tls: spec.tls,
            ctx: ctx.clone(),
            meta: Arc::new(meta),
            client: None,
            change_slot: String::new(),
            order_slot: String::new(),
            position: None,
            response: None,
            buffer: Vec::new(),
            at: 0,
            rows: 0,
            due: Duration::ZERO,
            tree: Tree::default(),
        })
    }

    /// Finds out which types the two columns have.
    async fn look(&mut self, client: &Client) -> Result<(), SourceError> {
        let columns = if self.query.is_empty() {
            client.columns(&self.table, TIMEOUT).await?
        } else {
            let sql = format!("DESCRIBE TABLE ({}\n) FORMAT JSONEachRow", self.query);
            let text = |row: &Value, key: &str| {
                row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let rows = client.rows(sql, &[], TIMEOUT).await?;
            rows.iter().map(|row| (text(row, "name"), text(row, "type"))).collect()
        };
        let what = if self.query.is_empty() { self.table.sql() } else { "the query".to_owned() };
        if columns.is_empty() {
            let text = format!("`{}`: {what} does not exist or may not be read", client.target());
            return Err(SourceError::new(ErrorClass::InvalidData, text));
        }
        let kind =
            |column: &str, setting: &str| match columns.iter().find(|(name, _)| name == column) {
                Some((_, kind)) => Ok(kind.clone()),
                None => {
                    let text = format!("{what} has no column `{column}`; set {setting}");
                    Err(SourceError::new(ErrorClass::InvalidData, text))
                }
            };
        for (column, setting, slot) in [
            (&self.change, "changeTrackingColumn", &mut self.change_slot),
            (&self.order, "orderByColumn", &mut self.order_slot),
        ] {
            let kind = kind(column, setting)?;
            let plain = plain_type(&kind);
            if plain.len() < kind.len() && kind.contains("Nullable(") {
                tracing::warn!(flow = %self.ctx.flow, column, "rows in which this column is NULL are not read");
            }
            let name = if setting == "orderByColumn" { "order" } else { "change" };
            *slot = slot_of(plain, name);
        }
        Ok(())
    }

    /// Gives the query for the rows behind the position.
    fn sql(&self) -> String {
        let from = if self.query.is_empty() {
            self.table.sql()
        } else {
            // A comment at the end of the query must not swallow what follows.
            format!("({}\n)", self.query)
        };
        let (change, order) = (quoted(&self.change), quoted(&self.order));
        let mut sql = format!("SELECT * FROM {from} WHERE ");
        if self.position.is_some() {
            let (change_slot, order_slot) = (&self.change_slot, &self.order_slot);
            sql.push_str(&format!("({change}, {order}) > ({change_slot}, {order_slot}) AND "));
        }
        sql.push_str(&format!(
            "{change} IS NOT NULL AND {order} IS NOT NULL ORDER BY {change}, {order}"
        ));
        if let Some(rows) = self.rows_max {
            sql.push_str(&format!(" LIMIT {rows}"));
        }
        sql.push_str(" FORMAT JSONEachRow");
        sql
    }

    /// Waits until it is time and asks for rows.
    async fn poll(&mut self) -> Result<(), SourceError> {
        let Some(client) = self.client.clone() else {
            return Err(SourceError::new(ErrorClass::Unknown, "the source is not open"));
        };
        let wait = self.due.saturating_sub(self.ctx.clock.monotonic());
        if !wait.is_zero() {
            self.ctx.clock.sleep(wait).await;
        }
        let mut params = FORMAT.to_vec();
        let values = self
            .position
            .as_ref()
            .map(|(change, order)| (as_parameter(change), as_parameter(order)));
        if let Some((change, order)) = &values {
            params.extend([("param_change", change.as_str()), ("param_order", order.as_str())]);
        }
        // Dropped before it answers, the question is asked again.
        self.response = Some(client.stream(self.sql(), &params).await?);
        self.rows = 0;
        Ok(())
    }

    /// Reads until there is a whole row; gives false when the answer has ended.
    async fn fill(&mut self) -> Result<bool, SourceError> {
        loop {
            if memchr(b'\n', &self.buffer[self.at..]).is_some() {
                return Ok(true);
            }
            let target = self.connection.url.as_str();
            let Some(response) = &mut self.response else { return Ok(false) };
            let chunk = response.chunk().await;
            match chunk.map_err(|error| SourceError::from(HttpError::no_answer(target, error)))? {
                Some(chunk) => {
                    self.buffer.drain(..self.at);
                    self.at = 0;
                    self.buffer.extend_from_slice(&chunk);
                }
                None => {
                    self.response = None;
                    if self.at < self.buffer.len() {
                        // Rows end with a line feed; what does not is an exception or a torn answer.
                        let failure = self.exception(&self.buffer[self.at..]);
                        return Err(failure);
                    }
                    return Ok(false);
                }
            }
            if self.buffer.len() > ROW_BYTES_MAX && memchr(b'\n', &self.buffer).is_none() {
                let text = format!("a row is longer than {ROW_BYTES_MAX} bytes");
                return Err(SourceError::new(ErrorClass::InvalidData, text));
            }
        }
    }

    fn exception(&self, text: &[u8]) -> SourceError {
        let target = self.client.as_ref().map_or("", Client::target);
        let failure = Failure::of_answer(target, 200, None, text);
        if crate::clickhouse::exception::code_in(text).is_none() {
            // No code that says otherwise: the answer broke off.
            return SourceError::new(ErrorClass::ConnectionError, failure.message);
        }
        failure.into()
    }

    /// Moves whole rows from the buffer into a batch.
    fn hand_out(&mut self, batch: &mut RecordBatch) -> Result<(), SourceError> {
        batch.expects_json = true;
        batch.set_shared_meta(Some(self.meta.clone()));
        let mut last = 0..0;
        while !self.ctx.is_full(batch.len(), batch.text.len())
            && let Some(length) = memchr(b'\n', &self.buffer[self.at..])
        {
            let row = &self.buffer[self.at..self.at + length];
            if is_exception(row) {
                if batch.is_empty() {
                    // It may have several lines.
                    return Err(self.exception(&self.buffer[self.at..]));
                }
                // First what came before it.
                break;
            }
            if !row.is_empty() {
                last = self.at..self.at + length;
                let number = number(&mut self.tree, row, &self.order).unwrap_or(self.rows);
                batch.push(row, 0, number);
                self.rows += 1;
            }
            self.at += length + 1;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let position = self.position_of(last).inspect_err(|_| batch.clear())?;
        let (change, order) = &position;
        let position_json = json!({"change": change, "order": order});
        self.position = Some(position);
        batch.push_origin(self.partition.clone(), position_json);
        Ok(())
    }

    /// Gives the values of the two columns in a row.
    fn position_of(&mut self, row: std::ops::Range<usize>) -> Result<(Value, Value), SourceError> {
        let row = &self.buffer[row];
        self.tree.clear();
        let root = self.tree.parse(row, 0, row.len() as u32).map_err(|error| {
            let text = format!("the server answers with rows that are no JSON: {error}");
            SourceError::new(ErrorClass::InvalidData, text)
        })?;
        let value = |column: &str| {
            let node = self.tree.member(row, root, column.as_bytes());
            let span = node.and_then(|node| self.tree.span(node));
            let text = span.map(|(from, to)| &row[from as usize..to as usize]);
            let value = text.and_then(|text| serde_json::from_slice::<Value>(text).ok());
            value.filter(|value| !value.is_null()).ok_or_else(|| {
                let text = format!("a row has no `{column}`, so there is no going on behind it");
                SourceError::new(ErrorClass::InvalidData, text)
            })
        };
        Ok((value(&self.change)?, value(&self.order)?))
    }
}

/// Gives the number of a row: the value by which it is ordered, when that is one.
///
/// It is the same whenever the row is read, so that a sink can tell a repeated row by it.
fn number(tree: &mut Tree, row: &[u8], order: &str) -> Option<u64> {
    tree.clear();
    let root = tree.parse(row, 0, row.len() as u32).ok()?;
    let value = tree.member(row, root, order.as_bytes())?;
    tree.literal(row, value)?.parse().ok()
}

/// Gives a type without what only says how it is kept.
fn plain_type(kind: &str) -> &str {
    let mut kind = kind;
    loop {
        let inner = ["Nullable(", "LowCardinality("]
            .iter()
            .find_map(|wrapper| kind.strip_prefix(wrapper)?.strip_suffix(')'));
        match inner {
            Some(inner) => kind = inner,
            None => return kind,
        }
    }
}

/// Gives what stands for a value of this type in a query.
///
/// Times are given as they were printed, in UTC: as parameters of their own type they would be read in the
/// time zone of the column, in which an hour of autumn stands twice.
fn slot_of(kind: &str, name: &str) -> String {
    if kind.starts_with("DateTime") {
        format!("parseDateTime64BestEffort({{{name}:String}}, 9, 'UTC')")
    } else {
        format!("{{{name}:{kind}}}")
    }
}

/// Gives a value as a parameter of a query.
fn as_parameter(value: &Value) -> String {
    match value {
        Value::String(text) => parameter(text),
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) => "0".to_owned(),
        other => other.to_string(),
    }
}

/// Tells whether a line is an exception and not a row, in either of the forms that servers write.
fn is_exception(line: &[u8]) -> bool {
    !line.is_empty() && line[0] != b'{'
        || line.starts_with(b"{\"exception\"")
            && crate::clickhouse::exception::code_in(line).is_some()
}

#[async_trait]
impl Source for ClickhouseSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        self.response = None;
        self.buffer.clear();
        self.at = 0;
        self.due = Duration::ZERO;
        let stored = positions.iter().find(|(partition, _)| *partition == self.partition);
        self.position = match stored {
            None => None,
            Some((_, position)) => match (position.get("change"), position.get("order")) {
                (Some(change), Some(order)) => Some((change.clone(), order.clone())),
                _ => {
                    let text = format!("the stored position {position} is not one of this source");
                    return Err(SourceError::new(ErrorClass::InvalidData, text));
                }
            },
        };
        let client = Client::new(&self.connection, self.tls.as_ref(), &self.ctx.base_dir).await?;
        self.look(&client).await?;
        self.client = Some(client);
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        loop {
            // Rows that were read are handed out before an answer counts as ended.
            if self.response.is_none() {
                self.poll().await?;
            }
            if self.fill().await? {
                self.hand_out(batch)?;
                if !batch.is_empty() {
                    return Ok(true);
                }
            } else {
                if self.stops_at_end && self.rows == 0 {
                    return Ok(false);
                }
                // A full page has more behind it.
                let is_full = self.rows_max.is_some_and(|most| self.rows >= most);
                let wait =
                    if is_full || self.stops_at_end { Duration::ZERO } else { self.interval };
                self.due = self.ctx.clock.monotonic() + wait;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_by_their_types() {
        for (kind, expected) in [
            ("UInt64", "{order:UInt64}"),
            ("Nullable(Decimal(38, 3))", "{order:Decimal(38, 3)}"),
            ("LowCardinality(Nullable(String))", "{order:String}"),
            ("DateTime", "parseDateTime64BestEffort({order:String}, 9, 'UTC')"),
            (
                "Nullable(DateTime64(3, 'Europe/Berlin'))",
                "parseDateTime64BestEffort({order:String}, 9, 'UTC')",
            ),
        ] {
            assert_eq!(slot_of(plain_type(kind), "order"), expected, "{kind}");
        }
        assert_eq!(as_parameter(&json!("a\tb\\")), "a\\tb\\\\");
        assert_eq!(as_parameter(&json!(18_446_744_073_709_551_615_u64)), "18446744073709551615");
        assert_eq!(as_parameter(&json!(true)), "1");
    }

    #[test]
    fn exceptions_are_told_from_rows() {
        assert!(is_exception(b"Code: 241. DB::Exception: Memory limit"));
        assert!(is_exception(br#"{"exception": "Code: 241. DB::Exception: Memory limit"}"#));
        assert!(!is_exception(br#"{"exception": "of the user"}"#));
        assert!(!is_exception(b"{}"));
        assert!(!is_exception(b""));
    }
}
