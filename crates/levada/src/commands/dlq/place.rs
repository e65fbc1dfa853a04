//! Dead letters where a flow's error sink writes them: a topic of Kafka, or a table of PostgreSQL.
//!
//! Of a topic, a group of its own keeps where the last replay stopped. It moves only when the replay ended well, and
//! not past a letter that was left for later; letters behind such a one are replayed again, as everything is that is
//! delivered at least once.
//!
//! A table is read whole, and its rows stay, like the lines of a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use levada_connectors::{AnySource, BuildContext, Links, SOURCES, Source};
use levada_flow::spec::Flow;
use levada_flow::spec::secrets::Secrets;
use levada_model::{Position, RecordBatch, Str};
use levada_registry::{FieldPath, Node, Report};
use levada_server::flows::Host;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::Fate;
use crate::args::Common;
use crate::log;

/// A type of error sink whose letters are read from where they were written.
struct Kind {
    /// Of the sink, and of the source that reads it.
    name: &'static str,
    /// The setting that names the place.
    place: &'static str,
    /// For people.
    noun: &'static str,
    /// What source and sink share.
    shared: &'static [&'static str],
    /// Whether the source knows where the last replay stopped.
    keeps_position: bool,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "kafka",
        place: "topic",
        noun: "topic",
        shared: &["brokers", "topic", "tls", "sasl", "securityProtocol"],
        keeps_position: true,
    },
    Kind {
        name: "postgresql",
        place: "table",
        noun: "table",
        shared: &["connectionString", "table"],
        keeps_position: false,
    },
];

/// How often offsets are tried to be stored: the group may still know the member that has just left.
const COMMITS: u32 = 10;
const COMMIT_PAUSE: Duration = Duration::from_millis(500);

/// Where an error sink writes, and how far it was read.
pub(super) struct Place {
    kind: &'static Kind,
    settings: Value,
    path: FieldPath,
    ctx: BuildContext,
    runtime: Runtime,
    /// By partition: where to go on.
    next: BTreeMap<Str, u64>,
}

/// Whose letters are read.
pub(super) struct Of<'a> {
    pub(super) flow: &'a Flow,
    pub(super) secrets: &'a Secrets,
    pub(super) base_dir: &'a Path,
    /// The group that reads a topic; nothing: one of the flow's own.
    pub(super) group: Option<&'a str>,
}

// === impl Place ===

