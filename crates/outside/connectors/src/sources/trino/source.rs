//! Polling.
//!
//! Two answers are held at a time: the one that is handed out and the one behind it, which tells whether the
//! last row of a batch has equals behind it. Then the batch's position stays before all of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{ErrorClass, Meta, NodeId, NodeKind, Position, RecordBatch, Str, Value};
use levada_runtime::TaskKind;
use tokio::task::JoinHandle;

use super::Spec;
use super::place::Place;
use super::select::{Key, Select};
use crate::context::BuildContext;
use crate::spec::BuildError;
use crate::traits::{Source, SourceError};
use crate::trino::client::{Client, Query, Server, ServerSettings};
use crate::trino::failure::Failure;
use crate::trino::literal::Column;
use crate::trino::page::Page;
use crate::trino::row::RowWriter;
use crate::trino::sql::TableName;
use crate::trino::types::Type;

/// Seconds between polls. Source: dataflow-operator.md §1.5.
const POLL_SECONDS_DEFAULT: i32 = 5;
/// Source: dataflow-operator.md §1.7.
const ORDER_DEFAULT: &str = "id";
const CHANGE_DEFAULT: &str = "updated_at";

type Started = Result<(Query, Page), Failure>;

pub(super) struct TrinoSource {
    server: Server,
    table: TableName,
    partition: Str,
    select: Select,
    has_query: bool,
    /// Empty: the default, if there is such a column.
    order_column: String,
    change_column: String,
    limit: u64,
    interval: Duration,
    stops_at_end: bool,
    /// Everything was handed out, and more is not waited for.
    is_exhausted: bool,
    meta: Arc<Meta>,
    ctx: BuildContext,
    client: Option<Client>,
    /// When the next poll is due, on the monotonic clock.
    due: Duration,
    /// A statement that is being sent. It goes on when `next` is dropped.
    starting: Option<JoinHandle<Started>>,
    poll: Option<Poll>,
    /// Behind the last row that was handed out.
    place: Place,
    /// Behind the last row whose equals were all handed out.
    complete: Place,
    ordinal: u64,
}

/// A poll under way.
struct Poll {
    query: Query,
    current: Page,
    ahead: Page,
    /// The next row of `current`.
    cursor: Option<NodeId>,
    shape: Option<Shape>,
    rows: u64,
}

/// How the rows of a poll are read.
struct Shape {
    writer: RowWriter,
    order: Option<usize>,
    change: Option<usize>,
    /// Where the order column itself stands, for the metadata.
    id: Option<(usize, Type)>,
}

/// What rows are ordered by.
struct Keys {
    change: Option<Option<String>>,
    order: Option<String>,
}

// === impl TrinoSource ===

