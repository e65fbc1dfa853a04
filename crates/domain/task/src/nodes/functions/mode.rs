//! `mode`: the most frequent value.

use std::cmp::Ordering;

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numeric, Timed};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    MODE,
    "mode",
    as "mode",
    "gives the most frequent value of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Mode<f64>, Mode<i64>>>,
);

struct Mode<N>(Timed<N>);

impl<N: Number> NumberReduction<N> for Mode<N> {
    const KEEPS: Keeps = Keeps::Values;

    fn begin() -> Self {
        Mode(Timed(Vec::new()))
    }

    #[inline]
    fn add(&mut self, number: N, time: Timestamp, _index: usize) -> Added {
        self.0.0.push((number, time));
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        let mut values = self.0.0;
        values.sort_unstable_by(|a, b| a.0.order(b.0).then(a.1.cmp(&b.1)));
        // Of equally frequent values the one that came first in time; when all differ, the smallest.
        let mut best: Option<(usize, Timestamp, N)> = None;
        for run in values.chunk_by(|a, b| a.0.order(b.0) == Ordering::Equal) {
            let (value, time) = run[0];
            let is_better = best.is_none_or(|(count, earliest, _)| {
                run.len() > count || (run.len() == count && count > 1 && time < earliest)
            });
            if is_better {
                best = Some((run.len(), time, value));
            }
        }
        best.map_or(Finished::Nothing, |(_, _, value)| Finished::Value(value.value()))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Timed::load(reader).map(Mode)
    }
}