impl Place {
    /// Finds where a flow's error sink writes; connects to nothing.
    ///
    /// Errors: the flow has none, or one of another type.
    pub(super) fn of(of: &Of<'_>, common: &Common) -> Result<Self, String> {
        let Of { flow, secrets, base_dir, group } = of;
        let errors = flow.errors.as_ref().ok_or("the flow has no error sink; name files")?;
        let name = errors.sink.entry.name;
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            format!(
                "the error sink of the flow is `{name}`, and only topics of Kafka and tables of PostgreSQL are read \
                 from there; name files with its dead letters"
            )
        })?;
        let mut report = Report::new();
        let (namespace, name) = (&flow.object.namespace, &flow.object.name);
        let path = errors.sink.path.clone();
        let block = secrets.resolve(&errors.sink.block, namespace, &path, &mut report);
        let mut settings = Map::new();
        for key in kind.shared {
            settings.extend(block.get(key).map(|node| ((*key).to_owned(), node.to_json())));
        }
        settings.insert("stopAtEnd".into(), true.into());
        if kind.keeps_position {
            let own = format!("levada-dlq-{namespace}-{name}");
            settings.insert("consumerGroup".into(), group.map_or(own, str::to_owned).into());
        } else {
            let table = settings.get("table").and_then(Value::as_str).unwrap_or_default();
            settings.insert("query".into(), whole_table(table).into());
        }
        let settings = Value::Object(settings);
        decode(kind, &settings, &path, &mut report)?;
        let host = Host::without_store(log::settings(common)?);
        let ctx = BuildContext {
            flow: flow.object.clone(),
            base_dir: base_dir.to_path_buf(),
            clock: host.clock.clone(),
            metrics: host.metrics.clone(),
            tasks: host.tasks.clone(),
            batch_records: 1000,
            batch_bytes: 1 << 20,
            is_exactly_once: false,
            is_compat: false,
            links: Links::default(),
        };
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Place { kind, settings, path, ctx, runtime, next: BTreeMap::new() })
    }

    /// Gives its name with a noun, such as ``topic `dead` ``.
    fn name(&self) -> String {
        let name = self.settings[self.kind.place].as_str().unwrap_or_default();
        format!("{} `{name}`", self.kind.noun)
    }

    fn source(&self) -> Result<Box<dyn Source>, String> {
        let spec = decode(self.kind, &self.settings, &self.path, &mut Report::new())?;
        spec.build(&self.ctx).map_err(|error| error.to_string())
    }

    /// Hands out what is there: of a topic from where the group stands to the end that it has now.
    ///
    /// Errors: it cannot be read.
    pub(super) fn read(&mut self, mut each: impl FnMut(&[u8]) -> Fate) -> Result<(), String> {
        let mut source = self.source()?;
        let mut left: BTreeMap<Str, u64> = BTreeMap::new();
        let next = &mut self.next;
        let result = self.runtime.block_on(async {
            source.open(&[]).await?;
            let mut batch = RecordBatch::new();
            while source.next(&mut batch).await? {
                for index in 0..batch.len() {
                    let record = &batch.records[index];
                    let partition = &batch.origins[record.origin as usize].partition;
                    let at = record.position;
                    if each(&batch.payload(index)) == Fate::Left {
                        left.entry(partition.clone()).or_insert(at);
                    }
                    next.insert(partition.clone(), at + 1);
                }
                batch.clear();
            }
            // Leaves the group.
            drop(source);
            Ok::<(), levada_connectors::SourceError>(())
        });
        result.map_err(|error| format!("{}: {error}", self.name()))?;
        for (partition, at) in left {
            self.next.insert(partition, at);
        }
        Ok(())
    }

    /// Makes the next replay go on behind what was handed out and not left.
    ///
    /// Errors: the group cannot be changed.
    pub(super) fn commit(&self) -> Result<(), String> {
        if !self.kind.keeps_position {
            return Ok(());
        }
        let position = |(name, at): (&Str, &u64)| (name.clone(), Position::from(*at));
        let positions: Vec<(Str, Position)> = self.next.iter().map(position).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let commit = async {
            for _ in 1..COMMITS {
                if self.source()?.rewind(&positions).await.is_ok() {
                    return Ok(());
                }
                self.ctx.clock.sleep(COMMIT_PAUSE).await;
            }
            let last = self.source()?.rewind(&positions).await;
            last.map(drop).map_err(|error| error.to_string())
        };
        self.runtime.block_on(commit).map_err(|error| format!("{}: {error}", self.name()))
    }

    /// Makes the next reading begin where the topic begins.
    pub(super) fn forget(&self) -> Result<(), String> {
        if !self.kind.keeps_position {
            return Ok(());
        }
        let rewind = async { self.source()?.rewind(&[]).await.map_err(|error| error.to_string()) };
        self.runtime.block_on(rewind).map(drop).map_err(|error| format!("{}: {error}", self.name()))
    }
}

/// Gives the query of all rows of a table, which may be `schema.table`.
///
/// A name of lower-case letters is quoted, since it could be a word of the language; one with upper-case letters is
/// folded by the server as the sink does.
fn whole_table(table: &str) -> String {
    let part = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let folds = name.bytes().any(|byte| byte.is_ascii_uppercase());
        match folds && name.bytes().all(is_plain) {
            true => name.to_owned(),
            false => format!("\"{}\"", name.trim_matches('"').replace('"', "\"\"")),
        }
    };
    let parts: Vec<String> = table.trim().split('.').map(part).collect();
    format!("SELECT * FROM {}", parts.join("."))
}

fn decode(
    kind: &Kind,
    settings: &Value,
    path: &FieldPath,
    report: &mut Report,
) -> Result<Box<dyn AnySource>, String> {
    let entry = SOURCES
        .iter()
        .find(|entry| entry.name == kind.name)
        .ok_or_else(|| format!("{} is not built in", kind.name))?;
    let spec = (entry.decode)(&Node::from_json(settings), path, report);
    let problems = report.problems().iter();
    let mut wrong = problems.filter(|problem| problem.severity == levada_registry::Severity::Error);
    match (wrong.next(), spec) {
        (None, Some(spec)) => Ok(spec),
        (problem, _) => Err(problem.map_or("cannot be read".to_owned(), ToString::to_string)),
    }
}
