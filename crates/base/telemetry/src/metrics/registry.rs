//! The registry: finds or makes families by name, and writes all of them as text.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_runtime::{Clock, SystemClock};

use super::family::sealed::Sealed;
use super::family::{
    AnyFamily, Bound, CallbackFamily, CallbackValue, CounterFamily, Family, FamilyCore,
    GaugeFamily, Head, HistogramFamily, IntGaugeFamily, Metric, SummaryFamily, describe,
};
use super::{Buckets, Counter, Gauge, Histogram, IntGauge, MetricsError, Summary, SummaryOptions};

/// Name of the counter of label combinations that were counted as `other` because their family was full.
pub const SERIES_DROPPED: &str = "levada_metrics_series_dropped_total";

/// Series per family unless told otherwise. A scrape of 1,000 series of one family is some 100 kB.
const SERIES_MAX: usize = 1_000;

/// Holds the metrics of one process, or of one test. A clone is cheap and is the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    series_max: usize,
    dropped: Counter,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    refreshers: Mutex<Vec<Refresher>>,
    /// Held during a scrape: another one would change in the middle of it what was refreshed at one instant.
    scrape: Mutex<()>,
}

type Refresher = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    /// By name, which is the order of the exposition.
    families: BTreeMap<String, Arc<dyn AnyFamily>>,
    /// Which family writes samples of this name.
    samples: HashMap<String, String>,
}

// === impl Registry ===

impl Registry {
    /// Makes a registry with at most 1,000 series per family.
    #[must_use]
    pub fn new() -> Self {
        Self::with_series_max(SERIES_MAX)
    }

    /// Makes a registry with at most `series_max` series per family (at least one).
    #[must_use]
    pub fn with_series_max(series_max: usize) -> Self {
        Self::with_clock(series_max, SystemClock::new())
    }

    /// Makes a registry whose summaries read time from `clock`.
    #[must_use]
    pub fn with_clock(series_max: usize, clock: Arc<dyn Clock>) -> Self {
        let dropped = Counter::default();
        let registry = Self(Arc::new(Inner {
            series_max: series_max.max(1),
            dropped: dropped.clone(),
            clock,
            state: Mutex::default(),
            refreshers: Mutex::default(),
            scrape: Mutex::default(),
        }));
        let head = Head {
            name: SERIES_DROPPED.into(),
            help: "Label combinations counted as `other` because their metric had too many series."
                .into(),
            labels: [].into(),
        };
        let own = CallbackFamily::<u64>::new(head, registry.bound());
        own.insert(&[], Arc::new(move || dropped.value()));
        registry.state().insert(Arc::new(own));
        registry
    }

