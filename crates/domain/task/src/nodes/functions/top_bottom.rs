//! `top`, `bottom`: the points of the largest and the smallest values.

use std::cmp::Ordering;

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numeric, Timed};
use super::reduce::{self, Added, Finished, Item, Keeps};
use super::{Argument, Arguments, BATCH, function};
use crate::runtime::{Reader, StateError, Writer};

// The names behind the field have no effect, as upstream.

function!(
    TOP,
    "top",
    as "top",
    "gives the points of the largest values",
    BATCH,
    [Argument::Int, Argument::Field, Argument::Texts],
    check,
    reduce::start::<Numeric<Best<f64, true>, Best<i64, true>>>,
);

function!(
    BOTTOM,
    "bottom",
    as "bottom",
    "gives the points of the smallest values",
    BATCH,
    [Argument::Int, Argument::Field, Argument::Texts],
    check,
    reduce::start::<Numeric<Best<f64, false>, Best<i64, false>>>,
);

/// Differs: upstream crashes later (U-11).
fn check(arguments: &Arguments) -> Result<(), String> {
    if arguments.int(0) > 0 {
        return Ok(());
    }
    Err("the number of points of top and bottom must be greater than zero".to_owned())
}

struct Best<N, const IS_TOP: bool>(Timed<N>);

impl<N: Number, const IS_TOP: bool> NumberReduction<N> for Best<N, IS_TOP> {
    const KEEPS: Keeps = Keeps::All;

    fn begin() -> Self {
        Best(Timed(Vec::new()))
    }

    #[inline]
    fn add(&mut self, number: N, time: Timestamp, _index: usize) -> Added {
        self.0.0.push((number, time));
        Added::Taken
    }

    fn finish(self, arguments: &Arguments) -> Finished {
        let order = |a: &(usize, (N, Timestamp)), b: &(usize, (N, Timestamp))| -> Ordering {
            let by_value = a.1.0.order(b.1.0);
            let by_value = if IS_TOP { by_value.reverse() } else { by_value };
            by_value.then(a.1.1.cmp(&b.1.1)).then(a.0.cmp(&b.0))
        };
        let mut values: Vec<(usize, (N, Timestamp))> = self.0.0.into_iter().enumerate().collect();
        let wanted = arguments.count(0).min(values.len());
        if wanted < values.len() {
            values.select_nth_unstable_by(wanted, order);
            values.truncate(wanted);
        }
        values.sort_unstable_by(order);
        let items = values.into_iter().map(|(index, (number, time))| Item {
            value: number.value(),
            time,
            keeps_time: false,
            index: Some(index),
        });
        Finished::Items(items.collect())
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Timed::load(reader).map(Best)
    }
}
