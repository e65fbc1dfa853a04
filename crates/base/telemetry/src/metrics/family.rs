//! A family: one metric name, and a bounded set of series that differ in their label values.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_runtime::Clock;

use super::histogram::{Bounds, Histogram};
use super::scalar::{Counter, Gauge, IntGauge};
use super::summary::{Summary, SummaryOptions};
use super::text::{Number, SeriesWriter, write_header};

/// The label value under which everything past the bound on series is counted.
const OVERFLOW: &str = "other";

/// Longest label value, bytes; the rest is cut off. Label values should be names, and a name is shorter.
const LABEL_BYTES_MAX: usize = 512;

/// Counters that differ in `N` label values.
pub type CounterFamily<const N: usize> = Family<Counter, N>;
/// Gauges that differ in `N` label values.
pub type GaugeFamily<const N: usize> = Family<Gauge, N>;
/// Whole-number gauges that differ in `N` label values.
pub type IntGaugeFamily<const N: usize> = Family<IntGauge, N>;
/// Histograms with the same buckets that differ in `N` label values.
pub type HistogramFamily<const N: usize> = Family<Histogram, N>;
/// Summaries with the same quantiles that differ in `N` label values.
pub type SummaryFamily<const N: usize> = Family<Summary, N>;

/// A metric name with `N` labels; gives the handle of each series.
///
/// A clone is cheap and is the same family.
pub struct Family<M: Metric, const N: usize>(pub(super) Arc<FamilyCore<M>>);

/// What a registry can hold. Implemented by the handles of this module and by nothing else.
pub trait Metric: sealed::Sealed + Clone + Send + Sync + 'static {}

impl Metric for Counter {}
impl Metric for Gauge {}
impl Metric for IntGauge {}
impl Metric for Histogram {}
impl Metric for Summary {}

pub(super) type Values = Box<[Box<str>]>;

pub(super) mod sealed {
    use std::sync::Arc;

    use levada_runtime::Clock;

    use super::SeriesWriter;

    /// The part of [`super::Metric`] that only this crate may call.
    pub trait Sealed: Sized {
        /// What all series of a family share besides names: buckets, quantiles.
        type Shape: Clone + PartialEq + Send + Sync + 'static;
        /// The word after `# TYPE name`.
        const KIND: &'static str;
        /// How error messages name the kind, when the exposition word is not enough.
        const TITLE: &'static str;
        /// What is appended to the metric name in sample lines.
        const SUFFIXES: &'static [&'static str];
        /// A label name that samples of this kind add themselves.
        const RESERVED_LABEL: Option<&'static str>;
        /// Makes the memory of a new series.
        fn create(shape: &Self::Shape, clock: &Arc<dyn Clock>) -> Self;
        /// Writes the sample lines of one series.
        fn write(&self, writer: &mut SeriesWriter<'_>);
        /// Describes the shape for error messages, empty when there is nothing to say.
        fn describe(_shape: &Self::Shape) -> String {
            String::new()
        }
    }
}

/// The names of a family.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) labels: Box<[&'static str]>,
}

/// What happens when a family is full; shared by all families of a registry.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) series_max: usize,
    pub(super) dropped: Counter,
    warned: AtomicBool,
}

pub(super) struct FamilyCore<M: Metric> {
    pub(super) head: Head,
    pub(super) shape: M::Shape,
    bound: Bound,
    clock: Arc<dyn Clock>,
    series: Mutex<BTreeMap<Values, M>>,
}

/// What the registry can do with a family without knowing its kind.
pub(super) trait AnyFamily: Any + Send + Sync {
    fn head(&self) -> &Head;
    fn suffixes(&self) -> &'static [&'static str];
    fn describe(&self) -> String;
    fn render(&self, out: &mut String);
    fn remove(&self, wanted: &[(&str, &str)]) -> usize;
}

// === impl Family ===

impl<M: Metric, const N: usize> Family<M, N> {
    /// Gives the series with these label values, made on first use.
    ///
    /// Looks the series up under a lock: call it when a component is built and keep the handle. When the family is full, a new
    /// combination gets the series whose label values are all `other`, and each such call adds one to
    /// `levada_metrics_series_dropped_total`. A label value longer than 512 bytes is cut.
    pub fn with(&self, values: &[&str; N]) -> M {
        let core = &*self.0;
        let key: Values = values.iter().map(|value| bounded(value).into()).collect();
        let mut series = lock(&core.series);
        if let Some(found) = series.get(&key) {
            return found.clone();
        }
        let key = if core.bound.admits(&core.head.name, series.len()) {
            key
        } else {
            values.iter().map(|_| OVERFLOW.into()).collect()
        };
        series
            .entry(key)
            .or_insert_with(|| sealed::Sealed::create(&core.shape, &core.clock))
            .clone()
    }

