//! The source around the collectors: interval, clock, failures.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{ErrorClass, Position, RecordBatch, with_causes};
use levada_registry::{FieldPath, Report};
use levada_runtime::TaskKind;
use tokio::task::JoinHandle;

use super::metrics::HostMetricsMetrics;
use super::{Failure, HostMetrics, HostMetricsSpec, Options};
use crate::context::BuildContext;
use crate::spec::{BuildError, SourceSpec};
use crate::traits::{Source, SourceError};

/// The one partition.
const PARTITION: &str = "host";

/// Takes samples at an interval; one sample is one batch.
///
/// The position is the number of samples that were taken. Time cannot be sampled again, so a source
/// that is opened goes on with now, and `count` counts from there.
struct HostMetricsSource {
    ctx: BuildContext,
    metrics: HostMetricsMetrics,
    interval: Duration,
    partition: Str,
    position: u64,
    /// Samples that may still be taken.
    left: u64,
    /// When the next sample is due, on the monotonic clock.
    due: Duration,
    state: State,
    /// The last failure of each collector, so that each is logged once.
    failing: BTreeMap<&'static str, String>,
}

/// The collectors read files, which may block: each sample is taken on a thread of its own.
enum State {
    Idle(Box<HostMetrics>),
    Sampling(JoinHandle<(Box<HostMetrics>, Sample)>),
    /// A sample panicked; nothing is left to go on with.
    Broken,
}

#[derive(Default)]
struct Sample {
    text: Vec<u8>,
    ends: Vec<u32>,
    failures: Vec<Failure>,
}

// === impl HostMetricsSpec ===

impl SourceSpec for HostMetricsSpec {
    const NAME: &'static str = "hostMetrics";
    const SUMMARY: &'static str =
        "Measures this machine at an interval: CPU, memory, disks, network, load";

    fn notes() -> String {
        let table = |title: &str, rows: &[(&str, &str, &str)]| {
            let rows = rows.iter().map(|(collector, name, meaning)| {
                format!("| {collector} | `{name}` | {} |\n", meaning.replace('|', "\\|"))
            });
            format!(
                "\n| collector | {title} | meaning |\n|---|---|---|\n{}",
                rows.collect::<String>()
            )
        };
        let shape = "\nA record holds `metric` (the collector), `host`, `time`, `tags` and the fields below.\n";
        format!("{shape}{}{}", table("field", super::FIELDS), table("tag", super::TAGS))
    }

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.interval.is_zero() {
            report.invalid(&at.child("interval"), "0s", "must be greater than zero");
        }
        for problem in self.problems() {
            report.error(&problem.path(at), format!("Invalid value: {problem}"));
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(HostMetricsSource::new(&self, ctx)?))
    }
}

// === impl HostMetricsSource ===

