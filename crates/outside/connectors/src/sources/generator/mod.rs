//! The `generator` source: records made from a template, for trials, demonstrations and loads.
//!
//! The position of the one partition is the index of the next record. Apart from `{{time}}`, which
//! is the time at which a batch was made, a record follows from `seed` and its index alone: the same
//! settings give the same records, and a flow that is resumed goes on with them.

mod template;

use std::time::Duration;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{Position, RecordBatch};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::BuildContext;
use crate::spec::{BuildError, SourceSpec};
use crate::traits::{Source, SourceError};

use template::Template;

/// The one partition.
const PARTITION: &str = "generator";

/// The seed unless another is set.
const SEED_DEFAULT: u64 = 1;

/// Records that fell due while nobody asked are made up for, but not more than those of this time.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// The highest rate that is waited for; above it the clock's resolution decides.
const RATE_MAX: f64 = 1e9;

/// A small record of a shop's log.
const TEMPLATE_DEFAULT: &str = concat!(
    r#"{"id":{{index}},"time":"{{time}}","level":"{{pick info info info warn error}}","#,
    r#""status":{{pick 200 200 200 201 301 404 500}},"order":"{{uuid}}","#,
    r#""customer":{"id":{{int 1 10000}},"email":"{{email}}","ip":"{{ip}}"},"#,
    r#""amount":{{float 1 500}},"items":{{int 1 9}},"message":"{{word}} {{word}} {{word}}"}"#,
);

/// Settings of the `generator` source.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Chooses the sequence of records. Default 1.
    pub seed: Option<u64>,
    /// How many records there are; the source ends after them. Default: without end.
    pub count: Option<u64>,
    /// Records per second, also below 1. Default: as fast as the flow takes them.
    pub rate: Option<f64>,
    /// The record, JSON or any text, with placeholders: `{{index}}`, `{{int MIN MAX}}`,
    /// `{{float MIN MAX}}`, `{{word}}`, `{{pick A B C}}`, `{{uuid}}`, `{{time}}`, `{{email}}`, `{{ip}}`. White space
    /// around it does not count. Default: a small record of a shop's log.
    pub template: Option<String>,
}

/// Makes records.
struct Generator {
    template: Template,
    seed: u64,
    count: u64,
    rate: Option<f64>,
    ctx: BuildContext,
    expects_json: bool,
    partition: Str,
    /// The index of the next record.
    index: u64,
    /// When record `paced_from` was due, on the monotonic clock.
    start: Duration,
    paced_from: u64,
}

// === impl Spec ===

impl Spec {
    fn compile(&self) -> Result<Template, template::TemplateError> {
        Template::compile(self.template.as_deref().map_or(TEMPLATE_DEFAULT, str::trim))
    }
}

impl SourceSpec for Spec {
    const NAME: &'static str = "generator";
    const SUMMARY: &'static str = "Makes records from a template, the same ones for the same seed";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if let Some(rate) = self.rate.filter(|rate| !(*rate > 0.0 && *rate <= RATE_MAX)) {
            let detail = "must be greater than zero and at most 1000000000";
            report.invalid(&at.child("rate"), rate, detail);
        }
        match self.compile() {
            Err(error) => report.error(&at.child("template"), format!("Invalid value: {error}")),
            Ok(_) if self.template.as_deref().is_some_and(|text| text.trim().is_empty()) => {
                report.required(
                    &at.child("template"),
                    "template is empty; leave it out for the default",
                );
            }
            Ok(_) => {}
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(Generator::new(self, ctx)?))
    }
}

// === impl Generator ===

