//! Writing.

use std::collections::HashSet;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch, RecordError};

use super::Spec;
use super::create::Draft;
use super::layout::{Layout, Rows, Style, is_delete};
use super::statement::Frame;
use crate::context::BuildContext;
use crate::spec::BuildError;
use crate::traits::{Outcomes, Sink, SinkError};
use crate::trino::client::{Client, Server, ServerSettings};
use crate::trino::failure::{Concern, Failure};
use crate::trino::metrics::TrinoSinkMetrics;
use crate::trino::page::Page;
use crate::trino::sql::TableName;

/// Names of unknown fields that the log has told of.
const NAMED_MAX: usize = 1000;

pub(super) struct TrinoSink {
    server: Server,
    table: TableName,
    style: Style,
    creates_table: bool,
    ctx: BuildContext,
    metrics: TrinoSinkMetrics,
    client: Option<Client>,
    /// Nothing: the table does not exist yet, and is made for the first batch.
    layout: Option<Layout>,
    page: Page,
    rows: Rows,
    sql: Vec<u8>,
    named: HashSet<String>,
    has_told_of_deletes: bool,
}

// === impl TrinoSink ===

impl TrinoSink {
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
        let key = spec.conflict_key.trim().to_owned();
        let style = Style {
            is_raw: spec.raw_mode,
            prefix: spec.flatten_metadata_columns.then_some(spec.flatten_metadata_columns_prefix),
            is_strict: spec.schema_change == "strict",
            conflict_key: spec.upsert_mode.then_some(key),
        };
        if spec.upsert_mode && !table.catalog.to_lowercase().contains("iceberg") {
            // A catalog from a Secret is known only now.
            let text = "upsertMode writes by MERGE, which Iceberg catalogs alone take: the name of the \
                        catalog must contain iceberg";
            return Err(BuildError::Invalid(text.into()));
        }
        let metrics = TrinoSinkMetrics::new(&ctx.metrics, &ctx.flow)
            .map_err(|error| BuildError::Invalid(error.to_string()))?;
        Ok(TrinoSink {
            server,
            table,
            style,
            creates_table: spec.auto_create_table,
            ctx: ctx.clone(),
            metrics,
            client: None,
            layout: None,
            page: Page::default(),
            rows: Rows::default(),
            sql: Vec::new(),
            named: HashSet::new(),
            has_told_of_deletes: false,
        })
    }

    /// Reads the columns of the table.
    async fn load(&mut self, client: &Client) -> Result<(), Failure> {
        self.layout = None;
        let columns = client.table_columns(&self.table, &mut self.page).await?;
        if columns.is_empty() {
            if self.creates_table {
                return Ok(());
            }
            // Source: dataflow-operator.md §3.5, the text.
            let message = format!("table {} does not exist or has no columns", self.table);
            return Err(Failure::new(ErrorClass::InvalidData, message));
        }
        let layout = Layout::new(columns, &self.style).map_err(|name| {
            let message = format!("table {} has no column `{name}`", self.table);
            Failure::new(ErrorClass::InvalidData, message)
        })?;
        self.layout = Some(layout);
        Ok(())
    }

    /// Makes the table for the records of a batch, if one can be made, and reads its columns.
    async fn create(
        &mut self,
        client: &Client,
        batch: &RecordBatch,
        wanted: &[usize],
    ) -> Result<(), Failure> {
        let draft = Draft::of(batch, wanted, &self.style);
        if draft.is_empty() {
            return Ok(());
        }
        client.execute(&draft.sql(&self.table), &mut self.page).await?;
        tracing::info!(table = %self.table, "created a table in trino");
        self.load(client).await?;
        match self.layout {
            Some(_) => Ok(()),
            None => {
                let message = format!("table {} was created and is not there", self.table);
                Err(Failure::new(ErrorClass::Transient, message))
            }
        }
    }

    /// Makes the rows of the records; rejects records that have none. Gives the frame of the statements.
    fn render(&mut self, batch: &RecordBatch, wanted: &[usize], outcomes: &mut Outcomes) -> Frame {
        self.rows.clear();
        let Some(layout) = &self.layout else {
            for &index in wanted {
                let message = "no JSON object with fields, and the table is made from those";
                outcomes.rejected(index, RecordError::invalid(message));
            }
            return Frame::default();
        };
        let has_deletes = layout.key.is_some()
            && !self.style.is_raw
            && wanted.iter().any(|&index| is_delete(batch, index));
        let frame = Frame::new(&self.table, layout, has_deletes);
        let row_max = frame.row_max();
        for &index in wanted {
            if let Err(error) = self.rows.push(layout, &self.style, batch, index) {
                outcomes.rejected(index, error);
                continue;
            }
            let too_long = self.rows.rows.pop_if(|row| row.end - row.start > row_max);
            if let Some(row) = too_long {
                let bytes = row.end - row.start;
                self.rows.text.truncate(row.start);
                let message = format!(
                    "the row takes {bytes} bytes of SQL, and Trino's statements hold {row_max} of a row \
                     (query.max-length)"
                );
                outcomes.rejected(index, RecordError::invalid(message));
            }
        }
        if layout.key.is_some() {
            self.rows.replace_earlier();
        }
        frame
    }

    /// Sends the rows in as few statements as their length allows.
    async fn send(
        &mut self,
        client: &Client,
        frame: &Frame,
        outcomes: &mut Outcomes,
    ) -> Result<(), Failure> {
        let rows = &self.rows.rows;
        let mut is_delivered = vec![false; rows.len()];
        let mut next = 0;
        while next < rows.len() {
            frame.begin(&mut self.sql);
            let mut is_empty = true;
            while let Some(row) = rows.get(next) {
                if row.replaced_by.is_none() {
                    if !is_empty && !frame.has_room(&self.sql, row) {
                        break;
                    }
                    let literals = &self.rows.text[row.start..row.end];
                    frame.push(&mut self.sql, literals, row.is_delete);
                    is_empty = false;
                }
                next += 1;
            }
            if is_empty {
                break;
            }
            frame.end(&mut self.sql);
            client.execute(&self.sql, &mut self.page).await?;
            for (number, row) in rows[..next].iter().enumerate() {
                if !is_delivered[number] && row.replaced_by.is_none_or(|later| later < next) {
                    is_delivered[number] = true;
                    outcomes.delivered(row.index..row.index + 1);
                }
            }
        }
        Ok(())
    }

    /// Tells of fields that no column has, each name once.
    fn tell(&mut self) {
        let count = std::mem::take(&mut self.rows.ignored_count);
        if count == 0 {
            return;
        }
        self.metrics.ignored_fields.add(count);
        let named = &mut self.named;
        let room = NAMED_MAX.saturating_sub(named.len());
        let fresh: Vec<String> =
            self.rows.ignored.drain(..).filter(|name| !named.contains(name)).take(room).collect();
        if !fresh.is_empty() {
            tracing::info!(
                table = %self.table,
                fields = fresh.join(", "),
                "fields that no column has are left out"
            );
            named.extend(fresh);
        }
    }

    /// Tells once that rows are added though their records say that they are gone.
    fn tell_of_deletes(&mut self, batch: &RecordBatch, wanted: &[usize]) {
        let is_append = self.style.conflict_key.is_none() && !self.style.is_raw;
        if !is_append || self.has_told_of_deletes {
            return;
        }
        if wanted.iter().any(|&index| is_delete(batch, index)) {
            self.has_told_of_deletes = true;
            tracing::warn!(
                table = %self.table,
                "records of deleted rows are added as rows; upsertMode deletes them"
            );
        }
    }

    async fn write_wanted(
        &mut self,
        client: &Client,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), Failure> {
        let mut is_reloaded = false;
        loop {
            let is_resolved = outcomes.resolved_flags(batch.len());
            let wanted: Vec<usize> = (0..batch.len()).filter(|&at| !is_resolved[at]).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            if self.layout.is_none() && self.creates_table {
                self.create(client, batch, &wanted).await?;
            } else if self.layout.is_none() {
                self.load(client).await?;
            }
            self.tell_of_deletes(batch, &wanted);
            let frame = self.render(batch, &wanted, outcomes);
            self.tell();
            match self.send(client, &frame, outcomes).await {
                Err(failure) if failure.concerns == Concern::Schema && !is_reloaded => {
                    tracing::info!(table = %self.table, %failure, "reading the columns again");
                    is_reloaded = true;
                    self.load(client).await?;
                }
                result => return result,
            }
        }
    }
}

#[async_trait]
impl Sink for TrinoSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.client = None;
        // A new client also after a failure: certificates may have been renewed, addresses moved.
        let client = Client::connect(&self.server, &self.ctx).await?;
        self.load(&client).await?;
        self.client = Some(client);
        Ok(())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let Some(client) = self.client.clone() else {
            return Err(SinkError::new(ErrorClass::Transient, "the sink is not open"));
        };
        Ok(self.write_wanted(&client, batch, outcomes).await?)
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.client = None;
        Ok(())
    }
}
