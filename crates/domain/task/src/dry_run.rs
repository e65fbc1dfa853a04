//! A task on recorded data: as fast as it can, on the time of the data, without doing anything outside.

mod input;
mod services;

use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_tick::lambda::Env;
use serde_json::json;
use thiserror::Error;

use crate::actor::{Actor, CLOCK_UNSET};
use crate::capture::{Capture, Lines};
use crate::definition::Definition;
use crate::pipeline::start::StartOptions;
use crate::playback::{Playback, PlaybackError, TICKS_MAX};
use crate::recording::batches::{BatchReader, Times};
use crate::runtime::context::{Compat, Limits};
use crate::runtime::{Failure, Graph};
use crate::udf::UdfSide;
use crate::watermark::WatermarkSettings;

pub use input::{InputError, StreamFormat};
pub use services::Unconfigured;

/// A task that is fed by hand.
pub struct DryRun<L> {
    playback: Playback,
    lines: Arc<Mutex<L>>,
    parser: Parser,
    points: Vec<Point>,
    database: Str,
    retention: Str,
    /// Points of other databases are not the task's; empty when any will do.
    dbrps: Vec<(Str, Str)>,
}

/// How a task is run dry.
#[derive(Clone)]
pub struct DryRunOptions {
    /// The name of the task.
    pub task: String,
    /// Where line protocol is taken to have been written.
    pub database: Option<String>,
    /// Where line protocol is taken to have been written.
    pub retention: Option<String>,
    /// Bring back what upstream does.
    pub compat: Compat,
    /// Bounds.
    pub limits: Limits,
    /// Closes windows and the like by the progress of the data.
    pub watermark: Option<WatermarkSettings>,
    /// `hour()` and the like are in the time zone of this machine, as in a server; otherwise in UTC.
    pub is_local: bool,
    /// Functions that run outside: they are run, for they compute, and what they give goes on in the task.
    pub udfs: Option<Arc<UdfSide>>,
}

/// Why a dry run ended early.
#[derive(Debug, Error)]
pub enum DryRunError {
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The task failed.
    #[error("{0}")]
    Failed(Box<Failure>),
}

/// Used when neither the command nor the script names a database.
const DATABASE_DEFAULT: &str = "db";
/// Used when neither the command nor the script names a retention policy.
const RETENTION_DEFAULT: &str = "rp";

impl From<PlaybackError> for DryRunError {
    fn from(error: PlaybackError) -> Self {
        match error {
            PlaybackError::Jump { time, ticks } => InputError::Jump { time, ticks }.into(),
            PlaybackError::Failed(failure) => DryRunError::Failed(failure),
        }
    }
}

// === impl DryRun ===