impl TrinoSource {
    pub(super) fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let table = TableName { catalog: spec.catalog, schema: spec.schema, table: spec.table };
        let server = Server::new(ServerSettings {
            server_url: &spec.server_url,
            user: &spec.user,
            place: &table,
            keycloak: spec.keycloak,
            tls: spec.tls,
            query_timeout_seconds: spec.query_timeout_seconds,
        })?;
        let limit = spec.read_batch_size.unwrap_or(0).max(0).unsigned_abs();
        let seconds = spec.poll_interval.unwrap_or(POLL_SECONDS_DEFAULT).max(1).unsigned_abs();
        let text = |text: &str| Value::Str(text.into());
        // The last entry has its place, so that setting it allocates no name.
        let meta = [
            ("catalog", text(&table.catalog)),
            ("schema", text(&table.schema)),
            ("table", text(&table.table)),
            ("id", Value::Null),
        ];
        let meta = meta.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Ok(TrinoSource {
            server,
            partition: table.to_string().into(),
            select: Select::new(table.clone(), &spec.query, limit),
            table,
            has_query: !spec.query.trim().is_empty(),
            order_column: spec.order_by_column,
            change_column: spec.change_tracking_column,
            limit: limit.into(),
            interval: Duration::from_secs(seconds.into()),
            stops_at_end: spec.stop_at_end,
            is_exhausted: false,
            meta: Arc::new(meta),
            ctx: ctx.clone(),
            client: None,
            due: Duration::ZERO,
            starting: None,
            poll: None,
            place: Place::default(),
            complete: Place::default(),
            ordinal: 0,
        })
    }

    /// Chooses the columns that rows are ordered by.
    fn choose(&mut self, columns: &[Column]) -> Result<(), Failure> {
        let find = |name: &str| {
            let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
            Some(Key { name: column.name.clone(), ty: column.ty.clone() })
        };
        let what = if self.has_query { "the query".to_owned() } else { self.table.to_string() };
        let missing = |setting: &str, name: &str| {
            let message =
                format!("{what} has no column `{name}`; set {setting} to one that it has");
            Failure::new(ErrorClass::InvalidData, message)
        };
        let is_explicit = !self.order_column.is_empty();
        let name = if is_explicit { &self.order_column } else { ORDER_DEFAULT };
        self.select.order = find(name);
        self.select.change = None;
        if self.select.order.is_none() {
            if is_explicit || !self.has_query {
                return Err(missing("orderByColumn", name));
            }
            tracing::warn!(
                table = %self.table,
                "the query has no column to order by, so every poll reads all of its rows again"
            );
            return Ok(());
        }
        self.select.change = if !self.change_column.is_empty() {
            let name = &self.change_column;
            Some(find(name).ok_or_else(|| missing("changeTrackingColumn", name))?)
        } else if self.has_query {
            // Source: dataflow-operator.md §1.7: with a query it counts only when it is set.
            None
        } else {
            find(CHANGE_DEFAULT)
        };
        for key in self.select.change.iter().chain(&self.select.order) {
            if !key.is_ordered() {
                let message = format!("rows cannot be ordered by column `{}`", key.name);
                return Err(Failure::new(ErrorClass::InvalidData, message));
            }
        }
        Ok(())
    }

    /// Begins a poll when it is due.
    async fn begin(&mut self) -> Result<(), SourceError> {
        let Some(client) = self.client.clone() else {
            return Err(SourceError::new(ErrorClass::Transient, "the source is not open"));
        };
        if self.starting.is_none() {
            let now = self.ctx.clock.monotonic();
            if now < self.due {
                self.ctx.clock.sleep(self.due - now).await;
            }
            let sql = self
                .select
                .poll_sql(&self.place)
                .map_err(|problem| SourceError::new(ErrorClass::InvalidData, problem))?;
            let start = async move {
                let mut page = Page::default();
                let query = client.start(&sql, &mut page).await?;
                Ok((query, page))
            };
            self.starting = Some(self.ctx.tasks.spawn(TaskKind::Connector, "trino poll", start));
        }
        let Some(starting) = &mut self.starting else { return Ok(()) };
        let started = starting.await;
        self.starting = None;
        let (query, ahead) = started
            .map_err(|_| SourceError::new(ErrorClass::Transient, "a poll of trino broke off"))??;
        let current = Page::default();
        self.poll = Some(Poll { query, current, ahead, cursor: None, shape: None, rows: 0 });
        Ok(())
    }

    /// Hands out rows of the answer at hand.
    fn fill(&mut self, batch: &mut RecordBatch) -> Result<(), SourceError> {
        let Some(poll) = &mut self.poll else { return Ok(()) };
        let page = &poll.current;
        let Some(shape) = &poll.shape else { return Ok(()) };
        batch.set_shared_meta(Some(self.meta.clone()));
        while let Some(row) = poll.cursor {
            if self.ctx.is_full(batch.len(), batch.text.len()) {
                break;
            }
            let keys = shape.keys(page, row);
            let place = match (&keys.order, shape.order) {
                (_, None) => Place::default(),
                (Some(order), _) => {
                    self.place.behind(keys.change.as_ref().map(Option::as_deref), order)
                }
                (None, Some(_)) if !batch.is_empty() => break,
                (None, Some(_)) => {
                    let name = self.select.order.as_ref().map_or("", |key| key.name.as_str());
                    let message = format!(
                        "column `{name}` is NULL in a row of {}, so the row has no place in the order; \
                         set orderByColumn to a column without NULL, or leave such rows out by a query",
                        self.table
                    );
                    return Err(SourceError::new(ErrorClass::InvalidData, message));
                }
            };
            if batch.is_empty() {
                batch.push_origin(self.partition.clone(), Position::Null);
                batch.expects_json = true;
            }
            let start = batch.text.len() as u32;
            shape.writer.push(&page.tree, &page.text, row, &mut batch.text);
            let end = batch.text.len() as u32;
            batch.text.push(b'\n');
            batch.push_span(start, end, 0, self.ordinal);
            if let Some(id) = shape.id_of(page, row) {
                let index = batch.len() - 1;
                batch.meta_mut(index).set("id", id);
            }
            if place != self.place {
                self.complete = std::mem::replace(&mut self.place, place);
            }
            self.ordinal += 1;
            poll.rows += 1;
            poll.cursor = page.tree.following(row);
        }
        let next =
            poll.cursor.map(|row| (page, row)).or(poll.ahead.first.map(|row| (&poll.ahead, row)));
        let is_parted = next.is_some_and(|(page, row)| {
            let keys = shape.keys(page, row);
            let change = keys.change.as_ref().map(Option::as_deref);
            keys.order.is_some_and(|order| self.place.behind(change, &order) == self.place)
        });
        if let Some(origin) = batch.origins.first_mut()
            && shape.order.is_some()
        {
            origin.position = if is_parted { &self.complete } else { &self.place }.position();
        }
        Ok(())
    }
}

// === impl Poll ===