impl Generator {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let template = spec.compile().map_err(|error| BuildError::Invalid(error.to_string()))?;
        let mut generator = Generator {
            template,
            seed: spec.seed.unwrap_or(SEED_DEFAULT),
            count: spec.count.unwrap_or(u64::MAX),
            rate: spec.rate.filter(|rate| *rate > 0.0).map(|rate| rate.min(RATE_MAX)),
            ctx: ctx.clone(),
            expects_json: false,
            partition: PARTITION.into(),
            index: 0,
            start: ctx.clock.monotonic(),
            paced_from: 0,
        };
        generator.expects_json = generator.first_is_json();
        Ok(generator)
    }

    /// A template whose first record is JSON promises JSON.
    fn first_is_json(&self) -> bool {
        let mut batch = RecordBatch::new();
        self.template.append(self.seed, 0, self.time().as_bytes(), &mut batch.text);
        batch.push_span(0, batch.text.len() as u32, 0, 0);
        batch.parse(0).is_ok()
    }

    fn time(&self) -> String {
        self.ctx.clock.now().rfc3339_nano()
    }

    /// Waits until a record is due and gives how many are.
    async fn due(&mut self) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        loop {
            let elapsed = self.ctx.clock.monotonic().saturating_sub(self.start);
            // The first record is due at once.
            let due = (elapsed.as_secs_f64() * rate) as u64 + 1;
            let made = self.index - self.paced_from;
            if due > made {
                let most = (CATCH_UP_MAX.as_secs_f64() * rate) as u64 + 1;
                if due - made > most {
                    // As if the pace had begun just that long ago.
                    self.pace_from_here();
                    self.start = self.start.saturating_sub(CATCH_UP_MAX);
                    return most;
                }
                return due - made;
            }
            let next = made as f64 / rate - elapsed.as_secs_f64();
            // A nanosecond more than nothing: the product above may be rounded down.
            let wait = Duration::try_from_secs_f64(next.max(0.0)).unwrap_or(Duration::MAX / 4);
            self.ctx.clock.sleep(wait.saturating_add(Duration::from_nanos(1))).await;
        }
    }

    /// Forgets what fell due before now.
    fn pace_from_here(&mut self) {
        self.start = self.ctx.clock.monotonic();
        self.paced_from = self.index;
    }
}

