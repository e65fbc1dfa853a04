//! The sink itself: one INSERT per batch.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use levada_codec::compression::{Compression as Codec, compress_all};
use levada_model::{ErrorClass, RecordBatch};
use levada_runtime::TaskKind;

use super::Spec;
use super::rows::{DATA, METADATA, Rows, Shape};
use super::table::{Design, Sample};
use crate::blocks::Tls;
use crate::clickhouse::{Client, Connection, Table, quoted};
use crate::context::BuildContext;
use crate::spec::BuildError;
use crate::traits::{Outcomes, Sink, SinkError};

/// Ours: longer than any insert of a batch takes that will pass.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Bodies above this are compressed on a thread of their own. Ours: below it, that takes a millisecond.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The column that raw tables have beside the records. Source: dataflow-operator.md §3.6.
const CREATED_AT: (&str, &str) = ("created_at", "DateTime DEFAULT now()");

pub(super) struct ClickhouseSink {
    connection: Connection,
    table: Table,
    /// `INSERT INTO …`.
    insert: String,
    shape: Shape,
    is_raw: bool,
    creates: bool,
    upserts: bool,
    engine: String,
    key: String,
    version: String,
    schema_change: SchemaChange,
    is_gzip: bool,
    tls: Option<Tls>,
    timeout: Duration,
    ctx: BuildContext,
    client: Option<Client>,
    /// The columns of the table; empty: there is no table, or they may not be seen.
    columns: HashSet<String>,
    rows: Rows,
    body: Vec<u8>,
    /// Where the rows stand in `body`, and which records they are.
    sent: Vec<(Range<usize>, usize)>,
    token: Vec<u8>,
}

/// What happens to fields that are no columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SchemaChange {
    Strict,
    Evolve,
    Ignore,
}

// === impl ClickhouseSink ===

