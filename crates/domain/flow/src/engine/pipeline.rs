//! The compiled steps of a flow, run over a batch.

use levada_condition::condition::{Condition, Input};
use levada_model::{Record, RecordBatch, RecordError, Root};
use levada_runtime::Clock;
use levada_settings::Settings;

use crate::spec::{Flow, OnError};
use crate::transforms::{Scope, Transform, Verdict};

/// The compiled steps of a flow; each worker has its own.
pub struct Pipeline {
    steps: Vec<CompiledStep>,
    on_decode_error: OnError,
    /// The records that leave the last step; swapped with those of the batch.
    leaving: Vec<Record>,
    /// Lists of children, kept to avoid allocation.
    spare: Vec<Vec<Record>>,
    /// Counts records, to time one in [`SAMPLE_EVERY`].
    seen: u64,
    /// The most records that one record may become: steps that split multiply each other.
    copies_max: usize,
}

/// Reading the clock around every step of every record would cost more than most steps.
const SAMPLE_EVERY: u64 = 256;

/// What one run over a batch works with.
struct Pass<'p> {
    scope: &'p mut Scope,
    clock: &'p dyn Clock,
    rejected: &'p mut Vec<Rejected>,
    counts: &'p mut [StepCount],
    until: usize,
    /// What the record at hand was split into so far, by all steps together.
    copies: usize,
    /// The step at which that became too many.
    overflow: Option<usize>,
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
    /// The time it took for one record of the batch, when one was timed.
    pub sampled: Option<std::time::Duration>,
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
            spare: Vec::new(),
            seen: 0,
            copies_max: Settings::default().flow.copies_max,
        })
    }

    /// Sets the most records that one record may become.
    pub fn with_copies_max(mut self, copies_max: usize) -> Self {
        self.copies_max = copies_max;
        self
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
    ///
    /// Record by record through all steps, not step by step through all records: the nodes of a record
    /// stay in the nearest cache from the parse to the last step.
    pub fn run_up_to(
        &mut self,
        steps: Option<usize>,
        batch: &mut RecordBatch,
        scope: &mut Scope,
        clock: &dyn Clock,
        rejected: &mut Vec<Rejected>,
        counts: &mut Vec<StepCount>,
    ) {
        let until = steps.unwrap_or(usize::MAX).min(self.steps.len());
        counts.clear();
        counts.resize(until, StepCount::default());
        if batch.has_broken() {
            self.reject_broken(batch, rejected);
        }
        let must_be_json = batch.expects_json && !self.steps.is_empty();
        let mut pass = Pass { scope, clock, rejected, counts, until, copies: 0, overflow: None };
        self.leaving.clear();
        for index in 0..batch.len() {
            if must_be_json && let Err(error) = batch.parse(index) {
                let error = RecordError::invalid(error.to_string());
                let (record, policy) = (batch.records[index], self.on_decode_error);
                pass.rejected.push(Rejected { record, error, stage: 0, policy });
                continue;
            }
            let is_sampled = self.seen.is_multiple_of(SAMPLE_EVERY);
            self.seen = self.seen.wrapping_add(1);
            let (leaving, rejected) = (self.leaving.len(), pass.rejected.len());
            (pass.copies, pass.overflow) = (0, None);
            let record = batch.records[index];
            self.drive(batch, index, 0, is_sampled, &mut pass);
            if let Some(number) = pass.overflow {
                // All or nothing: what it became so far goes nowhere.
                self.leaving.truncate(leaving);
                pass.rejected.truncate(rejected);
                let text = format!("one record became more than {} records", self.copies_max);
                let (error, policy) = (RecordError::transform(text), self.steps[number].on_error);
                pass.counts[number].errors += 1;
                pass.rejected.push(Rejected { record, error, stage: number + 1, policy });
            }
        }
        std::mem::swap(&mut batch.records, &mut self.leaving);
    }

    /// Takes one record through the steps from `from` on.
    fn drive(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        from: usize,
        is_sampled: bool,
        pass: &mut Pass<'_>,
    ) {
        for number in from..pass.until {
            let step = &mut self.steps[number];
            pass.counts[number].records_in += 1;
            if let Some(when) = &step.when
                && !applies(when, batch, index)
            {
                pass.counts[number].records_out += 1;
                continue;
            }
            let verdict = if is_sampled {
                let started = pass.clock.monotonic();
                let verdict = step.transform.record(batch, index, pass.scope);
                let elapsed = pass.clock.monotonic().saturating_sub(started);
                pass.counts[number].sampled = Some(elapsed);
                verdict
            } else {
                step.transform.record(batch, index, pass.scope)
            };
            match verdict {
                Ok(Verdict::Keep) => pass.counts[number].records_out += 1,
                Ok(Verdict::Drop) => return,
                Ok(Verdict::Split) => {
                    self.drive_children(batch, number, is_sampled, pass);
                    return;
                }
                Err(error) => {
                    pass.scope.children.clear();
                    pass.counts[number].errors += 1;
                    let (record, policy) = (batch.records[index], step.on_error);
                    pass.rejected.push(Rejected { record, error, stage: number + 1, policy });
                    return;
                }
            }
        }
        self.leaving.push(batch.records[index]);
    }

    /// Takes what a step split a record into through the steps behind it.
    fn drive_children(
        &mut self,
        batch: &mut RecordBatch,
        number: usize,
        is_sampled: bool,
        pass: &mut Pass<'_>,
    ) {
        let spare = self.spare.pop().unwrap_or_default();
        let mut children = std::mem::replace(&mut pass.scope.children, spare);
        pass.counts[number].records_out += children.len() as u64;
        pass.copies += children.len();
        if pass.copies > self.copies_max {
            pass.overflow = Some(number);
        }
        for child in children.drain(..) {
            if pass.overflow.is_some() {
                break;
            }
            // A step works on a record of the batch; this one stands there only while it is driven.
            batch.records.push(child);
            let index = batch.len() - 1;
            self.drive(batch, index, number + 1, is_sampled, pass);
            batch.records.truncate(index);
        }
        self.spare.push(children);
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use levada_registry::{Report, manifest};
    use levada_runtime::SystemClock;

    #[test]
    fn steps_that_multiply_are_bounded() {
        let doubling = "    - type: router\n      config: {routes: [{condition: '!x', continue: true, \
                        sink: {type: stdout, config: {}}}, {condition: '!x', sink: {type: stdout, config: {}}}]}\n";
        let yaml = format!(
            "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {{name: f}}\nspec:\n  \
             source: {{type: stdin, config: {{}}}}\n  sink: {{type: stdout, config: {{}}}}\n  \
             transformations:\n{}",
            doubling.repeat(30)
        );
        let document = manifest::parse(&yaml).unwrap().remove(0);
        let mut report = Report::new();
        let flow = crate::spec::check(&document, "f", &mut report).unwrap();
        let mut pipeline = Pipeline::compile(&flow).unwrap();
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), serde_json::Value::Null);
        batch.push(b"1", origin, 0);
        batch.push(b"{\"x\":true}", origin, 1);
        let (mut rejected, mut counts) = (Vec::new(), Vec::new());
        let clock = SystemClock::new();
        pipeline.run(&mut batch, &mut Scope::default(), &*clock, &mut rejected, &mut counts);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].error.message, "one record became more than 100000 records");
        assert_eq!(batch.len(), 1, "the other record passes");
    }
}
