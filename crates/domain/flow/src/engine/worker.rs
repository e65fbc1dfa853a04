//! Runs the steps over batches and hands the results to the sinks, in reading order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use levada_model::batch::MAIN;
use levada_model::{ErrorKind, RecordBatch, Tree};
use levada_runtime::{EdgeReceiver, EdgeSender, fault};
use tokio::runtime::Handle;

use super::batching::Parcel;
use super::dead_letter::DeadLetter;
use super::pipeline::{Pipeline, Rejected, StepCount};
use super::processor::Shared;
use super::report::{Counters, FlowError};
use crate::spec::OnError;
use crate::transforms::Scope;

/// Where workers put what leaves.
pub(super) struct Outputs {
    /// The main sink, then one per route.
    pub(super) sinks: Vec<EdgeSender<Parcel>>,
    /// The error sink.
    pub(super) letters: Option<EdgeSender<Parcel>>,
    /// The number of the batch whose turn it is.
    turn: Mutex<u64>,
    turned: Condvar,
}

impl Outputs {
    pub(super) fn new(sinks: Vec<EdgeSender<Parcel>>, letters: Option<EdgeSender<Parcel>>) -> Self {
        Outputs { sinks, letters, turn: Mutex::new(0), turned: Condvar::new() }
    }

    /// Waits until every batch before this one was handed on.
    fn wait_for(&self, sequence: u64) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while *turn < sequence {
            turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn advance(&self) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.turned.notify_all();
    }
}

/// One transforming thread.
pub(super) struct Worker {
    pub(super) pipeline: Pipeline,
    pub(super) shared: Arc<Shared>,
    pub(super) input: EdgeReceiver<Parcel>,
    pub(super) outputs: Arc<Outputs>,
    pub(super) runtime: Handle,
    /// The nodes of the batch at hand: only a worker needs them, so they do not travel with batches.
    pub(super) tree: Tree,
}

/// What one batch became.
struct Product {
    /// Per sink, what goes to it.
    parcels: Vec<Option<Box<RecordBatch>>>,
    letters: Option<Box<RecordBatch>>,
}

impl Worker {
    /// Works until the edge is closed and empty.
    pub(super) fn run(mut self) {
        let mut scope = Scope::default();
        let mut rejected = Vec::new();
        let mut counts = Vec::new();
        let mut before = Vec::new();
        let mut after = Vec::new();
        while let Some(Parcel { sequence, mut batch }) = self.runtime.block_on(self.input.recv()) {
            rejected.clear();
            batch.count_by_origin(&mut before);
            scope.now = self.shared.clock.now();
            let waited = scope.now.0.saturating_sub(batch.received_at.0).max(0) as f64 / 1e9;
            self.shared.metrics.wait_in.observe(waited);
            self.shared.metrics.latency_in.observe(waited);
            std::mem::swap(&mut batch.tree, &mut self.tree);
            Counters::add(&self.shared.counters.processed, batch.len() as u64);
            let started = self.shared.clock.monotonic();
            let run = catch_unwind(AssertUnwindSafe(|| {
                let clock = &*self.shared.clock;
                self.pipeline.run(&mut batch, &mut scope, clock, &mut rejected, &mut counts);
            }));
            let product = match run {
                Ok(()) => {
                    self.count(&counts, started);
                    let collisions = std::mem::take(&mut scope.collisions);
                    if collisions > 0 {
                        self.shared.metrics.key_collisions.add(collisions);
                    }
                    Some(self.finish(batch, &rejected, &before, &mut after))
                }
                Err(_) => {
                    self.shared.fail(FlowError::Stage {
                        stage: "transform".into(),
                        message: "a step panicked; this is a defect, please report it".into(),
                        kind: ErrorKind::Internal,
                    });
                    None
                }
            };
            fault::point("transform.done");
            self.outputs.wait_for(sequence);
            if let Some(product) = product {
                self.send(product);
            }
            self.outputs.advance();
        }
    }

    fn count(&self, counts: &[StepCount], started: std::time::Duration) {
        let metrics = &self.shared.metrics;
        for (step, count) in metrics.steps.iter().zip(counts) {
            step.executions.add(count.records_in);
            step.records_in.add(count.records_in);
            step.records_out.add(count.records_out);
            if let Some(elapsed) = count.sampled {
                step.duration.observe(elapsed.as_secs_f64());
            }
        }
        let elapsed = self.shared.clock.monotonic().saturating_sub(started);
        metrics.processing.observe(elapsed.as_secs_f64());
        metrics.operation("transform", true);
    }

