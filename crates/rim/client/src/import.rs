//! `import kapacitor`: brings what an original knows to a Levada server.
//!
//! ```text
//! URL ─▶ source::server ─┐
//! DIR ─▶ source::folder ─┴─▶ Wanted ─▶ apply (compare with what is there; create, change) ─▶ Row per object
//! ```
//! - The order is templates, tasks, handlers, states of alerts, and only then are tasks enabled: an alert that was firing
//!   is known before the first point comes.
//! - It may be run again: what is there and the same is left alone.
//! - One object that fails stops no other; a server that cannot be reached stops all.
//! - Not taken: recordings, replays, users, and overrides of the configuration. Nothing is ever deleted.

mod apply;
mod compare;
mod source;

use std::path::PathBuf;

use serde_json::json;

use crate::api::{Api, ApiError};
use crate::format::Format;
use crate::table::{Table, fixed, longest};
use crate::world::World;

/// What is imported, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL of a running original, or a load directory.
    pub source: String,
    /// The URL of the Levada server.
    pub server: String,
    /// Believe any TLS certificate of either.
    pub skip_verify: bool,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Enable nothing, and leave the status of what is there.
    pub disabled: bool,
    /// What the rows look like.
    pub format: Format,
}

/// How an import ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is as it was at the source.
    Done,
    /// Some objects failed.
    SomeFailed,
    /// A server or the folder cannot be reached, or the results cannot be written.
    Failed,
}

/// An object that should be there.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    kind: Kind,
    /// What it is called in rows.
    name: String,
    what: Result<What, String>,
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq)]
enum What {
    /// A template or a task: the body that creates it.
    Definition(serde_json::Map<String, serde_json::Value>),
    /// A handler of a topic.
    Handler { topic: String, id: String, body: serde_json::Value },
    /// The states of a topic's events, each `{"id", "state"}`.
    Events { topic: String, events: Vec<serde_json::Value> },
}

/// The kinds of objects, in the order in which they are brought over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Template,
    Task,
    TopicHandler,
    TopicEvents,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    kind: Kind,
    name: String,
    action: Action,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Created,
    Changed,
    Unchanged,
    Failed,
}

/// Imports, prints a row per object, and says how it ended.
pub fn run(options: &Options, world: &mut World<'_>) -> Ended {
    let rows = match gather(options, world) {
        Ok((target, wanted)) => apply::all(&target, wanted, options),
        Err(message) => {
            world.note(&format!("error: {message}"));
            return Ended::Failed;
        }
    };
    let (rows, stopped) = rows;
    let printed = world.print(&render(&rows, options)).and_then(|()| world.out.flush());
    if let Err(error) = printed {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Ended::Failed;
        }
        world.note(&format!("error: the output cannot be written: {error}"));
        return Ended::Failed;
    }
    let count = |action: Action| rows.iter().filter(|row| row.action == action).count();
    let [created, changed, unchanged, failed] =
        [Action::Created, Action::Changed, Action::Unchanged, Action::Failed].map(count);
    let would = if options.dry_run { "would be " } else { "" };
    world.note(&format!(
        "{would}created {created}, {would}changed {changed}, unchanged {unchanged}, failed {failed}"
    ));
    match (stopped, failed) {
        (Some(error), _) => {
            world.note(&format!("error: {}; the rest was not looked at", error.message));
            Ended::Failed
        }
        (None, 0) => Ended::Done,
        (None, _) => Ended::SomeFailed,
    }
}

/// Makes sure that the target answers, and reads the source.
fn gather(options: &Options, world: &World<'_>) -> Result<(Api, Vec<Wanted>), String> {
    let target = Api::new(&options.server, options.skip_verify, world.answer_timeout)?;
    target.get(&["ping"], &[]).map_err(|error| error.message)?;
    let wanted = if options.source.contains("://") {
        let source = Api::new(&options.source, options.skip_verify, world.answer_timeout)?;
        source::server(&source).map_err(|error: ApiError| error.message)?
    } else {
        source::folder(&PathBuf::from(&options.source))?
    };
    Ok((target, wanted))
}

fn render(rows: &[Row], options: &Options) -> String {
    let values = rows.iter().map(|row| {
        json!({
            "kind": row.kind.name(), "name": row.name, "action": row.action.name(),
            "detail": row.detail, "dryRun": options.dry_run,
        })
    });
    match options.format {
        Format::Json => values.map(|value| format!("{value}\n")).collect(),
        Format::Yaml => crate::format::yaml(&values.collect()),
        Format::Text => {
            let mut table = Table::new([
                longest("KIND"),
                longest("NAME"),
                longest("ACTION"),
                fixed("DETAIL", 0),
            ]);
            for row in rows {
                let action = match (options.dry_run, row.action) {
                    (true, Action::Created) => "would create",
                    (true, Action::Changed) => "would change",
                    (_, action) => action.name(),
                };
                let detail = row.detail.replace('\n', " ");
                table.row([row.kind.name().into(), row.name.clone(), action.into(), detail]);
            }
            let text = table.render();
            text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
        }
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Template => "template",
            Kind::Task => "task",
            Kind::TopicHandler => "topic-handler",
            Kind::TopicEvents => "topic-events",
        }
    }
}

// === impl Action ===

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Created => "created",
            Action::Changed => "changed",
            Action::Unchanged => "unchanged",
            Action::Failed => "failed",
        }
    }
}
