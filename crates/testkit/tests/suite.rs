//! The suite itself: connectors that keep every promise pass, and each broken promise is found.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use levada_connectors::{Outcomes, Sink, SinkError, Source, SourceError};
use levada_model::{ErrorClass, Position, RecordBatch, RecordError, Str};
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::{sink_suite, source_suite};

/// What a fake does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// A dropped call takes records with it.
    LosesOnDrop,
    /// A dropped call leaves records in the batch.
    LeavesOnDrop,
    /// The position of a batch is behind the next record.
    SkipsOne,
    /// What was read ahead when the connection broke is gone.
    LosesOnDisconnect,
    /// A broken connection stops the flow.
    IsFinal,
    /// A bad record looks like a good one.
    HidesPoison,
    /// It takes what it is given without end.
    PilesUp,
    /// It answers for one record twice.
    AnswersTwice,
    /// It rejects the wrong record.
    RejectsNeighbour,
    /// A dropped write leaves half of a record.
    Tears,
    /// What was written is only there when it is closed.
    LosesUnclosed,
    /// Everything arrives twice.
    Doubles,
}

const READ: usize = 100;

source_suite!(a_good_source, Fault::Nothing);
sink_suite!(a_good_sink, Fault::Nothing);

macro_rules! finds {
    ($name:ident, $fault:ident, $kind:ident::$case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[should_panic]
        async fn $name() {
            levada_testkit::conformance::$kind::$case(&Fault::$fault).await;
        }
    };
}

finds!(finds_a_source_that_loses_on_drop, LosesOnDrop, source::survives_dropped_calls);
finds!(finds_a_source_that_leaves_on_drop, LeavesOnDrop, source::survives_dropped_calls);
finds!(finds_a_wrong_position, SkipsOne, source::goes_on_from_every_position);
finds!(finds_a_loss_behind_a_disconnect, LosesOnDisconnect, source::survives_a_broken_connection);
finds!(finds_a_final_disconnect, IsFinal, source::survives_a_broken_connection);
finds!(finds_hidden_poison, HidesPoison, source::reports_poison);
finds!(finds_a_source_that_piles_up, PilesUp, source::holds_back_who_sends);
finds!(finds_a_source_that_doubles, Doubles, source::hands_out_everything);
finds!(finds_a_sink_that_answers_twice, AnswersTwice, sink::delivers_everything);
finds!(finds_a_sink_that_rejects_a_neighbour, RejectsNeighbour, sink::rejects_poison);
finds!(finds_a_sink_that_gives_up, IsFinal, sink::survives_a_target_that_is_away);
finds!(finds_a_sink_that_piles_up, PilesUp, sink::waits_for_a_slow_target);
finds!(finds_a_sink_that_doubles, Doubles, sink::keeps_its_promise_on_duplicates);
finds!(finds_a_sink_that_needs_its_close, LosesUnclosed, sink::keeps_what_was_synced);
finds!(finds_a_sink_that_tears, Tears, sink::survives_dropped_writes);

// === The source ===

/// A list of records with a position each, behind a connection that can break.
struct Feed {
    fault: Fault,
    all: Vec<Vec<u8>>,
    poison: Option<usize>,
    is_broken: Arc<Mutex<bool>>,
    taken: Arc<AtomicU64>,
}

struct FakeSource {
    fault: Fault,
    all: Vec<Vec<u8>>,
    poison: Option<usize>,
    is_broken: Arc<Mutex<bool>>,
    at: usize,
}

#[async_trait]
impl source::SourceHarness for Fault {
    fn name(&self) -> String {
        "fake source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Ok(()),
            resumes: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            holds_back: Ok(()),
            ahead_max: READ as u64,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        Box::new(Feed {
            fault: *self,
            all: payloads(plan.records, plan.bytes),
            poison: plan.poison,
            is_broken: Arc::default(),
            taken: Arc::default(),
        })
    }
}