    /// Sorts what is left by sink, writes dead letters, and settles the acknowledgement counts.
    fn finish(
        &mut self,
        mut batch: Box<RecordBatch>,
        rejected: &[Rejected],
        before: &[u64],
        after: &mut Vec<u64>,
    ) -> Product {
        batch.processed_at = self.shared.clock.now();
        batch.count_by_origin(after);
        let live: u64 = after.iter().sum();
        let letters = self.reject(&mut batch, rejected, after);
        // Counters grow before anything is handed on, and shrink by what was filtered.
        let mut filtered = 0;
        for ((origin, &before), &after) in batch.origins.iter().zip(before).zip(after.iter()) {
            if let Some(ack) = &origin.ack {
                if after > before {
                    ack.add(after - before);
                } else {
                    ack.done(before - after);
                    filtered += before - after;
                }
            }
        }
        if filtered > 0 {
            let dropped = rejected.iter().filter(|one| one.policy == OnError::Drop).count() as u64;
            let filtered = filtered.saturating_sub(dropped);
            Counters::add(&self.shared.counters.filtered, filtered);
            self.shared.metrics.filtered.add(filtered);
        }
        let parcels = self.sort(batch, live);
        Product { parcels, letters }
    }

    /// Handles failed records by their policy; those that stay unfinished or go on are counted in `after`.
    fn reject(
        &self,
        batch: &mut RecordBatch,
        rejected: &[Rejected],
        after: &mut [u64],
    ) -> Option<Box<RecordBatch>> {
        if rejected.is_empty() {
            return None;
        }
        let shared = &self.shared;
        let mut letters = shared.pool.take();
        for one in rejected {
            shared.count_failure(one.stage, &one.error);
            let stage = &shared.stages[one.stage];
            let policy = match (one.policy, &self.outputs.letters) {
                (OnError::Dlq, None) => OnError::Fail,
                (policy, _) => policy,
            };
            match policy {
                OnError::Drop => {
                    Counters::add(&shared.counters.dropped, 1);
                    shared.metrics.dropped.add(1);
                    continue;
                }
                OnError::Fail => {
                    let origin = &batch.origins[one.record.origin as usize];
                    shared.fail(FlowError::Record {
                        stage: stage.clone(),
                        partition: origin.partition.to_string(),
                        offset: one.record.position,
                        message: one.error.message.clone(),
                    });
                }
                OnError::Dlq => {
                    let letter = DeadLetter {
                        error: &one.error,
                        stage,
                        original_sink: shared.sink_types[0],
                        attempts: 1,
                        now: shared.clock.now(),
                    };
                    batch.records.push(one.record);
                    let index = batch.len() - 1;
                    shared.letters.write(batch, index, &letter, &mut letters);
                    batch.records.pop();
                }
            }
            after[one.record.origin as usize] += 1;
        }
        match letters.is_empty() {
            true => {
                shared.pool.give(letters);
                None
            }
            false => Some(letters),
        }
    }

    /// Makes one batch per sink.
    fn sort(&mut self, mut batch: Box<RecordBatch>, live: u64) -> Vec<Option<Box<RecordBatch>>> {
        let sinks = self.outputs.sinks.len();
        let mut parcels: Vec<Option<Box<RecordBatch>>> = (0..sinks).map(|_| None).collect();
        if live == 0 {
            self.retire(batch);
            return parcels;
        }
        if self.pipeline.is_empty() && sinks == 1 {
            std::mem::swap(&mut batch.tree, &mut self.tree);
            parcels[0] = Some(batch);
            return parcels;
        }
        let is_single = sinks == 1;
        for index in 0..batch.len() {
            let record = &batch.records[index];
            let sink =
                if is_single || record.route == MAIN { 0 } else { record.route as usize + 1 };
            let origin = record.origin;
            let parcel = parcels[sink].get_or_insert_with(|| {
                let mut parcel = self.shared.pool.take();
                parcel.origins.clone_from(&batch.origins);
                parcel.received_at = batch.received_at;
                parcel.processed_at = batch.processed_at;
                if is_single {
                    parcel.text.reserve(batch.text.len());
                    parcel.records.reserve(batch.len());
                }
                parcel
            });
            parcel.push_from(&batch, index, origin);
        }
        self.retire(batch);
        parcels
    }

    /// Keeps the nodes and gives the rest back.
    fn retire(&mut self, mut batch: Box<RecordBatch>) {
        std::mem::swap(&mut batch.tree, &mut self.tree);
        self.tree.clear();
        self.shared.pool.give(batch);
    }

    fn send(&self, product: Product) {
        for (edge, batch) in self.outputs.sinks.iter().zip(product.parcels) {
            if let Some(batch) = batch {
                // A closed edge means that the flow has failed; the records stay unfinished.
                let _closed =
                    self.runtime.block_on(edge.send(Parcel { sequence: 0, batch })).is_err();
            }
        }
        if let (Some(edge), Some(batch)) = (&self.outputs.letters, product.letters) {
            let _closed = self.runtime.block_on(edge.send(Parcel { sequence: 0, batch })).is_err();
        }
    }
}
