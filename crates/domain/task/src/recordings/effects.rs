//! What a replay does outside: captured or performed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use levada_alert::json;
use levada_model::Str;

use crate::capture::Lines;
use crate::effect::{Answer, Effect, Effects, NodeName};
use crate::engine::effects::LiveEffects;
use crate::engine::{Inbox, Input};
use crate::runtime::Services;
use crate::runtime::services::{
    Alerts, Deadman, Endpoint, InfluxdbOut, ServerInfo, SideloadSource,
};
use crate::udf::{Link, UdfSide, UdfStart};

/// The lines of what a replay would have done, in a file that does not grow beyond its bound.
pub(super) struct CapturedLines {
    file: BufWriter<File>,
    left: u64,
    dropped: u64,
    failure: Option<io::Error>,
}

/// Performed effects of a replay; points that loop back stay inside.
///
/// They reach nobody there: the one task of a replay is refused at its start when it listens to what it sends.
pub(super) struct PerformedEffects(pub(super) LiveEffects);

/// What is configured around the task of a replay.
pub(super) struct ReplayServices {
    pub(super) around: Arc<dyn Services>,
    pub(super) alerts: Arc<dyn Alerts>,
    pub(super) is_captured: bool,
    /// Functions that run outside; without them those of `around`.
    pub(super) udfs: Option<Arc<UdfSide>>,
}

/// Takes the answers for a replay that performs its effects.
#[derive(Default)]
pub(super) struct ReplayInbox {
    inputs: Mutex<VecDeque<Input>>,
    is_over: AtomicBool,
}

// === impl CapturedLines ===

impl CapturedLines {
    pub(super) fn new(file: File, max: u64) -> Self {
        CapturedLines { file: BufWriter::new(file), left: max, dropped: 0, failure: None }
    }

    fn write(&mut self, line: &[u8]) {
        let bytes = line.len() as u64 + 1;
        if bytes > self.left || self.failure.is_some() {
            // Nothing that follows is kept either: a gap in the middle would mislead.
            self.left = 0;
            self.dropped += 1;
            return;
        }
        self.left -= bytes;
        let written = self.file.write_all(line).and_then(|()| self.file.write_all(b"\n"));
        self.failure = written.err();
    }

    /// Gives the file and what it lacks.
    pub(super) fn finish(&mut self) -> io::Result<(File, Option<String>)> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.file.flush()?;
        let lacks =
            (self.dropped > 0).then(|| format!("{} more effects were not kept", self.dropped));
        Ok((self.file.get_ref().try_clone()?, lacks))
    }
}

impl Lines for CapturedLines {
    fn line(&mut self, line: &[u8]) {
        self.write(line);
    }

    fn problem(&mut self, node: &str, text: &str) {
        let mut line = br#"{"node":"#.to_vec();
        json::write_text(node, &mut line);
        line.extend_from_slice(br#","kind":"problem","data":"#);
        json::write_text(text, &mut line);
        line.push(b'}');
        self.write(&line);
    }
}

// === impl PerformedEffects ===

impl Effects for PerformedEffects {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        match effect {
            Effect::Loopback { .. } => Ok(None),
            effect => self.0.effect(node, effect),
        }
    }
}

// === impl ReplayServices ===

impl Services for ReplayServices {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        self.around.endpoint(name)
    }

    fn influxdb(&self, cluster: &str) -> Result<(), String> {
        if self.is_captured { Ok(()) } else { self.around.influxdb(cluster) }
    }

    fn influxdb_out(&self, out: &InfluxdbOut) -> Result<(), String> {
        if self.is_captured { Ok(()) } else { self.around.influxdb_out(out) }
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        self.around.sideload(source)
    }

    fn udf(&self, start: UdfStart<'_>) -> Result<Arc<Link>, String> {
        match &self.udfs {
            Some(udfs) => udfs.open(start),
            None => self.around.udf(start),
        }
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        Arc::clone(&self.alerts)
    }

    fn server(&self) -> ServerInfo {
        self.around.server()
    }

    fn deadman(&self) -> Deadman {
        self.around.deadman()
    }
}

// === impl ReplayInbox ===

impl ReplayInbox {
    pub(super) fn take(&self) -> Option<Input> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn close(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// What side actors hold: the replay itself keeps the inbox.
pub(super) struct ToReplay(pub(super) std::sync::Weak<ReplayInbox>);

impl Inbox for ToReplay {
    fn push(&self, input: Input) -> bool {
        let Some(inbox) = self.0.upgrade() else { return false };
        if inbox.is_over.load(Ordering::Acquire) {
            return false;
        }
        // Bounded by what side actors may have under way.
        inbox.inputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(input);
        true
    }

    fn is_open(&self) -> bool {
        self.0.upgrade().is_some_and(|inbox| !inbox.is_over.load(Ordering::Acquire))
    }
}
