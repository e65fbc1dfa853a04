//! What every source must do.
//!
//! - It hands out every record once, in batches that are bounded, each with an origin.
//! - A record that cannot be read is reported where it stands; the others pass.
//! - Opened at any position that it gave out, it hands out exactly the rest.
//! - `next` can be dropped at any moment: the next call gives what this one would have given.
//! - A connection that breaks is a transient error; opened again, the source loses nothing.
//! - What nobody asks for it does not pile up.

use std::collections::BTreeMap;

use async_trait::async_trait;
use levada_connectors::{Source, SourceError};
use levada_model::{Position, RecordBatch, Str};

use super::{Can, applies, give_up_after, in_time};
use crate::seeded::Random;
use crate::wait;

/// Text of one batch at most: the largest that any source of ours hands out, a large record aside.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// How a source type is set up.
#[async_trait]
pub trait SourceHarness: Send + Sync {
    /// The type, and the variant if there are several.
    fn name(&self) -> String;

    /// What the type can do.
    fn abilities(&self) -> Abilities;

    /// Prepares known records.
    async fn scene(&self, plan: Plan) -> Box<dyn SourceScene>;
}

/// What a scene must offer.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many records there are.
    pub records: usize,
    /// About how long each is.
    pub bytes: usize,
    /// The record with this index cannot be read.
    pub poison: Option<usize>,
}

/// What a source type can do.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// It ends by itself behind the last record.
    pub ends: Can,
    /// It can go back to a position.
    pub resumes: Can,
    /// There are records that it cannot read.
    pub has_poison: Can,
    /// Its connection can break.
    pub disconnects: Can,
    /// Somebody else sends, and must be held back; [`SourceScene::taken`] tells.
    pub holds_back: Can,
    /// Records that it takes ahead of the consumer at most.
    pub ahead_max: u64,
}

/// Known records and the source that reads them.
#[async_trait]
pub trait SourceScene: Send {
    /// Makes a source over the same records, as a process that starts anew does.
    async fn source(&mut self) -> Box<dyn Source>;

    /// Gives the payloads that must come; for types whose records nobody knows, nothing.
    fn expected(&self) -> Option<Vec<Vec<u8>>>;

    /// Starts sending, where somebody must; called when the source is open.
    async fn begin(&mut self) {}

    /// Breaks the connection.
    async fn disconnect(&mut self) {}

    /// Gives how many records the source has taken from whoever sends.
    fn taken(&self) -> u64 {
        0
    }
}

impl Default for Plan {
    /// Some batches of records of half a kilobyte.
    fn default() -> Self {
        Plan { records: 3000, bytes: 500, poison: None }
    }
}

/// Positions by partition.
type Positions = BTreeMap<Str, Position>;

/// What a source handed out.
#[derive(Default)]
struct Seen {
    payloads: Vec<Vec<u8>>,
    /// Indices of records that could not be read.
    broken: Vec<usize>,
    /// Number of records, and where to go on behind them.
    marks: Vec<(usize, Positions)>,
    positions: Positions,
    has_ended: bool,
}

impl Seen {
    fn take(&mut self, batch: &mut RecordBatch) {
        let text = batch.payload_bytes() as usize;
        assert!(batch.len() <= 1 || text <= BATCH_BYTES_MAX, "a batch of {text} bytes");
        let before = self.payloads.len();
        let mut last = 0;
        for index in 0..batch.len() {
            let origin = batch.records[index].origin;
            assert!((origin as usize) < batch.origins.len(), "a record without an origin");
            assert!(origin >= last, "records are not in the order of their origins");
            last = origin;
            let is_broken = batch.broken(index).is_some()
                || (batch.expects_json && batch.parse(index).is_err());
            if is_broken {
                self.broken.push(self.payloads.len());
            }
            self.payloads.push(batch.payload(index).into_owned());
        }
        for (number, origin) in batch.origins.iter().enumerate() {
            let records = batch.records.iter().filter(|record| record.origin as usize <= number);
            self.positions.insert(origin.partition.clone(), origin.position.clone());
            self.marks.push((before + records.count(), self.positions.clone()));
        }
    }

    fn check(&self, scene: &dyn SourceScene) {
        match scene.expected() {
            Some(expected) => same(&self.payloads, &expected),
            None => assert!(!self.payloads.is_empty(), "no record came"),
        }
    }
}

#[track_caller]
fn same(got: &[Vec<u8>], wanted: &[Vec<u8>]) {
    let differs =
        (0..got.len().max(wanted.len())).find(|&index| got.get(index) != wanted.get(index));
    if let Some(index) = differs {
        let show = |list: &[Vec<u8>]| {
            list.get(index)
                .map(|bytes| String::from_utf8_lossy(bytes).chars().take(60).collect::<String>())
        };
        let (got, wanted, counts) = (show(got), show(wanted), (got.len(), wanted.len()));
        panic!("record {index} is {got:?} and not {wanted:?}; {counts:?} records came and should");
    }
}