    /// Gives the counters named `name`, one per combination of label values.
    ///
    /// The same name and labels give the same family again; its first help text stays.
    ///
    /// - Errors: [`MetricsError::InvalidName`], [`MetricsError::InvalidLabel`], [`MetricsError::Conflict`] when the name is
    ///   registered with another shape, [`MetricsError::SampleTaken`]. So do all other methods that register.
    pub fn counter_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
    ) -> Result<CounterFamily<N>, MetricsError> {
        self.family(name, help, labels, ())
    }

    /// Gives the counters named `name`, which may have `kinds` times as many series as others: for labels one of which has so
    /// many values, all known beforehand; see [`Registry::counter_family`].
    pub fn counter_family_of<const N: usize>(
        &self,
        kinds: usize,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
    ) -> Result<CounterFamily<N>, MetricsError> {
        self.family_within(self.bound_of(kinds), name, help, labels, ())
    }

    /// Gives the gauges named `name`; see [`Registry::counter_family`].
    pub fn gauge_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
    ) -> Result<GaugeFamily<N>, MetricsError> {
        self.family(name, help, labels, ())
    }

    /// Gives the whole-number gauges named `name`; see [`Registry::counter_family`].
    pub fn int_gauge_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
    ) -> Result<IntGaugeFamily<N>, MetricsError> {
        self.family(name, help, labels, ())
    }

    /// Gives the histograms named `name`; see [`Registry::counter_family`].
    pub fn histogram_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
        buckets: Buckets,
    ) -> Result<HistogramFamily<N>, MetricsError> {
        self.family(name, help, labels, buckets.0)
    }

    /// Gives the summaries named `name`; see [`Registry::counter_family`].
    ///
    /// - Errors: also [`MetricsError::Summary`] when the options are unusable.
    pub fn summary_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
        options: SummaryOptions,
    ) -> Result<SummaryFamily<N>, MetricsError> {
        self.family(name, help, labels, options.checked()?)
    }

    /// Gives the counter named `name`, without labels.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, MetricsError> {
        Ok(self.counter_family(name, help, &[])?.with(&[]))
    }

    /// Gives the gauge named `name`, without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        Ok(self.gauge_family(name, help, &[])?.with(&[]))
    }

    /// Gives the whole-number gauge named `name`, without labels.
    pub fn int_gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        Ok(self.int_gauge_family(name, help, &[])?.with(&[]))
    }

    /// Gives the histogram named `name`, without labels.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Buckets,
    ) -> Result<Histogram, MetricsError> {
        Ok(self.histogram_family(name, help, &[], buckets)?.with(&[]))
    }

    /// Gives the summary named `name`, without labels.
    pub fn summary(
        &self,
        name: &str,
        help: &str,
        options: SummaryOptions,
    ) -> Result<Summary, MetricsError> {
        Ok(self.summary_family(name, help, &[], options)?.with(&[]))
    }

    /// Shows what `read` gives at the time of each scrape, as a gauge with these labels and values.
    ///
    /// The same name and label values replace the earlier callback. `read` must be quick and must not block; it may use the
    /// registry. It lives until [`Registry::remove_series`] removes it.
    ///
    /// - Errors: those of [`Registry::counter_family`], and [`MetricsError::SeriesLimit`] when the family is full.
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.callback(name, help, labels, Arc::new(read))
    }

    /// Shows what `read` gives at the time of each scrape, as a counter; see [`Registry::gauge_fn`].
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.callback(name, help, labels, Arc::new(read))
    }

    /// Removes every series, of every metric, that carries all of these labels; gives how many there were.
    ///
    /// For the end of a flow: `remove_series(&[("namespace", "default"), ("name", "cpu")])`. Removes nothing when `labels` is empty.
    pub fn remove_series(&self, labels: &[(&str, &str)]) -> usize {
        if labels.is_empty() {
            return 0;
        }
        self.families().iter().map(|family| family.remove(labels)).sum()
    }

    /// Writes all metrics as Prometheus text, version 0.0.4, sorted by name and label values.
    ///
    /// Families without series are left out.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.render_into(&mut out);
        out
    }

    /// Calls `refresh` before each scrape, for metrics that cost something to read.
    ///
    /// What one call sets is shown together: scrapes come one after the other. It must not wait for long; it may use the
    /// registry, but not render it.
    pub fn before_render(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.refreshers().push(Arc::new(refresh));
    }

    /// Appends what [`Registry::render`] gives.
    pub fn render_into(&self, out: &mut String) {
        let _one_at_a_time = self.0.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let refreshers = self.refreshers().clone();
        refreshers.iter().for_each(|refresh| refresh());
        for family in self.families() {
            family.render(out);
        }
    }

    fn family<M: Metric, const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
        shape: M::Shape,
    ) -> Result<Family<M, N>, MetricsError> {
        self.family_within(self.bound(), name, help, labels, shape)
    }

    fn family_within<M: Metric, const N: usize>(
        &self,
        bound: Bound,
        name: &str,
        help: &str,
        labels: &[&'static str; N],
        shape: M::Shape,
    ) -> Result<Family<M, N>, MetricsError> {
        check_labels(name, labels, M::RESERVED_LABEL)?;
        let mut state = self.state();
        if let Some(found) = state.families.get(name) {
            let any: Arc<dyn Any + Send + Sync> = Arc::clone(found) as _;
            return match any.downcast::<FamilyCore<M>>() {
                Ok(core) if core.shape == shape && *core.head.labels == labels[..] => {
                    Ok(Family(core))
                }
                _ => {
                    let requested = describe(M::TITLE, labels, &<M as Sealed>::describe(&shape));
                    Err(conflict(name, &**found, requested))
                }
            };
        }
        state.admit(name, M::SUFFIXES)?;
        let core = Arc::new(FamilyCore::new(
            head(name, help, labels),
            shape,
            bound,
            Arc::clone(&self.0.clock),
        ));
        state.insert(Arc::clone(&core) as _);
        Ok(Family(core))
    }

    fn callback<T: CallbackValue>(
        &self,
        name: &str,
        help: &str,
        labels: &[(&'static str, &str)],
        read: Arc<dyn Fn() -> T + Send + Sync>,
    ) -> Result<(), MetricsError> {
        let (names, values): (Vec<&'static str>, Vec<&str>) = labels.iter().copied().unzip();
        check_labels(name, &names, None)?;
        let mut state = self.state();
        let family = match state.families.get(name) {
            Some(found) => {
                let any: Arc<dyn Any + Send + Sync> = Arc::clone(found) as _;
                match any.downcast::<CallbackFamily<T>>() {
                    Ok(family) if *family.head.labels == names => family,
                    _ => return Err(conflict(name, &**found, describe(T::TITLE, &names, ""))),
                }
            }
            None => {
                state.admit(name, &[""])?;
                let family = Arc::new(CallbackFamily::new(head(name, help, &names), self.bound()));
                state.insert(Arc::clone(&family) as _);
                family
            }
        };
        drop(state);
        if family.insert(&values, read) {
            Ok(())
        } else {
            Err(MetricsError::SeriesLimit { name: name.into(), limit: self.0.series_max })
        }
    }

    fn bound(&self) -> Bound {
        self.bound_of(1)
    }

    fn bound_of(&self, kinds: usize) -> Bound {
        Bound::new(self.0.series_max.saturating_mul(kinds), self.0.dropped.clone())
    }

    fn families(&self) -> Vec<Arc<dyn AnyFamily>> {
        self.state().families.values().cloned().collect()
    }

    fn refreshers(&self) -> MutexGuard<'_, Vec<Refresher>> {
        self.0.refreshers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let families = self.state().families.len();
        formatter.debug_struct("Registry").field("families", &families).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// Checks that a metric named `name` may write samples with these suffixes.
    fn admit(&self, name: &str, suffixes: &[&str]) -> Result<(), MetricsError> {
        let mut characters = name.chars();
        let first = characters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || "_:".contains(first));
        if !first || !characters.all(|other| other.is_ascii_alphanumeric() || "_:".contains(other))
        {
            return Err(MetricsError::InvalidName { name: name.into() });
        }
        for suffix in suffixes {
            let sample = format!("{name}{suffix}");
            if let Some(owner) = self.samples.get(&sample) {
                return Err(MetricsError::SampleTaken {
                    name: name.into(),
                    sample,
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }

    fn insert(&mut self, family: Arc<dyn AnyFamily>) {
        let name = family.head().name.clone();
        for suffix in family.suffixes() {
            self.samples.insert(format!("{name}{suffix}"), name.clone());
        }
        self.families.insert(name, family);
    }
}

// === helpers ===

fn head(name: &str, help: &str, labels: &[&'static str]) -> Head {
    Head { name: name.into(), help: help.into(), labels: labels.into() }
}

fn conflict(name: &str, existing: &dyn AnyFamily, requested: String) -> MetricsError {
    MetricsError::Conflict { name: name.into(), existing: existing.describe(), requested }
}

fn check_labels(metric: &str, labels: &[&str], reserved: Option<&str>) -> Result<(), MetricsError> {
    for (index, label) in labels.iter().enumerate() {
        let mut characters = label.chars();
        let first =
            characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        let reason =
            if !first || !characters.all(|other| other.is_ascii_alphanumeric() || other == '_') {
                "use letters, digits and `_`, and do not start with a digit"
            } else if label.starts_with("__") {
                "names that start with `__` are reserved"
            } else if reserved == Some(*label) {
                "this kind of metric adds the label itself"
            } else if labels[..index].contains(label) {
                "it is given twice"
            } else {
                continue;
            };
        return Err(MetricsError::InvalidLabel {
            metric: metric.into(),
            label: (*label).into(),
            reason,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