impl ClickhouseSink {
    pub(super) fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: String| BuildError::Invalid(text);
        let connection = Connection::parse(spec.connection_string.expose())
            .map_err(|problem| invalid(format!("connectionString {problem}")))?;
        let key = spec.conflict_key.trim().to_owned();
        let engine = match spec.table_engine.as_str() {
            "" if spec.upsert_mode => "ReplacingMergeTree".to_owned(),
            "" => "MergeTree".to_owned(),
            engine => engine.to_owned(),
        };
        if spec.upsert_mode && engine != "ReplacingMergeTree" {
            return Err(invalid("upsertMode needs the tableEngine ReplacingMergeTree".into()));
        }
        if spec.auto_create_table && engine == "ReplacingMergeTree" && key.is_empty() {
            let text = "a table of the engine ReplacingMergeTree needs conflictKey: without it all rows \
                        replace each other";
            return Err(invalid(text.into()));
        }
        let table = Table::parse(&spec.table);
        let shape = if spec.raw_mode {
            let prefix =
                spec.flatten_metadata_columns.then(|| spec.flatten_metadata_columns_prefix.clone());
            Shape::Raw { prefix, has_metadata: true }
        } else {
            Shape::Columns {
                key: spec.upsert_mode.then(|| key.clone()).filter(|key| !key.is_empty()),
            }
        };
        Ok(ClickhouseSink {
            insert: format!("INSERT INTO {} FORMAT JSONEachRow", table.sql()),
            connection,
            table,
            shape,
            is_raw: spec.raw_mode,
            creates: spec.auto_create_table,
            upserts: spec.upsert_mode,
            engine,
            key,
            version: spec.replacing_version_column.trim().to_owned(),
            schema_change: match spec.schema_change.as_str() {
                "evolve" => SchemaChange::Evolve,
                "ignore" => SchemaChange::Ignore,
                _ => SchemaChange::Strict,
            },
            is_gzip: spec.compression == "gzip",
            tls: spec.tls,
            timeout: spec.timeout.map_or(TIMEOUT_DEFAULT, levada_settings::Duration::get),
            ctx: ctx.clone(),
            client: None,
            columns: HashSet::new(),
            rows: Rows::default(),
            body: Vec::new(),
            sent: Vec::new(),
            token: Vec::new(),
        })
    }

    /// Looks which columns there are, and of which engine the table is.
    async fn look(&mut self, client: &Client) -> Result<(), SinkError> {
        let columns = client.columns(&self.table, self.timeout).await?;
        self.columns = columns.into_iter().map(|(name, _)| name).collect();
        if let Shape::Raw { has_metadata, .. } = &mut self.shape {
            // The tables of the original have none unless the metadata is wanted.
            *has_metadata = self.columns.is_empty() || self.columns.contains(METADATA);
        }
        if !self.upserts {
            return Ok(());
        }
        match client.engine(&self.table, self.timeout).await? {
            Some(engine) if engine.ends_with("MergeTree") && !engine.contains("Replacing") => {
                let text = format!(
                    "upsertMode needs a table of the engine ReplacingMergeTree, and {} is {engine}",
                    self.table.sql()
                );
                Err(SinkError::new(ErrorClass::InvalidData, text))
            }
            _ => Ok(()),
        }
    }

    /// Makes the rows of the records that are wanted.
    fn encode(&mut self, batch: &RecordBatch, outcomes: &mut Outcomes) {
        self.body.clear();
        self.sent.clear();
        let is_resolved = outcomes.resolved_flags(batch.len());
        for index in (0..batch.len()).filter(|&index| !is_resolved[index]) {
            let start = self.body.len();
            match self.rows.push(&self.shape, batch, index, &mut self.body) {
                Ok(()) => self.sent.push((start..self.body.len(), index)),
                Err(error) => outcomes.rejected(index, error),
            }
        }
    }

    /// Makes the table, or the columns that are missing, where the settings ask for that.
    async fn adapt(&mut self, client: &Client) -> Result<(), SinkError> {
        let is_missing = self.columns.is_empty();
        let evolves = self.schema_change == SchemaChange::Evolve && !is_missing;
        let creates = self.creates && is_missing;
        if !evolves && !creates {
            return Ok(());
        }
        let mut sample = Sample::default();
        for (row, _) in &self.sent {
            sample.add(&self.body[row.clone()], &self.columns);
        }
        let statements: Vec<String> = if evolves {
            let table = self.table.sql();
            let add = |(name, kind): (&str, String)| {
                let name = quoted(name);
                format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} Nullable({kind})")
            };
            sample.columns().map(add).collect()
        } else {
            let raw = [(DATA, "String"), (METADATA, "String"), CREATED_AT];
            let fixed: &[_] = match &self.shape {
                Shape::Columns { .. } => &[],
                Shape::Raw { prefix: None, .. } => &raw,
                Shape::Raw { prefix: Some(_), .. } => &[raw[0], raw[2]],
            };
            // Source: dataflow-operator.md §3.6, raw tables are ordered by the time.
            let key = if self.is_raw && self.key.is_empty() { CREATED_AT.0 } else { &self.key };
            let design = Design {
                table: &self.table,
                engine: &self.engine,
                key,
                version: &self.version,
                fixed,
            };
            let create = sample.create(&design).map_err(|problem| {
                let text = format!("cannot make the table {}: {problem}", self.table.sql());
                // Other records may have what is missing.
                let error = SinkError::new(ErrorClass::InvalidData, text);
                SinkError { is_about_records: true, ..error }
            })?;
            vec![create]
        };
        if statements.is_empty() {
            return Ok(());
        }
        for statement in statements {
            tracing::info!(flow = %self.ctx.flow, statement, "the table is changed");
            client.run(statement, &[], self.timeout).await?;
        }
        self.look(client).await
    }

    /// Makes the token of the insert: the same for the same records from the same places.
    ///
    /// The content is part of it, so that records which stand at places of others (a topic made anew, a
    /// file written again) are not taken for them; so is the flow, because several write to a table.
    fn make_token(&mut self, batch: &RecordBatch) -> String {
        self.token.clear();
        for &(_, index) in &self.sent {
            let record = batch.records[index];
            if let Some(origin) = batch.origins.get(record.origin as usize) {
                self.token.extend_from_slice(origin.partition.as_bytes());
            }
            self.token.extend_from_slice(&record.position.to_le_bytes());
        }
        let position = |sent: Option<&(Range<usize>, usize)>| {
            sent.map_or(0, |&(_, index)| batch.records[index].position)
        };
        format!(
            "{}:{}-{}:{}:{}:{:08x}{:08x}",
            self.ctx.flow,
            position(self.sent.first()),
            position(self.sent.last()),
            self.sent.len(),
            self.body.len(),
            crc32c::crc32c(&self.token),
            crc32c::crc32c(&self.body),
        )
    }

    async fn compressed(&self, body: Vec<u8>) -> Result<Vec<u8>, SinkError> {
        if !self.is_gzip {
            return Ok(body);
        }
        let result = if body.len() <= INLINE_BYTES_MAX {
            Some(compress_all(Codec::Gzip, &body))
        } else {
            let work = move || compress_all(Codec::Gzip, &body);
            self.ctx
                .tasks
                .spawn_thread(TaskKind::Connector, "clickhouse sink body", work)
                .await
                .ok()
        };
        match result {
            Some(Ok(compressed)) => Ok(compressed),
            _ => Err(SinkError::new(ErrorClass::Transient, "cannot compress a request")),
        }
    }
}

#[async_trait]
impl Sink for ClickhouseSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        // A new client also after a failure: certificates may have been renewed, addresses moved.
        let client = Client::new(&self.connection, self.tls.as_ref(), &self.ctx.base_dir).await?;
        self.look(&client).await?;
        self.client = Some(client);
        Ok(())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let Some(client) = self.client.clone() else {
            return Err(SinkError::new(ErrorClass::Unknown, "the sink is not open"));
        };
        self.encode(batch, outcomes);
        if self.sent.is_empty() {
            return Ok(());
        }
        self.adapt(&client).await?;
        let token = self.make_token(batch);
        let skip = if self.schema_change == SchemaChange::Ignore { "1" } else { "0" };
        let params = [
            ("query", self.insert.as_str()),
            ("wait_end_of_query", "1"),
            // A profile may switch it on, and then an answer says nothing about the records.
            ("async_insert", "0"),
            ("insert_deduplication_token", &token),
            // Times as JSON has them, RFC 3339, are not what is read by default.
            ("date_time_input_format", "best_effort"),
            ("input_format_skip_unknown_fields", skip),
        ];
        let body = std::mem::take(&mut self.body);
        let body = self.compressed(body).await?;
        client.insert(&params, body, self.is_gzip, self.timeout).await?;
        for &(_, index) in &self.sent {
            outcomes.delivered(index..index + 1);
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.client = None;
        Ok(())
    }
}