    /// Removes the series with these label values from the exposition; says whether there was one.
    ///
    /// A handle somebody still holds keeps working, but is no longer shown.
    pub fn remove(&self, values: &[&str; N]) -> bool {
        let key: Values = values.iter().map(|value| bounded(value).into()).collect();
        lock(&self.0.series).remove(&key).is_some()
    }
}

impl<M: Metric, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Metric, const N: usize> fmt::Debug for Family<M, N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Family").field(&self.0.head).finish()
    }
}

// === impl Bound ===

impl Bound {
    pub(super) fn new(series_max: usize, dropped: Counter) -> Self {
        Self { series_max, dropped, warned: AtomicBool::new(false) }
    }

    /// Says whether a family that has `len` series may have one more; counts and warns when not.
    pub(super) fn admits(&self, name: &str, len: usize) -> bool {
        if len < self.series_max {
            return true;
        }
        self.dropped.inc();
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                metric = name,
                series_max = self.series_max,
                "metric has too many label values; further ones are counted as `other`"
            );
        }
        false
    }
}

// === impl FamilyCore ===

impl<M: Metric> FamilyCore<M> {
    pub(super) fn new(head: Head, shape: M::Shape, bound: Bound, clock: Arc<dyn Clock>) -> Self {
        Self { head, shape, bound, clock, series: Mutex::default() }
    }
}

impl<M: Metric> AnyFamily for FamilyCore<M> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn suffixes(&self) -> &'static [&'static str] {
        M::SUFFIXES
    }

    fn describe(&self) -> String {
        describe(M::TITLE, &self.head.labels, &M::describe(&self.shape))
    }

    fn render(&self, out: &mut String) {
        let series = lock(&self.series);
        if series.is_empty() {
            return;
        }
        write_header(out, &self.head.name, &self.head.help, M::KIND);
        for (values, metric) in &*series {
            metric.write(&mut SeriesWriter {
                out,
                name: &self.head.name,
                labels: &self.head.labels,
                values,
            });
        }
    }

    fn remove(&self, wanted: &[(&str, &str)]) -> usize {
        remove_matching(&self.head, &mut lock(&self.series), wanted)
    }
}

// === impl kinds of metric ===

impl sealed::Sealed for Counter {
    type Shape = ();
    const KIND: &'static str = "counter";
    const TITLE: &'static str = "counter";
    const SUFFIXES: &'static [&'static str] = &[""];
    const RESERVED_LABEL: Option<&'static str> = None;

    fn create((): &(), _clock: &Arc<dyn Clock>) -> Self {
        Self::default()
    }

    fn write(&self, writer: &mut SeriesWriter<'_>) {
        writer.sample("", None, Number::Unsigned(self.value()));
    }
}

impl sealed::Sealed for Gauge {
    type Shape = ();
    const KIND: &'static str = "gauge";
    const TITLE: &'static str = "gauge";
    const SUFFIXES: &'static [&'static str] = &[""];
    const RESERVED_LABEL: Option<&'static str> = None;

    fn create((): &(), _clock: &Arc<dyn Clock>) -> Self {
        Self::default()
    }

    fn write(&self, writer: &mut SeriesWriter<'_>) {
        writer.sample("", None, Number::Float(self.value()));
    }
}

impl sealed::Sealed for IntGauge {
    type Shape = ();
    const KIND: &'static str = "gauge";
    const TITLE: &'static str = "whole-number gauge";
    const SUFFIXES: &'static [&'static str] = &[""];
    const RESERVED_LABEL: Option<&'static str> = None;

    fn create((): &(), _clock: &Arc<dyn Clock>) -> Self {
        Self::default()
    }

    fn write(&self, writer: &mut SeriesWriter<'_>) {
        writer.sample("", None, Number::Signed(self.value()));
    }
}

impl sealed::Sealed for Histogram {
    type Shape = Bounds;
    const KIND: &'static str = "histogram";
    const TITLE: &'static str = "histogram";
    const SUFFIXES: &'static [&'static str] = &["", "_bucket", "_sum", "_count"];
    const RESERVED_LABEL: Option<&'static str> = Some("le");

    fn create(shape: &Bounds, _clock: &Arc<dyn Clock>) -> Self {
        Self::with_bounds(shape)
    }

    fn write(&self, writer: &mut SeriesWriter<'_>) {
        self.write_samples(writer);
    }

    fn describe(shape: &Bounds) -> String {
        format!("buckets {shape:?}")
    }
}