#[async_trait]
impl Source for Generator {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        let stored = positions.iter().find(|(partition, _)| *partition == self.partition);
        self.index = stored.and_then(|(_, position)| position.as_u64()).unwrap_or(0);
        self.pace_from_here();
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        if self.index >= self.count {
            return Ok(false);
        }
        let records = self.due().await.min(self.count - self.index);
        let time = self.time();
        batch.expects_json = self.expects_json;
        let end = self.index + records;
        while self.index < end && !self.ctx.is_full(batch.len(), batch.text.len()) {
            let start = batch.text.len() as u32;
            self.template.append(self.seed, self.index, time.as_bytes(), &mut batch.text);
            batch.push_span(start, batch.text.len() as u32, 0, self.index);
            batch.text.push(b'\n');
            self.index += 1;
        }
        batch.push_origin(self.partition.clone(), self.index.into());
        Ok(true)
    }

    fn lag(&self) -> Option<u64> {
        (self.count < u64::MAX).then(|| self.count.saturating_sub(self.index))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::Timestamp;
    use levada_runtime::VirtualClock;

    use super::*;
    use crate::sources::testing::{context_with, settings, texts};

    fn generator(json: serde_json::Value) -> (Generator, std::sync::Arc<VirtualClock>) {
        let (spec, report) = settings::<Spec>(json);
        assert_eq!(texts(&report), [""; 0]);
        let clock = VirtualClock::new(Timestamp(1_770_460_200_000_000_000));
        let ctx = BuildContext { batch_bytes: 512 << 10, ..context_with(clock.clone()) };
        (Generator::new(spec, &ctx).unwrap(), clock)
    }

    async fn batch(generator: &mut Generator) -> Option<RecordBatch> {
        let mut batch = RecordBatch::new();
        generator.next(&mut batch).await.unwrap().then_some(batch)
    }

    async fn all(generator: &mut Generator) -> Vec<String> {
        let mut records = Vec::new();
        while let Some(batch) = batch(generator).await {
            assert!(!batch.is_empty() && batch.len() <= 2000);
            assert_eq!(batch.origins.len(), 1);
            records.extend(
                (0..batch.len()).map(|i| String::from_utf8(batch.payload(i).into_owned()).unwrap()),
            );
            assert_eq!(batch.origins[0].position, generator.index);
        }
        records
    }

    #[tokio::test]
    async fn the_default_records_are_json_and_the_same_for_the_same_seed() {
        let (mut generator, _) = generator(serde_json::json!({"count": 5000}));
        assert!(generator.expects_json);
        let records = all(&mut generator).await;
        assert_eq!(records.len(), 5000);
        for (index, record) in records.iter().enumerate() {
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            assert_eq!(record["id"], index);
            assert_eq!(record["time"], "2026-02-07T10:30:00Z");
        }
        let (mut again, _) = super::tests::generator(serde_json::json!({"count": 5000, "seed": 1}));
        assert_eq!(all(&mut again).await, records);
        let (mut other, _) = super::tests::generator(serde_json::json!({"count": 5000, "seed": 2}));
        assert_ne!(all(&mut other).await, records);
    }

    #[tokio::test]
    async fn a_resumed_generator_goes_on_with_the_same_sequence() {
        let json = serde_json::json!({"count": 100, "template": "  {{index}} {{uuid}}\n"});
        let (mut generator, _) = generator(json);
        assert!(!generator.expects_json);
        let records = all(&mut generator).await;
        generator.open(&[(PARTITION.into(), 40.into())]).await.unwrap();
        assert_eq!(generator.lag(), Some(60));
        assert_eq!(all(&mut generator).await, records[40..]);
        generator.open(&[(PARTITION.into(), 100.into())]).await.unwrap();
        assert!(batch(&mut generator).await.is_none());
        generator.open(&[]).await.unwrap();
        assert_eq!(all(&mut generator).await, records);
    }

    #[tokio::test]
    async fn the_rate_follows_the_clock() {
        let json = serde_json::json!({"rate": 10, "template": "{{index}}"});
        let (mut generator, clock) = generator(json);
        generator.open(&[]).await.unwrap();
        assert_eq!(batch(&mut generator).await.unwrap().len(), 1);
        assert!(is_waiting(&mut generator).await);
        clock.advance(Duration::from_millis(350));
        assert_eq!(batch(&mut generator).await.unwrap().len(), 3);
        assert!(is_waiting(&mut generator).await);
        // Nobody asked for a while: at most the records of one second are made up for.
        clock.advance(Duration::from_secs(3600));
        assert_eq!(batch(&mut generator).await.unwrap().len(), 11);
        clock.advance(Duration::from_millis(100));
        assert!(batch(&mut generator).await.unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn a_rate_below_one_waits_longer() {
        let (mut generator, clock) = generator(serde_json::json!({"rate": 0.1, "count": 2}));
        generator.open(&[]).await.unwrap();
        assert_eq!(batch(&mut generator).await.unwrap().len(), 1);
        clock.advance(Duration::from_secs(9));
        assert!(is_waiting(&mut generator).await);
        clock.advance(Duration::from_secs(2));
        assert_eq!(batch(&mut generator).await.unwrap().len(), 1);
        assert!(batch(&mut generator).await.is_none());
    }

    async fn is_waiting(generator: &mut Generator) -> bool {
        tokio::select! {
            biased;
            _ = batch(generator) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn large_records_make_smaller_batches() {
        let template = format!("{{{{index}}}}{}", "x".repeat(300 << 10));
        let (mut generator, _) = generator(serde_json::json!({"count": 5, "template": template}));
        assert_eq!(batch(&mut generator).await.unwrap().len(), 2);
        assert_eq!(all(&mut generator).await.len(), 3);
    }

    #[tokio::test]
    async fn a_batch_holds_no_more_records_than_the_flow_wants() {
        let (mut generator, _) = generator(serde_json::json!({"count": 3, "template": "x"}));
        generator.ctx.batch_records = 1;
        for _ in 0..3 {
            assert_eq!(batch(&mut generator).await.unwrap().len(), 1);
        }
        assert!(batch(&mut generator).await.is_none());
    }

    #[test]
    fn settings_are_checked() {
        let json = serde_json::json!({"rate": 0, "template": "{{nope}}", "counts": 1});
        let (spec, mut report) = settings::<Spec>(json);
        spec.check(&FieldPath::field("config"), &mut report);
        let found = texts(&report);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("unknown field `counts`"));
        assert!(found[1].starts_with("config.rate: Invalid value: 0"), "{}", found[1]);
        assert!(found[2].starts_with("config.template: Invalid value: unknown placeholder `nope`"));
        let mut report = Report::new();
        Spec::default().check(&FieldPath::root(), &mut report);
        assert_eq!(texts(&report), [""; 0]);
    }
}