impl<L: Lines + 'static> DryRun<L> {
    /// Starts the task; an error is upstream's enable error.
    pub fn start(
        definition: &Definition,
        options: &DryRunOptions,
        lines: Arc<Mutex<L>>,
    ) -> Result<Self, String> {
        let of_script = definition.dbrps.first();
        let database: Str = match (&options.database, of_script) {
            (Some(name), _) => name.as_str().into(),
            (None, Some((database, _))) => Str::clone(database),
            (None, None) => DATABASE_DEFAULT.into(),
        };
        let retention: Str = match (&options.retention, of_script) {
            (Some(name), _) => name.as_str().into(),
            (None, Some((_, retention))) => Str::clone(retention),
            (None, None) => RETENTION_DEFAULT.into(),
        };
        let dbrps = if options.database.is_some() || options.retention.is_some() {
            vec![(Str::clone(&database), Str::clone(&retention))]
        } else {
            definition.dbrps.clone()
        };
        let zone = if options.is_local { TimeZone::system() } else { TimeZone::UTC };
        let services = Unconfigured::with(options.udfs.clone());
        let known = [(Str::clone(&database), Str::clone(&retention))];
        let mut actor = Actor::start(
            &definition.pipeline,
            &StartOptions {
                task: options.task.as_str().into(),
                dbrps: if dbrps.is_empty() { &known } else { &dbrps },
                services: &services,
                limits: &options.limits,
                compat: options.compat,
                seed: 1,
            },
            Box::new(Capture::new(Arc::clone(&lines))),
            Env { now: Timestamp(0), zone },
            CLOCK_UNSET,
        )?;
        if let Some(watermark) = options.watermark {
            actor.watch(watermark);
        }
        Ok(DryRun {
            playback: Playback::new(actor, TICKS_MAX),
            lines,
            parser: Parser::new(ParserLimits::default()),
            points: Vec::new(),
            database,
            retention,
            dbrps,
        })
    }

    /// Counts the query nodes of a batch task.
    pub fn queries(&self) -> usize {
        self.playback.actor().queries().len()
    }

    /// Gives points to a stream task.
    pub fn stream(
        &mut self,
        input: impl BufRead,
        format: StreamFormat,
        precision: Precision,
    ) -> Result<(), DryRunError> {
        let mut reader = input::Stream::new(input, format);
        loop {
            self.points.clear();
            let is_more = reader.next(
                &mut self.parser,
                (&self.database, &self.retention),
                precision,
                &mut self.points,
            );
            let points = std::mem::take(&mut self.points);
            let result = self.give(&points);
            self.points = points;
            result?;
            if !is_more? {
                return Ok(());
            }
        }
    }

    fn give(&mut self, points: &[Point]) -> Result<(), DryRunError> {
        for point in points {
            let series = &point.series;
            let is_ours = self.dbrps.is_empty()
                || self.dbrps.iter().any(|(database, retention)| {
                    **database == *series.database && **retention == *series.retention
                });
            if is_ours {
                self.playback.point(point)?;
                self.playback.outside(Actor::is_congested)?;
            }
        }
        Ok(())
    }

    /// Gives batches to the query nodes: the k-th input to the k-th node, in the order of their times.
    ///
    /// - Errors: upstream's text when there are more or fewer inputs than nodes.
    pub fn batches(&mut self, inputs: Vec<Box<dyn BufRead + Send>>) -> Result<(), DryRunError> {
        let (expected, got) = (inputs.len(), self.queries());
        if expected != got {
            return Err(InputError::Count { expected, got }.into());
        }
        let mut batches = BatchReader::new(inputs, Times::Recorded).map_err(InputError::from)?;
        while let Some((index, batch)) = batches.next_batch().map_err(InputError::from)? {
            if !self.playback.batch(index, batch)? {
                let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.problem("query", "too many groups");
            }
            self.playback.outside(Actor::is_congested)?;
        }
        Ok(())
    }

    /// Ends the input and gives the last lines: what httpOut serves, and the statistics when they are wanted.
    pub fn finish(mut self, with_statistics: bool) -> Result<(), DryRunError> {
        let result = self.playback.outside(Actor::waits_outside);
        let result = result.and_then(|()| self.playback.finish());
        let graph = self.playback.actor().graph();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        write_served(graph, &mut *lines);
        if with_statistics {
            let statistics = json!({
                "kind": "stats",
                "data": {
                    "task-stats": {"throughput": 0.0},
                    "node-stats": graph.statistics(),
                },
            });
            lines.line(statistics.to_string().as_bytes());
        }
        Ok(result?)
    }
}

/// Gives what the httpOut nodes serve as lines.
pub(crate) fn write_served(graph: &Graph, lines: &mut dyn Lines) {
    for (node, served) in graph.served() {
        match served.body {
            Ok(body) => {
                let mut line = Vec::new();
                line.extend_from_slice(br#"{"node":"#);
                levada_alert::json::write_text(&node, &mut line);
                line.extend_from_slice(br#","kind":"httpOut","endpoint":"#);
                levada_alert::json::write_text(&served.endpoint, &mut line);
                line.extend_from_slice(br#","data":"#);
                line.extend_from_slice(body.trim_ascii_end());
                line.push(b'}');
                lines.line(&line);
            }
            Err(problem) => lines.problem(&node, &problem),
        }
    }
}

#[cfg(test)]
mod tests;
