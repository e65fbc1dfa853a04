//! One replay on its thread.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_runtime::Clock;
use levada_tick::lambda::Env;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::effects::{CapturedLines, PerformedEffects, ReplayInbox, ReplayServices, ToReplay};
use super::folder::Partial;
use super::jobs::Stop;
use super::kept::{RecordingType, Replay, ReplayClock};
use super::{Inner, SHUTDOWN_TEXT, SourceTask};
use crate::actor::{Actor, CLOCK_UNSET};
use crate::capture::Capture;
use crate::dry_run::write_served;
use crate::engine::effects::LiveEffects;
use crate::engine::{Input, Routes, SideSettings, Sides, TopicAlerts};
use crate::pipeline::start::StartOptions;
use crate::playback::{OUTSIDE_POLL, Playback, PlaybackError, TICKS_MAX};
use crate::recording::batches::{BatchReader, Times, shifted};
use crate::recording::files::{self, Plain};
use crate::recording::points::PointReader;
use crate::runtime::services::CapturedAlerts;
use crate::udf::{Patience, UdfSide};

/// What a replay needs.
pub(super) struct Run {
    pub(super) inner: Arc<Inner>,
    pub(super) replay: Replay,
    pub(super) task: SourceTask,
    pub(super) kind: RecordingType,
    pub(super) path: PathBuf,
    /// The part of the whole that was to get the data.
    pub(super) fetched: f64,
    pub(super) stop: Stop,
}

/// How it ended.
pub(super) struct Outcome {
    /// The statistics, and what is lacking; or why it failed.
    pub(super) result: Result<(Map<String, Value>, Option<String>), String>,
    /// What it would have done.
    pub(super) captured: Option<(Partial, File)>,
}

/// The task of a replay.
struct Player {
    task: String,
    unit: &'static str,
    playback: Playback,
    dbrps: Vec<(Str, Str)>,
    performing: Option<Performing>,
    /// Functions that run outside, where effects are captured: they compute, and what they give is captured like the rest.
    functions: Option<Arc<UdfSide>>,
    pace: Pace,
}

/// What performs effects.
struct Performing {
    sides: Sides,
    inbox: Arc<ReplayInbox>,
    alerts: TopicAlerts,
    topics: Vec<String>,
}

/// When the next item is given.
struct Pace {
    clock: Arc<dyn Clock>,
    stop: Stop,
    is_real: bool,
    /// The time of the first item, and when it was given.
    begun: Option<(Timestamp, Duration)>,
}

/// How often it is looked whether everything outside has been done.
const POLL: Duration = Duration::from_millis(5);

// === impl Run ===

impl Run {
    /// Plays the file to the task.
    pub(super) fn run(self) -> Outcome {
        let (mut captured, mut lines) = (None, None);
        if !self.replay.performs {
            match self.inner.folder.partial() {
                Ok((partial, file)) => {
                    let max = self.inner.settings.effects_bytes_max;
                    captured = Some(partial);
                    lines = Some(Arc::new(Mutex::new(CapturedLines::new(file, max))));
                }
                Err(error) => {
                    let text = format!("what it would do cannot be kept: {error}");
                    return Outcome { result: Err(text), captured: None };
                }
            }
        }
        let mut result = self.play(lines.as_ref());
        let mut kept = None;
        if let (Some(partial), Some(lines)) = (captured, lines) {
            let finished = lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
            match finished {
                Ok((file, lacks)) => {
                    kept = Some((partial, file));
                    result = result.map(|(stats, _)| (stats, lacks));
                }
                Err(error) => result = Err(format!("what it would do cannot be kept: {error}")),
            }
        }
        Outcome { result, captured: kept }
    }

