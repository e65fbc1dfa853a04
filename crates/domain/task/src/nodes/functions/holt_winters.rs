//! `holtWinters`, `holtWintersWithFit`: forecasts.
//!
//! - Source: kapacitor reference §6.3; the search for the parameters is in [`fit`], the model in [`model`].

mod fit;
mod model;

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberReduction, Numeric, Timed};
use super::reduce::{self, Added, Finished, Item, Keeps};
use super::{Argument, Arguments, BATCH, function};
use crate::runtime::{Reader, StateError, Writer};
use model::Model;

function!(
    HOLT_WINTERS,
    "holtWinters",
    as "holtWinters",
    "forecasts the values after a batch",
    BATCH,
    [Argument::Field, Argument::Int, Argument::Int, Argument::Duration],
    check,
    reduce::start::<Numeric<Forecast<f64, false>, Forecast<i64, false>>>,
);

function!(
    HOLT_WINTERS_WITH_FIT,
    "holtWintersWithFit",
    as "holtWinters",
    "gives the fitted values of a batch and forecasts",
    BATCH,
    [Argument::Field, Argument::Int, Argument::Int, Argument::Duration],
    check,
    reduce::start::<Numeric<Forecast<f64, true>, Forecast<i64, true>>>,
);

/// The most forecasts, and the longest season.
///
/// - Source: ours; what is made per batch must fit into memory.
pub(super) const FORECASTS_MAX: i64 = 100_000;
/// See [`FORECASTS_MAX`].
pub(super) const SEASON_MAX: i64 = 2_000;
/// The most intervals between the first and the last point.
pub(super) const BUCKETS_MAX: usize = 1_000_000;

/// Differs: upstream finds out when it runs.
fn check(arguments: &Arguments) -> Result<(), String> {
    let (forecasts, season) = (arguments.int(1), arguments.int(2));
    if forecasts <= 0 {
        return Err("the number of forecasts of holtWinters must be greater than zero".to_owned());
    }
    if forecasts > FORECASTS_MAX {
        return Err(format!("the number of forecasts of holtWinters is at most {FORECASTS_MAX}"));
    }
    if season < 0 {
        return Err("the season of holtWinters must not be negative".to_owned());
    }
    if season > SEASON_MAX {
        return Err(format!("the season of holtWinters is at most {SEASON_MAX}"));
    }
    if arguments.duration(3) <= 0 {
        return Err("the interval of holtWinters must be greater than zero".to_owned());
    }
    Ok(())
}

struct Forecast<N, const WITH_FIT: bool>(Timed<N>);

impl<N: Number, const WITH_FIT: bool> NumberReduction<N> for Forecast<N, WITH_FIT> {
    const KEEPS: Keeps = Keeps::Values;

    fn begin() -> Self {
        Forecast(Timed(Vec::new()))
    }

    fn add(&mut self, number: N, time: Timestamp, _index: usize) -> Added {
        self.0.0.push((number, time));
        Added::Taken
    }

    fn finish(self, arguments: &Arguments) -> Finished {
        let points: Vec<(f64, i64)> =
            self.0.0.iter().map(|(number, time)| (number.float(), time.0)).collect();
        let (forecasts, season) = (arguments.count(1), arguments.count(2));
        match forecast(&points, forecasts, season, arguments.duration(3), WITH_FIT) {
            Ok(values) => Finished::Items(values),
            Err(problem) => Finished::Failed(problem),
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Timed::load(reader).map(Forecast)
    }
}

fn forecast(
    points: &[(f64, i64)],
    forecasts: usize,
    season: usize,
    interval: i64,
    with_fit: bool,
) -> Result<Vec<Item>, String> {
    let is_seasonal = season >= 2;
    if points.len() < 2 || forecasts == 0 || (is_seasonal && points.len() < season) {
        return Ok(Vec::new());
    }
    let Some((start, values)) = buckets(points, interval)? else { return Ok(Vec::new()) };
    let length = values.len();
    let model = Model::new(values, if is_seasonal { season } else { 0 });
    let mut parameters = fit::best(&model)?;
    let given = model.forecast(forecasts, &mut parameters);
    let skipped = if with_fit { 0 } else { length };
    let items = given.iter().enumerate().skip(skipped).filter(|(_, value)| !value.is_nan());
    let items = items.map(|(step, value)| Item {
        value: FieldValue::Float(*value),
        time: Timestamp(start.saturating_add(interval.saturating_mul(step as i64))),
        keeps_time: true,
        index: None,
    });
    Ok(items.collect())
}

/// Gives the time of the first interval and the first value of each, NaN where there is none.
fn buckets(points: &[(f64, i64)], interval: i64) -> Result<Option<(i64, Vec<f64>)>, String> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(None) };
    let start = round(first.1, interval);
    if round(last.1, interval) - start < i128::from(interval) {
        return Ok(None);
    }
    let mut values = vec![first.0];
    for (value, time) in points {
        let place = (round(*time, interval) - start) / i128::from(interval);
        let Ok(place) = usize::try_from(place) else { continue };
        if place < values.len() {
            // The interval has a value, or lies before one that has.
            continue;
        }
        if place >= BUCKETS_MAX {
            return Err(format!(
                "holtWinters takes at most {BUCKETS_MAX} intervals from the first to the last point"
            ));
        }
        values.resize(place, f64::NAN);
        values.push(*value);
    }
    let start = i64::try_from(start).unwrap_or(if start < 0 { i64::MIN } else { i64::MAX });
    Ok(Some((start, values)))
}

/// Rounds to the nearest multiple, the half down.
fn round(time: i64, interval: i64) -> i128 {
    let past = time.rem_euclid(interval);
    let down = i128::from(time) - i128::from(past);
    if past > interval / 2 { down + i128::from(interval) } else { down }
}
