//! The compiled steps of a flow, run over a batch.

use levada_condition::condition::{Condition, Input};
use levada_model::{Record, RecordBatch, RecordError, Root};
use levada_runtime::Clock;

use crate::spec::{Flow, OnError};
use crate::transforms::{Scope, Transform, Verdict};

/// The compiled steps of a flow; each worker has its own.
pub struct Pipeline {
    steps: Vec<CompiledStep>,
    on_decode_error: OnError,
    /// The records that leave a step; swapped with those of the batch.
    leaving: Vec<Record>,
}

struct CompiledStep {
    transform: Box<dyn Transform>,
    when: Option<Condition>,
    on_error: OnError,
}

/// A record that a step could not handle; its text is still in the batch.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The record as it came to the step.
    pub record: Record,
    /// Why.
    pub error: RecordError,
    /// Which stage: 0 decodes, `n` is step `n - 1`.
    pub stage: usize,
    /// What is to happen to it.
    pub policy: OnError,
}

/// What one step did with one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCount {
    /// Records that came to the step.
    pub records_in: u64,
    /// Records that left it.
    pub records_out: u64,
    /// Records that it could not handle.
    pub errors: u64,
    /// The time it took.
    pub elapsed: std::time::Duration,
}

impl Pipeline {
    /// Compiles the steps of a flow.
    ///
    /// Errors: a step cannot be compiled; says which.
    pub fn compile(flow: &Flow) -> Result<Self, String> {
        Self::compile_from(flow, 0)
    }

    /// Compiles the steps of a flow but the first `skip`; see [`Pipeline::compile`].
    pub fn compile_from(flow: &Flow, skip: usize) -> Result<Self, String> {
        let default = if flow.errors.is_some() { OnError::Dlq } else { OnError::Fail };
        let steps = flow.steps.iter().enumerate().skip(skip).map(|(index, step)| {
            let fail = |error: String| format!("{}: {error}", stage_name(flow, index + 1));
            let when = match &step.when {
                Some(text) => Some(Condition::compile(text).map_err(|e| fail(e.to_string()))?),
                None => None,
            };
            Ok(CompiledStep {
                transform: step.spec.build(&step.context).map_err(fail)?,
                when,
                on_error: step.on_error.unwrap_or(default),
            })
        });
        Ok(Pipeline {
            steps: steps.collect::<Result<_, String>>()?,
            on_decode_error: flow.source.on_error.unwrap_or(default),
            leaving: Vec::new(),
        })
    }

    /// Gives how many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Tells whether records pass as they are.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs every step over the batch.
    ///
    /// Records that no step could handle leave the batch and are added to `rejected`. `counts` gets one
    /// entry per step.
    pub fn run(
        &mut self,
        batch: &mut RecordBatch,
        scope: &mut Scope,
        clock: &dyn Clock,
        rejected: &mut Vec<Rejected>,
        counts: &mut Vec<StepCount>,
    ) {
        self.run_up_to(None, batch, scope, clock, rejected, counts);
    }

    /// Runs the first `steps` steps over the batch, or all; see [`Pipeline::run`].
    pub fn run_up_to(
        &mut self,
        steps: Option<usize>,
        batch: &mut RecordBatch,
        scope: &mut Scope,
        clock: &dyn Clock,
        rejected: &mut Vec<Rejected>,
        counts: &mut Vec<StepCount>,
    ) {
        counts.clear();
        if batch.has_broken() {
            self.reject_broken(batch, rejected);
        }
        if batch.expects_json && !self.steps.is_empty() {
            self.decode(batch, rejected);
        }
        let mut started = clock.monotonic();
        let steps = self.steps.iter_mut().take(steps.unwrap_or(usize::MAX));
        for (index, step) in steps.enumerate() {
            let mut count = StepCount { records_in: batch.len() as u64, ..StepCount::default() };
            let before = rejected.len();
            step.run(batch, scope, index + 1, &mut self.leaving, rejected);
            count.errors = (rejected.len() - before) as u64;
            count.records_out = batch.len() as u64;
            let now = clock.monotonic();
            count.elapsed = now.saturating_sub(started);
            started = now;
            counts.push(count);
        }
    }

    /// Takes out the records that the source could not read whole.
    fn reject_broken(&mut self, batch: &mut RecordBatch, rejected: &mut Vec<Rejected>) {
        let policy = self.on_decode_error;
        for index in 0..batch.len() {
            if let Some(error) = batch.broken(index).cloned() {
                rejected.push(Rejected { record: batch.records[index], error, stage: 0, policy });
            }
        }
        batch.records.retain(|record| !matches!(record.root, Root::Broken(_)));
    }

    /// Parses every record of a source that promises JSON.
    fn decode(&mut self, batch: &mut RecordBatch, rejected: &mut Vec<Rejected>) {
        let policy = self.on_decode_error;
        let mut bad = 0;
        for index in 0..batch.len() {
            if let Err(error) = batch.parse(index) {
                bad += 1;
                let error = RecordError::invalid(error.to_string());
                rejected.push(Rejected { record: batch.records[index], error, stage: 0, policy });
            }
        }
        if bad > 0 {
            batch.records.retain(|record| record.root != Root::NotJson);
        }
    }
}

impl CompiledStep {
    fn run(
        &mut self,
        batch: &mut RecordBatch,
        scope: &mut Scope,
        stage: usize,
        leaving: &mut Vec<Record>,
        rejected: &mut Vec<Rejected>,
    ) {
        leaving.clear();
        for index in 0..batch.len() {
            if let Some(when) = &self.when
                && !applies(when, batch, index)
            {
                leaving.push(batch.records[index]);
                continue;
            }
            match self.transform.record(batch, index, scope) {
                Ok(Verdict::Keep) => leaving.push(batch.records[index]),
                Ok(Verdict::Drop) => {}
                Ok(Verdict::Split) => leaving.append(&mut scope.children),
                Err(error) => {
                    scope.children.clear();
                    let record = batch.records[index];
                    rejected.push(Rejected { record, error, stage, policy: self.on_error });
                }
            }
        }
        std::mem::swap(&mut batch.records, leaving);
    }
}

fn applies(when: &Condition, batch: &mut RecordBatch, index: usize) -> bool {
    let root = batch.document(index);
    let meta = batch.meta(index);
    when.eval(Input { text: &batch.text, tree: &batch.tree, root, meta })
}

/// Gives the name of a stage for people and dead letters: `decode`, `transform[2]:cast`.
pub fn stage_name(flow: &Flow, stage: usize) -> String {
    match stage.checked_sub(1).and_then(|index| flow.steps.get(index).map(|step| (index, step))) {
        Some((index, step)) => format!("transform[{index}]:{}", step.entry.name),
        None => "decode".to_owned(),
    }
}
