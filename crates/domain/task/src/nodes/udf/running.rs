//! The node of a function: items go out as messages, what the function gives goes to the children.
//!
//! - Barriers end here: the function may hold older data. Forgotten groups are passed on, for their slots are used again.
//! - What the function holds when the task is saved is in its own state, if it keeps any.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point, Str, Timestamp};

use crate::nodes::idle::{self, Idle};
use crate::runtime::{Barrier, Node, Out, Reader, StateError, Step, Writer};
use crate::udf::{Given, Link, Patience, Waited, wire_batch, wire_point};

/// What is given to the children in one piece, before the task looks at other things.
const RUN: usize = 256;

/// What runs.
pub(super) struct Running {
    link: Arc<Link>,
    /// A state that the function is to be given back.
    restores: Option<Arc<[u8]>>,
    idle: Option<Idle>,
    /// Fields that could not be sent.
    lost_fields: i64,
}

// === impl Running ===

impl Running {
    pub(super) fn new(link: Arc<Link>, group_ttl: i64) -> Self {
        Running { link, restores: None, idle: Idle::new(group_ttl), lost_fields: 0 }
    }

    fn send(
        &mut self,
        frames: Vec<u8>,
        points: usize,
        lost: Option<(&Str, &FieldValue)>,
        out: &mut Out<'_>,
    ) {
        if let Some((name, value)) = lost {
            self.lost_fields += 1;
            let cause = format!("a function takes no {}", value.go_type());
            out.error("field not sent to the function", &cause, &[("field", name)]);
        }
        if let Err(cause) = self.link.send(frames, points) {
            out.error("failed to send to the function", &cause, &[]);
        }
    }

    fn give(&mut self, given: Given, out: &mut Out<'_>) -> Step {
        let key = match &given {
            Given::Point(_, key) => key,
            Given::Batch(batch) => &batch.key,
        };
        let Some(group) = out.ctx.group(key.clone()) else {
            out.error("too many groups", &key.text(), &[]);
            return Ok(());
        };
        if let Some(idle) = &mut self.idle {
            idle.touch(&group, out.ctx.now);
        }
        match given {
            Given::Point(point, _) => out.point(&point, &group),
            Given::Batch(batch) => {
                let (name, time, points) = (&batch.name, batch.time, &batch.points[..]);
                out.batch(BatchRef { name, group: &group, time, points })
            }
        }
    }

    /// Waits for what the function gives and hands it on, until it has ended, or given its state.
    fn wait(&mut self, patience: &Patience, for_snapshot: bool, out: &mut Out<'_>) -> Step {
        loop {
            match self.link.wait(patience, for_snapshot) {
                Ok(Waited::Given(given)) => self.give(given, out)?,
                Ok(Waited::Done) => return Ok(()),
                Ok(Waited::InVain) => {
                    let queued = self.link.statistics().queued;
                    let cause = format!("{queued} points still wait for it");
                    out.error("failed to wait for the function", &cause, &[]);
                    return Ok(());
                }
                Err(text) => return Err(out.fail(&*text)),
            }
        }
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let mut frames = Vec::new();
        let lost = wire_point(point, group, &mut frames);
        self.send(frames, 1, lost, out);
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut frames = Vec::new();
        let lost = wire_batch(batch, &mut frames);
        self.send(frames, batch.points.len().max(1), lost, out);
        Ok(())
    }

    fn barrier(&mut self, _input: usize, _barrier: &Barrier, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    fn forget(&mut self, slot: u32) {
        if let Some(idle) = &mut self.idle {
            idle.forget(slot);
        }
    }

    fn begin(&mut self, out: &mut Out<'_>) -> Step {
        Idle::begin(self.idle.as_ref(), out);
        Ok(())
    }

    fn timer(&mut self, _token: u64, now: Timestamp, out: &mut Out<'_>) -> Step {
        for group in Idle::look(self.idle.as_mut(), now, out) {
            idle::delete(group, out)?;
        }
        Ok(())
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        if let Some(snapshot) = self.restores.take() {
            self.link.restore(snapshot);
        }
        // Timers of before are gone.
        if let Some(idle) = &self.idle {
            Idle::begin(Some(idle), out);
        }
    }

    fn runs_outside(&self) -> bool {
        true
    }

    fn is_congested(&self) -> bool {
        self.link.is_congested()
    }

    fn collect(&mut self, out: &mut Out<'_>) -> Result<bool, Box<crate::runtime::Failure>> {
        for count in 0..RUN {
            match self.link.take() {
                Ok(Some(given)) => self.give(given, out)?,
                Ok(None) => return Ok(count > 0),
                Err(text) => return Err(out.fail(&*text)),
            }
        }
        Ok(true)
    }

    fn settle(&mut self, patience: &Patience, out: &mut Out<'_>) -> Step {
        self.link.ask_last_snapshot();
        self.wait(patience, true, out)
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Step {
        self.link.close();
        let patience = out.ctx.patience.clone();
        self.wait(&patience, false, out)
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn buffered(&self) -> usize {
        self.link.statistics().queued as usize
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        let counted = self.link.statistics();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let all = [
            ("fields_dropped", self.lost_fields),
            ("frames_refused", count(counted.too_large)),
            ("points_dropped", count(counted.dropped)),
            ("snapshots", count(counted.snapshots)),
        ];
        // Keys that upstream does not have are there when they say something.
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.link.snapshot(), |writer, snapshot| writer.bytes(&snapshot));
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.restores = reader.option(Reader::bytes)?.map(Arc::from);
        Ok(())
    }
}