impl HostMetricsSource {
    fn new(spec: &HostMetricsSpec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: String| BuildError::Invalid(text);
        let sampler = HostMetrics::new(spec, Options::default()).map_err(|problems| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            invalid(texts.join("; "))
        })?;
        let metrics =
            HostMetricsMetrics::new(&ctx.metrics).map_err(|error| invalid(error.to_string()))?;
        Ok(HostMetricsSource {
            metrics,
            interval: spec.interval.get().max(Duration::from_millis(1)),
            partition: PARTITION.into(),
            position: 0,
            left: spec.count.unwrap_or(u64::MAX),
            due: ctx.clock.monotonic(),
            state: State::Idle(Box::new(sampler)),
            failing: BTreeMap::new(),
            ctx: ctx.clone(),
        })
    }

    /// Waits until a sample is due. Samples that fell due meanwhile are left out.
    async fn wait(&mut self) {
        loop {
            let now = self.ctx.clock.monotonic();
            if now >= self.due {
                return;
            }
            self.ctx.clock.sleep(self.due - now).await;
        }
    }

    fn schedule(&mut self) {
        let late = self.ctx.clock.monotonic().saturating_sub(self.due);
        let steps = late.as_nanos() / self.interval.as_nanos() + 1;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.due = self.due.saturating_add(self.interval.saturating_mul(steps));
    }

    /// Takes a sample. Cancel-safe: one that was begun is given to the next call.
    async fn sample(&mut self) -> Result<Sample, SourceError> {
        if let State::Idle(_) = self.state
            && let State::Idle(mut sampler) = std::mem::replace(&mut self.state, State::Broken)
        {
            let now = self.ctx.clock.now().0;
            let work = move || {
                let mut sample = Sample::default();
                sample.failures = sampler.sample(now, &mut sample.text, &mut sample.ends);
                (sampler, sample)
            };
            let thread = self.ctx.tasks.spawn_thread(TaskKind::Connector, "host metrics", work);
            self.state = State::Sampling(thread);
        }
        let State::Sampling(thread) = &mut self.state else {
            return Err(broken());
        };
        match thread.await {
            Ok((sampler, sample)) => {
                self.state = State::Idle(sampler);
                Ok(sample)
            }
            Err(_) => {
                self.state = State::Broken;
                Err(broken())
            }
        }
    }

    /// Counts failures, and logs those that are new.
    fn note(&mut self, failures: Vec<Failure>) {
        let mut failing = BTreeMap::new();
        for Failure { collector, error } in failures {
            self.metrics.errors.with(&[collector]).inc();
            let text = with_causes(&error);
            if self.failing.get(collector) != Some(&text) {
                let reason = error.reason();
                tracing::warn!(collector, reason, error = %text, "a collector cannot measure");
            }
            failing.insert(collector, text);
        }
        for collector in self.failing.keys().filter(|name| !failing.contains_key(*name)) {
            tracing::info!(collector, "a collector measures again");
        }
        self.failing = failing;
    }
}

fn broken() -> SourceError {
    SourceError::new(ErrorClass::Unknown, "the collectors of the host metrics failed; start again")
}