impl sealed::Sealed for Summary {
    type Shape = SummaryOptions;
    const KIND: &'static str = "summary";
    const TITLE: &'static str = "summary";
    const SUFFIXES: &'static [&'static str] = &["", "_sum", "_count"];
    const RESERVED_LABEL: Option<&'static str> = Some("quantile");

    fn create(shape: &SummaryOptions, clock: &Arc<dyn Clock>) -> Self {
        Self::with_options(shape, Arc::clone(clock))
    }

    fn write(&self, writer: &mut SeriesWriter<'_>) {
        self.write_samples(writer);
    }

    fn describe(shape: &SummaryOptions) -> String {
        format!("quantiles {:?} over {:?} in {} slots", shape.quantiles, shape.max_age, shape.slots)
    }
}

// === callbacks ===

/// A family whose values are read when the exposition is written.
pub(super) struct CallbackFamily<T> {
    pub(super) head: Head,
    pub(super) bound: Bound,
    series: Mutex<BTreeMap<Values, Arc<Callback<T>>>>,
}

type Callback<T> = dyn Fn() -> T + Send + Sync;

/// What a callback may give.
pub(super) trait CallbackValue: 'static {
    const KIND: &'static str;
    const TITLE: &'static str;
    fn number(self) -> Number;
}

impl CallbackValue for f64 {
    const KIND: &'static str = "gauge";
    const TITLE: &'static str = "gauge read by callback";
    fn number(self) -> Number {
        Number::Float(self)
    }
}

impl CallbackValue for u64 {
    const KIND: &'static str = "counter";
    const TITLE: &'static str = "counter read by callback";
    fn number(self) -> Number {
        Number::Unsigned(self)
    }
}

impl<T> CallbackFamily<T> {
    pub(super) fn new(head: Head, bound: Bound) -> Self {
        Self { head, bound, series: Mutex::default() }
    }

    /// Adds or replaces the callback of one series; false when the family is full.
    pub(super) fn insert(&self, values: &[&str], read: Arc<Callback<T>>) -> bool {
        let key: Values = values.iter().map(|value| bounded(value).into()).collect();
        let mut series = lock(&self.series);
        let admitted =
            series.contains_key(&key) || self.bound.admits(&self.head.name, series.len());
        if admitted {
            series.insert(key, read);
        }
        admitted
    }
}

impl<T: CallbackValue> AnyFamily for CallbackFamily<T> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &[""]
    }

    fn describe(&self) -> String {
        describe(T::TITLE, &self.head.labels, "")
    }

    fn render(&self, out: &mut String) {
        // Called without the lock, so that a callback may itself use the registry.
        let series: Vec<_> = lock(&self.series)
            .iter()
            .map(|(values, read)| (values.clone(), Arc::clone(read)))
            .collect();
        if series.is_empty() {
            return;
        }
        write_header(out, &self.head.name, &self.head.help, T::KIND);
        for (values, read) in &series {
            let number = read().number();
            SeriesWriter { out, name: &self.head.name, labels: &self.head.labels, values }
                .sample("", None, number);
        }
    }

    fn remove(&self, wanted: &[(&str, &str)]) -> usize {
        remove_matching(&self.head, &mut lock(&self.series), wanted)
    }
}

// === helpers ===

pub(super) fn describe(kind: &str, labels: &[&str], shape: &str) -> String {
    let mut text = String::from(kind);
    if labels.is_empty() {
        text.push_str(" without labels");
    } else {
        text.push_str(&format!(" with labels `{}`", labels.join("`, `")));
    }
    if !shape.is_empty() {
        text.push_str(" and ");
        text.push_str(shape);
    }
    text
}

fn remove_matching<V>(
    head: &Head,
    series: &mut BTreeMap<Values, V>,
    wanted: &[(&str, &str)],
) -> usize {
    let mut places = Vec::with_capacity(wanted.len());
    for (label, value) in wanted {
        match head.labels.iter().position(|own| own == label) {
            Some(place) => places.push((place, bounded(value))),
            None => return 0,
        }
    }
    let before = series.len();
    series.retain(|values, _| !places.iter().all(|&(place, value)| &*values[place] == value));
    before - series.len()
}

fn bounded(value: &str) -> &str {
    &value[..value.floor_char_boundary(LABEL_BYTES_MAX)]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps stay whole whatever panicked while the lock was held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