fn list(positions: &Positions) -> Vec<(Str, Position)> {
    positions.iter().map(|(name, at)| (name.clone(), at.clone())).collect()
}

async fn open(source: &mut dyn Source, positions: &Positions) {
    in_time("open", source.open(&list(positions))).await.expect("the source opens");
}

/// Reads until `count` records came, or the source ended.
async fn read(source: &mut dyn Source, seen: &mut Seen, count: usize) -> Result<(), SourceError> {
    let mut batch = RecordBatch::new();
    while seen.payloads.len() < count && !seen.has_ended {
        batch.clear();
        if in_time("next", source.next(&mut batch)).await? {
            seen.take(&mut batch);
        } else {
            assert!(batch.is_empty(), "the source has ended and hands out records");
            seen.has_ended = true;
        }
    }
    Ok(())
}

/// How many records a case waits for: as many as there are, and one more where the source says that it
/// has ended, so that a record too much shows.
fn wanted(harness: &dyn SourceHarness, scene: &dyn SourceScene) -> usize {
    match (harness.abilities().ends, scene.expected()) {
        (Ok(()), _) => usize::MAX,
        (Err(_), Some(expected)) => expected.len(),
        (Err(_), None) => 1,
    }
}

/// Case: every record comes once, in order, and positions are accepted back.
pub async fn hands_out_everything(harness: &dyn SourceHarness) {
    let mut scene = harness.scene(Plan::default()).await;
    let mut source = scene.source().await;
    open(&mut *source, &Positions::new()).await;
    scene.begin().await;
    let mut seen = Seen::default();
    let count = wanted(harness, &*scene);
    read(&mut *source, &mut seen, count).await.expect("no fault");
    seen.check(&*scene);
    assert!(seen.broken.is_empty(), "good records are reported as broken: {:?}", seen.broken);
    in_time("commit", source.commit(&list(&seen.positions))).await.expect("commit");
    if harness.abilities().ends.is_ok() {
        let mut batch = RecordBatch::new();
        let more = in_time("next", source.next(&mut batch)).await.expect("still ended");
        assert!(!more && batch.is_empty(), "the source goes on behind its end");
    }
}

/// Case: a record that cannot be read is reported where it stands, and the others pass.
pub async fn reports_poison(harness: &dyn SourceHarness) {
    if !applies(&harness.name(), "poison", harness.abilities().has_poison) {
        return;
    }
    for at in [0, 7, 19] {
        let mut scene =
            harness.scene(Plan { records: 20, poison: Some(at), ..Plan::default() }).await;
        let mut source = scene.source().await;
        open(&mut *source, &Positions::new()).await;
        scene.begin().await;
        let mut seen = Seen::default();
        read(&mut *source, &mut seen, 20).await.expect("one bad record stops nobody");
        assert_eq!(seen.payloads.len(), 20);
        assert_eq!(seen.broken, [at], "which records could not be read");
        let mut expected = scene.expected().expect("known records");
        // What there is of the bad record is not compared.
        expected[at].clone_from(&seen.payloads[at]);
        same(&seen.payloads, &expected);
    }
}

/// Case: opened at any position that was given out, a new source and this one hand out the rest.
pub async fn goes_on_from_every_position(harness: &dyn SourceHarness) {
    if !applies(&harness.name(), "restart", harness.abilities().resumes) {
        return;
    }
    let mut scene = harness.scene(Plan::default()).await;
    let count = wanted(harness, &*scene);
    let mut source = scene.source().await;
    open(&mut *source, &Positions::new()).await;
    scene.begin().await;
    let mut seen = Seen::default();
    read(&mut *source, &mut seen, count).await.expect("no fault");
    seen.check(&*scene);
    assert!(!seen.marks.is_empty(), "no position was given out");

    // As many marks as show something, spread over all.
    let step = seen.marks.len().div_ceil(5).max(1);
    for (done, positions) in seen.marks.iter().step_by(step).chain(seen.marks.last()) {
        let rest = seen.payloads.len() - done;
        let mut fresh = scene.source().await;
        for source in [&mut *source, &mut *fresh] {
            open(source, positions).await;
            let mut again = Seen::default();
            let count = if harness.abilities().ends.is_ok() { usize::MAX } else { rest };
            read(source, &mut again, count).await.expect("no fault");
            same(&again.payloads, &seen.payloads[*done..]);
        }
    }
}