#[async_trait]
impl Source for HostMetricsSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        // Only a number that grows: there is nothing to go back to.
        for (_, position) in positions.iter().filter(|(partition, _)| *partition == self.partition)
        {
            self.position = self.position.max(position.as_u64().unwrap_or(0));
        }
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        while self.left > 0 {
            self.wait().await;
            let sample = self.sample().await?;
            // Nothing waits from here on, so a sample that was taken is handed out.
            self.left -= 1;
            self.schedule();
            self.note(sample.failures);
            if sample.ends.is_empty() {
                continue;
            }
            self.position += 1;
            batch.expects_json = true;
            let origin = batch.push_origin(self.partition.clone(), self.position.into());
            let mut start = 0;
            for end in sample.ends {
                batch.push(&sample.text[start..end as usize], origin, self.position);
                start = end as usize;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use levada_model::Timestamp;
    use levada_runtime::VirtualClock;

    use super::*;
    use crate::sources::testing::{context_with, settings, texts};

    /// A root with a load average only.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hostname"), "h\n").unwrap();
        write_load(&root);
        root
    }

    fn write_load(root: &tempfile::TempDir) {
        std::fs::write(root.path().join("proc/loadavg"), "0.5 0.25 0.1 1/2 3\n").unwrap();
    }

    fn source(
        root: &tempfile::TempDir,
        json: serde_json::Value,
    ) -> (HostMetricsSource, Arc<VirtualClock>, BuildContext) {
        let (mut spec, report) = settings::<HostMetricsSpec>(json);
        assert_eq!(texts(&report), [""; 0]);
        spec.root = root.path().to_owned();
        let clock = VirtualClock::new(Timestamp(1_770_460_200_000_000_000));
        let ctx = context_with(clock.clone());
        (HostMetricsSource::new(&spec, &ctx).unwrap(), clock, ctx)
    }

    async fn batch(source: &mut HostMetricsSource) -> Option<RecordBatch> {
        let mut batch = RecordBatch::new();
        source.next(&mut batch).await.unwrap().then_some(batch)
    }

    #[tokio::test]
    async fn samples_come_at_the_interval_and_end_with_the_count() {
        let root = root();
        let json = serde_json::json!({"interval": "5s", "count": 3, "collectors": ["load"]});
        let (mut source, clock, _) = source(&root, json);
        source.open(&[(PARTITION.into(), 7.into())]).await.unwrap();
        let first = batch(&mut source).await.unwrap();
        assert_eq!(first.origins[0].position, 8);
        let record: serde_json::Value = serde_json::from_slice(&first.payload(0)).unwrap();
        assert_eq!((&record["metric"], &record["host"]), (&"load".into(), &"h".into()));
        clock.advance(Duration::from_millis(4999));
        assert!(is_waiting(&mut source).await);
        clock.advance(Duration::from_millis(1));
        assert_eq!(batch(&mut source).await.unwrap().origins[0].position, 9);
        // Two samples fell due while nobody asked: one is taken, at the pace of before.
        clock.advance(Duration::from_millis(12_000));
        assert_eq!(batch(&mut source).await.unwrap().origins[0].position, 10);
        assert_eq!(source.due, Duration::from_secs(20));
        assert!(batch(&mut source).await.is_none());
    }

    async fn is_waiting(source: &mut HostMetricsSource) -> bool {
        tokio::select! {
            biased;
            _ = batch(source) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn a_sample_that_was_begun_is_not_lost() {
        let root = root();
        let json = serde_json::json!({"count": 1, "collectors": ["load"]});
        let (mut source, _, _) = source(&root, json);
        while matches!(source.state, State::Idle(_)) {
            // Dropped while the thread runs, or done at once.
            if !is_waiting(&mut source).await {
                return;
            }
        }
        assert_eq!(batch(&mut source).await.unwrap().len(), 1);
        assert!(batch(&mut source).await.is_none());
    }

    #[tokio::test]
    async fn failures_are_counted_and_remembered_until_they_change() {
        let root = root();
        std::fs::remove_file(root.path().join("proc/loadavg")).unwrap();
        let json = serde_json::json!({"interval": "1s", "collectors": ["load"]});
        let (mut source, clock, ctx) = source(&root, json);
        let waiting = source.sample().await.unwrap();
        assert!(waiting.ends.is_empty());
        source.note(waiting.failures);
        assert!(source.failing["load"].contains("loadavg"), "{:?}", source.failing);
        assert!(
            ctx.metrics.render().contains("levada_host_metrics_errors_total{collector=\"load\"} 1"),
            "{}",
            ctx.metrics.render()
        );
        write_load(&root);
        clock.advance(Duration::from_secs(1));
        assert_eq!(batch(&mut source).await.unwrap().len(), 1);
        assert!(source.failing.is_empty());
    }

    #[tokio::test]
    async fn this_machine_can_be_measured() {
        let ctx = crate::sources::testing::context();
        let spec = HostMetricsSpec { count: Some(1), ..HostMetricsSpec::default() };
        let mut source = HostMetricsSource::new(&spec, &ctx).unwrap();
        let mut batch = batch(&mut source).await.unwrap();
        assert!(batch.len() > 3);
        for index in 0..batch.len() {
            batch.parse(index).unwrap();
        }
    }

    #[test]
    fn settings_are_checked() {
        let json = serde_json::json!({"interval": "0", "collectors": ["gpu"], "tags": {"core": "1"}, "x": 1});
        let (spec, mut report) = settings::<HostMetricsSpec>(json);
        SourceSpec::check(&spec, &FieldPath::field("config"), &mut report);
        let found = texts(&report);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found[0].contains("unknown field `x`; known: interval, count, collectors, tags, root")
        );
        assert!(found[1].starts_with("config.interval: Invalid value: \"0s\""), "{}", found[1]);
        assert!(
            found[2].starts_with("config.collectors[0]: Invalid value: unknown collector `gpu`")
        );
        assert!(found[3].starts_with("config.tags[core]: Invalid value: tag `core`"));
    }
}
