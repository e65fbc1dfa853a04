//! Sends dead letters through their flow again, from the stage that failed.
//!
//! Letters that failed in step `n` start at step `n`; those that a sink refused go to that sink. The
//! number of replays travels in the metadata (`dlq_replays`), so that a letter that fails again and again is
//! left alone in the end.
//!
//! Letters stand in files, or in the topic or table that the flow's error sink writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use levada_connectors::{Source, SourceError};
use levada_flow::engine::Start;
use levada_flow::spec::Flow;
use levada_flow::transforms::router::ROUTED_CONDITION;
use levada_model::batch::MAIN;
use levada_model::{Meta, Position, RecordBatch, Str, Value};
use levada_task::udf::Udfs;

use super::place::{self, Place};
use super::{Fate, Letter};
use crate::args::{Common, DlqReplay};
use crate::commands::run::{self, Options};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::output;

/// The metadata key that counts replays.
const REPLAYS: &str = "dlq_replays";

/// Letters that are kept in memory; more are replayed in a second call.
const LETTERS_MAX: usize = 1_000_000;

/// Where a letter goes in again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// Before this step.
    Step(usize),
    /// At a sink: [`MAIN`] or a route.
    Sink(u16),
}

pub(super) fn run(args: DlqReplay, common: &Common) -> Result<Exit, String> {
    let mut groups: BTreeMap<Entry, Vec<Letter>> = BTreeMap::new();
    let (flow, parts) = load_flow(&args.flow)?;
    let name = format!("{}/{}", flow.object.namespace, flow.object.name);
    let (mut taken, mut spent, mut foreign, mut left) = (0usize, 0u64, 0u64, 0u64);
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let sort = |letter: Letter, _: &str| {
        if !letter.dataflow.is_empty() && letter.dataflow != name {
            foreign += 1;
        } else if replays(&letter) >= args.attempts_max {
            spent += 1;
        } else if taken >= LETTERS_MAX {
            left += 1;
            return Fate::Left;
        } else {
            match entry(&flow, &letter.stage) {
                Some(entry) => {
                    taken += 1;
                    groups.entry(entry).or_default().push(letter);
                }
                None => {
                    *unknown.entry(letter.stage).or_default() += 1;
                    return Fate::Left;
                }
            }
        }
        Fate::Done
    };
    let mut place = None;
    let unreadable = if args.filter.files.is_empty() {
        let of = place::Of {
            flow: &flow,
            secrets: &parts.secrets.with_folder(args.secrets.clone()),
            base_dir: &parts.base_dir,
            group: args.group.as_deref(),
        };
        let place = place.insert(Place::of(&of, common)?);
        let forgotten = if args.from_start { place.forget() } else { Ok(()) };
        match forgotten.and_then(|()| super::for_each_in(place, &args.filter, sort)) {
            Ok(unreadable) => unreadable,
            Err(message) => return Ok(failed(&message)),
        }
    } else {
        super::for_each(&args.filter, sort)?
    };
    let notes = [
        (foreign, "belong to another flow"),
        (spent, "were replayed too often already (--attempts-max)"),
        (left, "are left for another replay"),
        (unreadable, "lines are no dead letters"),
    ];
    for (count, what) in notes {
        if count > 0 {
            output::note(&format!("note: {count} {what}"));
        }
    }
    for (stage, count) in &unknown {
        output::note(&format!(
            "warning: {count} failed in `{stage}`, a stage that `{name}` does not have"
        ));
    }
    output::note(&format!("replaying {taken} dead letters of {name}"));
    let mut exit = Exit::Done;
    for (entry, letters) in groups {
        // Every group runs the flow from another step, so the flow is loaded anew for each.
        let (flow, mut job_parts) = load_flow(&args.flow)?;
        let steps = flow.steps.len();
        let skip_steps = match entry {
            Entry::Step(step) => step,
            Entry::Sink(_) => steps,
        };
        let letters: Vec<(Letter, u16)> = letters
            .into_iter()
            .map(|letter| {
                let route = match entry {
                    Entry::Sink(route) => route,
                    Entry::Step(step) => route_before(&flow, step, &letter),
                };
                (letter, route)
            })
            .collect();
        let source = Letters { letters: letters.into_iter() };
        let start = Start { source: Some(Box::new(source)), skip_steps, from_start: false };
        let folder = args.secrets.clone();
        let secrets = Arc::new(std::mem::take(&mut job_parts.secrets).with_folder(folder));
        let job = run::job(flow, start, secrets, job_parts.base_dir);
        let options = Options {
            no_checkpoints: true,
            duration: None,
            probes: None,
            scripts: Vec::new(),
            udfs: Udfs::default(),
        };
        let ended = run::run_jobs(vec![job], &options, common, None)?;
        if ended != Exit::Done {
            exit = ended;
            break;
        }
    }
    if exit == Exit::Done
        && let Some(place) = place
        && let Err(message) = place.commit()
    {
        let what = "the letters were replayed, and will be again: where they end cannot be stored";
        return Ok(failed(&format!("{what}: {message}")));
    }
    Ok(exit)
}