#[async_trait]
impl source::SourceScene for Feed {
    async fn source(&mut self) -> Box<dyn Source> {
        Box::new(FakeSource {
            fault: self.fault,
            all: self.all.clone(),
            poison: self.poison,
            is_broken: self.is_broken.clone(),
            at: 0,
        })
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    async fn begin(&mut self) {
        let ahead = if self.fault == Fault::PilesUp { self.all.len() } else { READ };
        self.taken.store(ahead as u64, Ordering::Release);
    }

    async fn disconnect(&mut self) {
        *self.is_broken.lock().unwrap() = true;
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        let skipped = if self.fault == Fault::LosesOnDisconnect { READ } else { 0 };
        let was_broken = std::mem::take(&mut *self.is_broken.lock().unwrap());
        self.at = positions.first().map_or(0, |(_, at)| at.as_u64().unwrap() as usize);
        if was_broken {
            self.at += skipped;
        }
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        if *self.is_broken.lock().unwrap() {
            let class = match self.fault {
                Fault::IsFinal => ErrorClass::InvalidData,
                _ => ErrorClass::ConnectionError,
            };
            return Err(SourceError::new(class, "the connection broke"));
        }
        let end = (self.at + READ).min(self.all.len());
        if self.at == end {
            return Ok(false);
        }
        let start = self.at;
        match self.fault {
            Fault::LosesOnDrop => self.at = end,
            Fault::LeavesOnDrop => {
                batch.push_origin("feed".into(), end.into());
            }
            _ => {}
        }
        tokio::task::yield_now().await;
        let skip = usize::from(self.fault == Fault::SkipsOne);
        let origin = batch.push_origin("feed".into(), (end + skip).into());
        for index in start..end {
            let is_bad = self.poison == Some(index) && self.fault != Fault::HidesPoison;
            let payload = &self.all[index];
            if is_bad {
                batch.push_broken(
                    b"?",
                    origin,
                    index as u64,
                    RecordError::invalid("bad".to_owned()),
                );
            } else {
                batch.push(payload, origin, index as u64);
            }
            if self.fault == Fault::Doubles {
                batch.push(payload, origin, index as u64);
            }
        }
        self.at = end;
        Ok(true)
    }
}

// === The sink ===

/// Lines in memory, durable ones and others.
#[derive(Default)]
struct Shelf {
    lines: Vec<Vec<u8>>,
    unsynced: Vec<Vec<u8>>,
}

struct Target {
    fault: Fault,
    shelf: Arc<Mutex<Shelf>>,
    target: tokio::sync::watch::Sender<sink::Target>,
}

struct FakeSink {
    fault: Fault,
    shelf: Arc<Mutex<Shelf>>,
    target: tokio::sync::watch::Receiver<sink::Target>,
}

const POISON: &[u8] = b"poison";

#[async_trait]
impl sink::SinkHarness for Fault {
    fn name(&self) -> String {
        "fake sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            slows: Ok(()),
            ahead_max: 1000,
            restarts: Ok(()),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let target = tokio::sync::watch::channel(sink::Target::Well).0;
        Box::new(Target { fault: *self, shelf: Arc::default(), target })
    }
}

#[async_trait]
impl sink::SinkScene for Target {
    async fn sink(&mut self) -> Box<dyn Sink> {
        self.shelf.lock().unwrap().unsynced.clear();
        let target = self.target.subscribe();
        Box::new(FakeSink { fault: self.fault, shelf: self.shelf.clone(), target })
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        self.shelf.lock().unwrap().lines.clone()
    }

    async fn set(&mut self, target: sink::Target) {
        self.target.send_replace(target);
    }

    fn poison(&self) -> Vec<u8> {
        POISON.to_vec()
    }
}

#[async_trait]
impl Sink for FakeSink {
    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if *self.target.borrow() == sink::Target::Away {
            let class = match self.fault {
                Fault::IsFinal => ErrorClass::InvalidData,
                _ => ErrorClass::Timeout,
            };
            return Err(SinkError::new(class, "away"));
        }
        if self.fault != Fault::PilesUp {
            self.target.wait_for(|target| *target != sink::Target::Slow).await.unwrap();
        }
        if self.fault == Fault::Tears && !batch.is_empty() {
            self.shelf.lock().unwrap().unsynced.push(batch.payload(0)[..3].to_vec());
        }
        tokio::task::yield_now().await;
        let mut shelf = self.shelf.lock().unwrap();
        if self.fault == Fault::Tears {
            shelf.unsynced.pop();
        }
        for index in 0..batch.len() {
            let payload = batch.payload(index).into_owned();
            if payload == POISON {
                let near = usize::from(self.fault == Fault::RejectsNeighbour);
                let at = (index + near) % batch.len();
                outcomes.rejected(at, RecordError::invalid("no".to_owned()));
                if near == 0 {
                    continue;
                }
            }
            let times = if self.fault == Fault::Doubles { 2 } else { 1 };
            for _ in 0..times {
                shelf.unsynced.push(payload.clone());
            }
            outcomes.delivered(index..index + 1);
            if self.fault == Fault::AnswersTwice && index == 3 {
                outcomes.delivered(0..1);
            }
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), SinkError> {
        if self.fault != Fault::LosesUnclosed {
            let mut shelf = self.shelf.lock().unwrap();
            let Shelf { lines, unsynced } = &mut *shelf;
            lines.append(unsynced);
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let mut shelf = self.shelf.lock().unwrap();
        let Shelf { lines, unsynced } = &mut *shelf;
        lines.append(unsynced);
        Ok(())
    }
}