impl Poll {
    /// Reads on until there is a row, and what is behind its answer is known. Gives whether there is a row.
    async fn advance(&mut self, client: &Client, select: &mut Select) -> Result<bool, SourceError> {
        loop {
            while self.ahead.first.is_none() && !self.query.is_finished() {
                client.follow(&mut self.query, &mut self.ahead).await?;
            }
            if self.cursor.is_some() {
                return Ok(true);
            }
            if self.ahead.first.is_none() {
                return Ok(false);
            }
            std::mem::swap(&mut self.current, &mut self.ahead);
            self.ahead.clear();
            self.cursor = self.current.first;
            if self.shape.is_none() {
                let columns = self.current.columns.as_deref().unwrap_or_default();
                self.shape = Some(Shape::new(columns, select)?);
            }
        }
    }
}

// === impl Shape ===

impl Shape {
    /// Looks up where the keys stand. Types are taken over: they may have changed since the source was opened.
    fn new(columns: &[Column], select: &mut Select) -> Result<Shape, SourceError> {
        let visible = columns.len().saturating_sub(select.hidden().count());
        let own = &columns[..visible];
        let mut hidden = visible;
        let mut places = [None, None];
        let mut id = None;
        for (number, key) in [&mut select.change, &mut select.order].into_iter().enumerate() {
            let Some(key) = key else { continue };
            let place = own.iter().position(|column| column.name == key.name).ok_or_else(|| {
                let message = format!("column `{}` is not there any more", key.name);
                SourceError::new(ErrorClass::Transient, message)
            })?;
            if number == 1 {
                id = Some((place, own[place].ty.clone()));
            }
            let was_hidden = key.is_hidden();
            places[number] = Some(if was_hidden { hidden } else { place });
            if was_hidden {
                hidden += 1;
            } else if own[place].ty != key.ty {
                key.ty = own[place].ty.clone();
                if key.is_hidden() || !key.is_ordered() {
                    let message = format!("column `{}` has another type now", key.name);
                    return Err(SourceError::new(ErrorClass::Transient, message));
                }
            }
        }
        let [change, order] = places;
        Ok(Shape { writer: RowWriter::new(own), order, change, id })
    }

    fn keys(&self, page: &Page, row: NodeId) -> Keys {
        let text = |place: usize| text_at(page, row, place);
        Keys { change: self.change.map(text), order: self.order.and_then(text) }
    }

    /// Gives the value of the order column for the metadata.
    fn id_of(&self, page: &Page, row: NodeId) -> Option<Value> {
        let (place, ty) = self.id.as_ref()?;
        let text = text_at(page, row, *place)?;
        let is_integer =
            matches!(ty, Type::Tinyint | Type::Smallint | Type::Integer | Type::Bigint);
        Some(match text.parse() {
            Ok(number) if is_integer => Value::Int(number),
            _ => Value::Str(text.into()),
        })
    }
}

/// Gives a value of a row as text; nothing for `NULL`.
fn text_at(page: &Page, row: NodeId, place: usize) -> Option<String> {
    let node = page.tree.children(row).nth(place)?;
    match page.tree.kind(node) {
        NodeKind::Null => None,
        NodeKind::String => page.tree.string(&page.text, node).map(std::borrow::Cow::into_owned),
        _ => page.tree.literal(&page.text, node).map(str::to_owned),
    }
}

#[async_trait]
impl Source for TrinoSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        self.client = None;
        self.poll = None;
        self.starting = None;
        self.due = Duration::ZERO;
        self.is_exhausted = false;
        let position = positions.iter().find(|(partition, _)| *partition == self.partition);
        self.place = position.map_or_else(Place::default, |(_, position)| Place::read(position));
        self.complete = self.place.clone();
        let client = Client::connect(&self.server, &self.ctx).await?;
        let mut page = Page::default();
        let columns = client.result_columns(&self.select.columns_sql(), &mut page).await?;
        self.choose(&columns)?;
        if let Err(problem) = self.select.poll_sql(&self.place) {
            return Err(SourceError::new(ErrorClass::InvalidData, problem));
        }
        self.client = Some(client);
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        while !self.is_exhausted {
            if self.poll.is_none() {
                self.begin().await?;
            }
            let (Some(poll), Some(client)) = (&mut self.poll, &self.client) else { continue };
            if poll.advance(client, &mut self.select).await? {
                self.fill(batch)?;
                return Ok(true);
            }
            let is_full = self.limit > 0 && poll.rows >= self.limit;
            // Rows without an order would all come again.
            self.is_exhausted =
                self.stops_at_end && (poll.rows == 0 || self.select.order.is_none());
            self.poll = None;
            // All rows of a poll came, so none of its last ones has equals that are missing.
            self.complete = self.place.clone();
            let pause = if is_full || self.stops_at_end { Duration::ZERO } else { self.interval };
            self.due = self.ctx.clock.monotonic() + pause;
        }
        Ok(false)
    }
}