/// Case: `next` is dropped at random moments; nothing is lost and nothing comes twice.
pub async fn survives_dropped_calls(harness: &dyn SourceHarness) {
    let mut random = Random::new(31);
    let mut scene = harness.scene(Plan::default()).await;
    let count = wanted(harness, &*scene);
    let mut source = scene.source().await;
    open(&mut *source, &Positions::new()).await;
    scene.begin().await;
    let mut seen = Seen::default();
    let mut batch = RecordBatch::new();
    while seen.payloads.len() < count && !seen.has_ended {
        batch.clear();
        let mut more = None;
        for _ in 0..random.below(4) {
            more = give_up_after(random.below(4), source.next(&mut batch)).await;
            if more.is_some() {
                break;
            }
            // The engine hands the same batch in again.
            let left = (batch.len(), batch.origins.len());
            assert_eq!(left, (0, 0), "a dropped call left records and origins in the batch");
        }
        let more = match more {
            Some(more) => more,
            None => in_time("next", source.next(&mut batch)).await,
        };
        if more.expect("no fault") {
            seen.take(&mut batch);
        } else {
            seen.has_ended = true;
        }
    }
    seen.check(&*scene);
}

/// Case: the connection breaks in the middle; the error is transient, and nothing is lost.
pub async fn survives_a_broken_connection(harness: &dyn SourceHarness) {
    if !applies(&harness.name(), "disconnect", harness.abilities().disconnects) {
        return;
    }
    let mut scene = harness.scene(Plan::default()).await;
    let count = wanted(harness, &*scene);
    let mut source = scene.source().await;
    open(&mut *source, &Positions::new()).await;
    scene.begin().await;
    let mut seen = Seen::default();
    let third = scene.expected().map_or(1, |expected| expected.len() / 3);
    read(&mut *source, &mut seen, third).await.expect("no fault yet");
    scene.disconnect().await;
    let error = read(&mut *source, &mut seen, usize::MAX).await.expect_err("the connection broke");
    assert!(error.class.is_transient(), "{:?} is not tried again: {error}", error.class);
    let mut tries = 0;
    while let Err(error) = in_time("open", source.open(&list(&seen.positions))).await {
        assert!(error.class.is_transient(), "{:?} is not tried again: {error}", error.class);
        tries += 1;
        assert!(tries < 100, "cannot be opened again: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    read(&mut *source, &mut seen, count).await.expect("connected again");
    let mut got = std::mem::take(&mut seen.payloads);
    let mut expected = scene.expected().expect("known records");
    for payloads in [&mut got, &mut expected] {
        payloads.sort();
        payloads.dedup();
    }
    same(&got, &expected);
}

/// Case: nobody asks for records; whoever sends is held back at a bound.
pub async fn holds_back_who_sends(harness: &dyn SourceHarness) {
    let Abilities { holds_back, ahead_max, .. } = harness.abilities();
    if !applies(&harness.name(), "back-pressure", holds_back) {
        return;
    }
    let records = usize::try_from(ahead_max).unwrap_or(usize::MAX / 4) * 4;
    let mut scene = harness.scene(Plan { records, bytes: 100, poison: None }).await;
    let mut source = scene.source().await;
    open(&mut *source, &Positions::new()).await;
    scene.begin().await;
    // The count stands still when it is the same in many looks in a row.
    let (mut last, mut looks) = (0, 0);
    wait::until_async("whoever sends is held back", super::CALL_MAX, || {
        let taken = scene.taken();
        assert!(taken <= ahead_max, "{taken} records were taken and nobody asked for one");
        looks = if taken == last && taken > 0 { looks + 1 } else { 0 };
        last = taken;
        looks >= 60
    })
    .await;
    // And goes on when somebody asks.
    let mut seen = Seen::default();
    read(&mut *source, &mut seen, records).await.expect("no fault");
    seen.check(&*scene);
}

/// Makes a module of tests that run every case on a harness.
///
/// ```text
/// levada_testkit::source_suite!(ndjson, FileHarness::new("ndjson"));
/// ```
#[macro_export]
macro_rules! source_suite {
    ($name:ident, $harness:expr) => {
        mod $name {
            use super::*;
            $crate::source_suite!(@case $harness, hands_out_everything);
            $crate::source_suite!(@case $harness, reports_poison);
            $crate::source_suite!(@case $harness, goes_on_from_every_position);
            $crate::source_suite!(@case $harness, survives_dropped_calls);
            $crate::source_suite!(@case $harness, survives_a_broken_connection);
            $crate::source_suite!(@case $harness, holds_back_who_sends);
        }
    };
    (@case $harness:expr, $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::conformance::source::$case(&$harness).await;
        }
    };
}