fn failed(message: &str) -> Exit {
    output::note(&format!("error: {message}"));
    Exit::Failed
}

pub(super) struct JobParts {
    pub(super) secrets: levada_flow::spec::secrets::Secrets,
    pub(super) base_dir: std::path::PathBuf,
}

pub(super) fn load_flow(file: &PathBuf) -> Result<(Flow, JobParts), String> {
    let loaded = Loaded::read(std::slice::from_ref(file));
    load::complain(&loaded.findings, false);
    if loaded.has_errors() {
        return Err(format!("`{}` is not valid", file.display()));
    }
    let (loaded, secrets) = loaded.only_flow(None)?;
    Ok((loaded.flow, JobParts { secrets, base_dir: loaded.base_dir }))
}

fn replays(letter: &Letter) -> u64 {
    letter.metadata.get(REPLAYS).and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// Gives where a letter of this stage goes in again; letters of the original, which name none, at the start.
fn entry(flow: &Flow, stage: &str) -> Option<Entry> {
    match stage {
        "" | "decode" => Some(Entry::Step(0)),
        "sink" => Some(Entry::Sink(MAIN)),
        _ => {
            if let Some(label) = stage.strip_prefix("route:") {
                let index = flow.routes.iter().position(|route| route.label == label)?;
                return u16::try_from(index).ok().map(Entry::Sink);
            }
            let (index, _) = stage.strip_prefix("transform[")?.split_once(']')?;
            let index = index.parse::<usize>().ok()?;
            (index < flow.steps.len()).then_some(Entry::Step(index))
        }
    }
}

/// Gives the route that a record had taken before it came to a step that failed.
///
/// The router leaves its condition in the metadata; a condition that the flow no longer has means the
/// main sink, as for a record that met none.
fn route_before(flow: &Flow, step: usize, letter: &Letter) -> u16 {
    let routes = flow.steps.get(step).map_or(0, |step| step.context.route_base);
    let condition = letter.metadata.get(ROUTED_CONDITION).and_then(serde_json::Value::as_str);
    let matches = |route: &u16| {
        condition.is_some_and(|text| text == flow.routes[usize::from(*route)].condition)
    };
    (0..routes).find(matches).unwrap_or(MAIN)
}

/// The source that hands out letters, each with its route.
struct Letters {
    letters: std::vec::IntoIter<(Letter, u16)>,
}

#[async_trait]
impl Source for Letters {
    async fn open(&mut self, _: &[(Str, Position)]) -> Result<(), SourceError> {
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        const RECORDS: usize = 1000;
        let origin = batch.push_origin("dlq".into(), serde_json::Value::Null);
        for (letter, route) in self.letters.by_ref().take(RECORDS) {
            let mut meta: Meta = letter
                .metadata
                .iter()
                .map(|(key, value)| (key.as_str().into(), Value::from_json(value)))
                .collect();
            meta.set(REPLAYS, Value::UInt(replays(&letter) + 1));
            batch.push(&letter.payload, origin, 0);
            let index = batch.len() - 1;
            batch.set_meta(index, Some(Arc::new(meta)));
            batch.records[index].route = route;
        }
        if batch.is_empty() {
            batch.clear();
            return Ok(false);
        }
        Ok(true)
    }
}