    fn play(
        &self,
        lines: Option<&Arc<Mutex<CapturedLines>>>,
    ) -> Result<(Map<String, Value>, Option<String>), String> {
        let opened = |error| format!("data source open: {error}");
        let inputs = files::open(&self.path).map_err(opened)?;
        let total = files::unpacked_bytes(&self.path).map_err(opened)?;
        let count = self.stop.progress().begin(self.fetched, 1.0, total);
        let inputs = inputs.into_iter().map(|input| files::counted(input, &count)).collect();
        let mut player = self.start(lines).map_err(|error| format!("task start: {error}"))?;
        let times = match self.replay.recording_time {
            true => Times::Recorded,
            false => Times::From(self.inner.deps.clock.now()),
        };
        let fed = match self.kind {
            RecordingType::Stream => player.stream(inputs, times),
            RecordingType::Batch => player.batches(inputs, times, lines),
        };
        let ended = fed.and_then(|()| player.finish(self.inner.settings.patience));
        player.close();
        ended?;
        let graph = player.playback.actor().graph();
        if let Some(lines) = lines {
            write_served(graph, &mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let mut stats = Map::new();
        let mut of_task = Map::new();
        of_task.insert("throughput".into(), 0.0.into());
        stats.insert("task-stats".into(), of_task.into());
        stats.insert("node-stats".into(), graph.statistics().into());
        Ok((stats, None))
    }

    fn start(&self, lines: Option<&Arc<Mutex<CapturedLines>>>) -> Result<Player, String> {
        let (deps, options) = (&self.inner.deps, &self.task.options);
        let name: Str = self.replay.task.as_str().into();
        let around = Arc::clone(&deps.services);
        let mut performing = None;
        let functions = match (lines, &deps.live) {
            (Some(_), Some((_, sides))) => Some(functions_of(sides)),
            _ => None,
        };
        let udfs = functions.clone();
        let (effects, services): (Box<dyn crate::effect::Effects>, _) = match (lines, &deps.live) {
            (Some(lines), _) => {
                let alerts = Arc::new(CapturedAlerts::default());
                let services = ReplayServices { around, alerts, is_captured: true, udfs };
                (Box::new(Capture::new(Arc::clone(lines))), services)
            }
            (None, Some((alerts, sides))) => {
                let alerts = alerts.of_master(self.replay.id.as_str().into());
                let sides = Sides::new(sides);
                let inbox = Arc::new(ReplayInbox::default());
                sides.attach(Box::new(ToReplay(Arc::downgrade(&inbox))));
                let effects = LiveEffects::new(
                    Str::clone(&name),
                    alerts.clone(),
                    &Routes::default(),
                    Arc::default(),
                    Some(Arc::clone(&sides.requests) as _),
                    Some(Arc::clone(&sides.writers) as _),
                );
                let topics = self.topics(&alerts, &name);
                let own = Arc::new(alerts.clone());
                let services =
                    ReplayServices { around, alerts: own, is_captured: false, udfs: None };
                performing = Some(Performing { sides, inbox, alerts, topics });
                (Box::new(PerformedEffects(effects)), services)
            }
            (None, None) => return Err("effects cannot be performed here".to_owned()),
        };
        let of_sides = performing.as_ref().map(|performing| performing.sides.services(&services));
        let services = match &of_sides {
            Some(services) => services as &dyn crate::runtime::Services,
            None => &services,
        };
        let mut actor = Actor::start(
            &self.task.definition.pipeline,
            &StartOptions {
                task: name,
                dbrps: &options.dbrps,
                services,
                limits: &options.limits,
                compat: options.compat,
                seed: 1,
            },
            effects,
            Env { now: Timestamp(0), zone: deps.zone.clone() },
            CLOCK_UNSET,
        )?;
        actor.measure(Arc::clone(&deps.clock));
        if let Some(watermark) = options.watermark {
            actor.watch(watermark);
        }
        let pace = Pace {
            clock: Arc::clone(&deps.clock),
            stop: self.stop.clone(),
            is_real: self.replay.clock == ReplayClock::Real,
            begun: None,
        };
        let playback = Playback::new(actor, TICKS_MAX);
        let unit = match self.kind {
            RecordingType::Stream => "points",
            RecordingType::Batch => "batches",
        };
        let (task, dbrps) = (self.replay.task.clone(), options.dbrps.clone());
        let player = Player { task, unit, playback, dbrps, performing, functions, pace };
        player.pace.stop.progress().show(player.playback.actor().graph(), &player.task, unit);
        Ok(player)
    }

    /// The topics of nodes, which go with the replay.
    fn topics(&self, alerts: &TopicAlerts, task: &str) -> Vec<String> {
        let pipeline = &self.task.definition.pipeline;
        let of_alerts = pipeline.nodes().filter(|(_, node)| node.spec.kind().name == "alert");
        of_alerts.map(|(index, _)| alerts.anonymous(task, &pipeline.name(index))).collect()
    }
}

// === impl Player ===

impl Player {
    fn stream(&mut self, inputs: Vec<Plain>, times: Times) -> Result<(), String> {
        let count = inputs.len();
        let [input] = <[Plain; 1]>::try_from(inputs).map_err(|_| {
            format!("data source open: a recording of a stream is one file, and there are {count}")
        })?;
        let mut reader = PointReader::new(input);
        let mut parser = Parser::new(ParserLimits::default());
        let (mut points, mut shift) = (Vec::new(), None);
        while reader
            .next(&mut parser, Precision::Nanoseconds, &mut points)
            .map_err(|error| format!("running replay: {error}"))?
        {
            // Those that are read together are of one database and retention policy.
            let Some(first) = points.first() else { continue };
            let is_ours = self.is_ours(first);
            if let Times::From(start) = times {
                let shift = *shift.get_or_insert_with(|| start.0.saturating_sub(first.time.0));
                points.iter_mut().for_each(|point| point.time = shifted(point.time, shift));
            }
            // With a pace each has its time, and functions outside must not be given more than they take.
            let is_single = self.pace.is_real || self.playback.actor().runs_outside();
            for run in points.chunks(if is_single { 1 } else { points.len() }) {
                self.wait(run[0].time)?;
                if is_ours {
                    self.playback.points(run).map_err(text)?;
                }
                self.answers()?;
            }
            points.clear();
        }
        Ok(())
    }

    fn batches(
        &mut self,
        inputs: Vec<Plain>,
        times: Times,
        lines: Option<&Arc<Mutex<CapturedLines>>>,
    ) -> Result<(), String> {
        let (expected, got) = (inputs.len(), self.playback.actor().queries().len());
        if expected != got {
            return Err(format!(
                "running replay: unexpected number of batch collectors. exp {expected} got {got}"
            ));
        }
        let failed = |error| format!("running replay: {error}");
        let mut reader = BatchReader::new(inputs, times).map_err(failed)?;
        while let Some((index, batch)) = reader.next_batch().map_err(failed)? {
            self.wait(batch.time)?;
            if !self.playback.batch(index, batch).map_err(text)?
                && let Some(lines) = lines
            {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                crate::capture::Lines::problem(&mut *lines, "query", "too many groups");
            }
            self.answers()?;
        }
        Ok(())
    }

    /// Waits until it is time for an item; what ticks before it does so in time, too.
    fn wait(&mut self, time: Timestamp) -> Result<(), String> {
        let (graph, progress) = (self.playback.actor().graph(), self.pace.stop.progress());
        progress.show_if_wanted(graph, &self.task, self.unit);
        if self.pace.is_real {
            progress.show(graph, &self.task, self.unit);
            while let Some(at) = self.playback.timer_before(time) {
                self.pace.wait(at)?;
                self.playback.advance(at).map_err(text)?;
                self.answers()?;
            }
        }
        self.pace.wait(time)
    }

    /// Gives the nodes the answers to what they asked, and what functions gave.
    fn answers(&mut self) -> Result<(), String> {
        self.outside(Actor::is_congested)?;
        let Some(performing) = &self.performing else { return Ok(()) };
        while let Some(input) = performing.inbox.take() {
            // Nothing else is asked for: the data come from the file.
            if let Input::Answer { place, token, answer } = input {
                let actor = self.playback.actor_mut();
                actor.answer(place, token, answer).map_err(|failure| task_text(&failure))?;
            }
        }
        Ok(())
    }

    fn is_ours(&self, point: &Point) -> bool {
        self.dbrps.iter().any(|(database, retention)| {
            **database == *point.series.database && **retention == *point.series.retention
        })
    }

    /// Takes what functions give, for as long as the task has to wait for them.
    fn outside(&mut self, has_to_wait: impl Fn(&Actor) -> bool) -> Result<(), String> {
        while !self.playback.outside_once(&has_to_wait).map_err(text)? {
            if self.pace.stop.is_wanted() {
                return Err(SHUTDOWN_TEXT.to_owned());
            }
            std::thread::sleep(OUTSIDE_POLL);
        }
        Ok(())
    }

    fn finish(&mut self, patience: Duration) -> Result<(), String> {
        // As long as it takes: the file is there as a whole, and functions may be slow.
        self.outside(Actor::waits_outside)?;
        let wait = Patience::new(patience, Arc::default());
        self.playback.actor_mut().finish_within(wait).map_err(|failure| task_text(&failure))?;
        let Some(performing) = &self.performing else { return Ok(()) };
        performing.sides.close(patience);
        let until = self.pace.clock.monotonic() + patience;
        loop {
            let is_done =
                self.performing.as_ref().is_none_or(|performing| performing.sides.is_done());
            self.answers()?;
            if is_done || self.pace.clock.monotonic() >= until || self.pace.stop.is_wanted() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Takes away what the replay had outside.
    fn close(&mut self) {
        if let Some(functions) = &self.functions {
            functions.close(Duration::ZERO);
        }
        let Some(performing) = &self.performing else { return };
        performing.sides.close(Duration::ZERO);
        performing.inbox.close();
        for topic in &performing.topics {
            drop(performing.alerts.topics().delete(topic));
        }
    }
}

fn functions_of(sides: &SideSettings) -> Arc<UdfSide> {
    let (clock, tasks) = (Arc::clone(&sides.clock), sides.tasks.clone());
    Arc::new(UdfSide::alone(clock, tasks, sides.runtime.clone(), sides.udfs.clone()))
}

fn text(error: PlaybackError) -> String {
    match error {
        PlaybackError::Failed(failure) => task_text(&failure),
        error @ PlaybackError::Jump { .. } => format!("running replay: {error}"),
    }
}

fn task_text(failure: &crate::runtime::Failure) -> String {
    format!("task run: {failure}")
}

// === impl Pace ===

impl Pace {
    /// Waits until it is time for an item.
    fn wait(&mut self, time: Timestamp) -> Result<(), String> {
        if self.stop.is_wanted() {
            return Err(SHUTDOWN_TEXT.to_owned());
        }
        if !self.is_real {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let (first, begun) = *self.begun.get_or_insert((time, now));
        let after =
            Duration::from_nanos(u64::try_from(time.0.saturating_sub(first.0)).unwrap_or(0));
        let wait = (begun + after).saturating_sub(now);
        if wait.is_zero() {
            return Ok(());
        }
        self.stop.progress().rest(true);
        let waited = Handle::current().block_on(async {
            tokio::select! {
                biased;
                () = self.stop.wanted() => Err(SHUTDOWN_TEXT.to_owned()),
                () = self.clock.sleep(wait) => Ok(()),
            }
        });
        self.stop.progress().rest(false);
        waited
    }
}
