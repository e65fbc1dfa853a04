//! What every sink must do.
//!
//! - It answers for each record once, and what it delivered is there after `sync` and `close`.
//! - A record that it cannot take is rejected by its index; the others pass.
//! - A target that is away is a transient error; opened again, the sink loses nothing.
//! - A slow target makes it wait: it does not pile up what it is given.
//! - A batch written twice is there twice, or once where the type promises that.
//! - A write that is dropped leaves nothing torn, and what is written again is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use levada_connectors::{Outcomes, Sink};
use levada_model::RecordBatch;

use super::{Can, applies, give_up_after, in_time, payloads};
use crate::seeded::Random;

/// How a sink type is set up.
#[async_trait]
pub trait SinkHarness: Send + Sync {
    /// The type, and the variant if there are several.
    fn name(&self) -> String;

    /// What the type can do.
    fn abilities(&self) -> Abilities;

    /// Prepares an empty target.
    async fn scene(&self) -> Box<dyn SinkScene>;
}

/// What a sink type can do.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// What arrived can be read back.
    pub reads_back: Can,
    /// There are records that it must reject; [`SinkScene::poison`] gives one.
    pub has_poison: Can,
    /// Its target can be away.
    pub disconnects: Can,
    /// Its target can be slow.
    pub slows: Can,
    /// Records that it takes while the target stands still, at most.
    pub ahead_max: u64,
    /// What is written after a restart joins what was there before.
    pub restarts: Can,
    /// A batch that is written twice is there once.
    pub is_idempotent: bool,
}

/// What the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Takes everything.
    Well,
    /// Is away, or says that it cannot now.
    Away,
    /// Stands still.
    Slow,
}

/// A target and the sink that writes to it.
#[async_trait]
pub trait SinkScene: Send {
    /// Makes a sink to the same target, as a process that starts anew does.
    async fn sink(&mut self) -> Box<dyn Sink>;

    /// Gives what arrived, each record as it is; a torn one shows as something that was never written.
    async fn arrived(&mut self) -> Vec<Vec<u8>>;

    /// Changes what the target does.
    async fn set(&mut self, _target: Target) {}

    /// Gives a payload that the sink must reject.
    fn poison(&self) -> Vec<u8> {
        Vec::new()
    }
}

fn batch_of(payloads: &[Vec<u8>]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("conformance".into(), payloads.len().into());
    for (index, payload) in payloads.iter().enumerate() {
        batch.push(payload, origin, index as u64);
    }
    batch
}

/// Checks that no record is answered for twice, and gives which are not.
fn unresolved(outcomes: &Outcomes, count: usize) -> Vec<usize> {
    let mut answers = vec![0; count];
    for range in outcomes.delivered_ranges() {
        for answer in &mut answers[range.clone()] {
            *answer += 1;
        }
    }
    for (index, _) in outcomes.rejected_records() {
        answers[*index] += 1;
    }
    assert!(answers.iter().all(|&answer| answer <= 1), "a record was answered for twice");
    (0..count).filter(|&index| answers[index] == 0).collect()
}

/// Writes like the engine: repeats what failed for a passing reason, splits what holds a bad record.
///
/// Gives the indices that were rejected. `between` runs before each repetition.
async fn deliver(
    sink: &mut dyn Sink,
    payloads: &[Vec<u8>],
    mut between: impl AsyncFnMut(),
) -> Vec<usize> {
    let mut rejected = Vec::new();
    let mut parts: Vec<Vec<usize>> = vec![(0..payloads.len()).collect()];
    let mut tries = 0;
    while let Some(part) = parts.pop() {
        let chosen: Vec<Vec<u8>> = part.iter().map(|&index| payloads[index].clone()).collect();
        let batch = batch_of(&chosen);
        let mut outcomes = Outcomes::default();
        let result = in_time("write", sink.write(&batch, &mut outcomes)).await;
        rejected.extend(outcomes.rejected_records().iter().map(|(index, _)| part[*index]));
        let rest: Vec<usize> =
            unresolved(&outcomes, part.len()).into_iter().map(|index| part[index]).collect();
        match result {
            Ok(()) => assert!(rest.is_empty(), "no answer for {} records", rest.len()),
            Err(error) if error.class.is_transient() => {
                tries += 1;
                assert!(tries < 100, "does not pass: {error}");
                between().await;
                parts.push(rest);
            }
            Err(error) if error.is_about_records && rest.len() == 1 => {
                assert!(!error.to_string().is_empty());
                rejected.push(rest[0]);
            }
            Err(error) if error.is_about_records => {
                let (low, high) = rest.split_at(rest.len() / 2);
                parts.extend([high.to_vec(), low.to_vec()]);
            }
            Err(error) => panic!("{:?} stops the flow: {error}", error.class),
        }
    }
    rejected.sort_unstable();
    rejected
}

async fn open(sink: &mut dyn Sink) {
    in_time("open", sink.open()).await.expect("the sink opens");
}

async fn close(sink: &mut dyn Sink) {
    in_time("close", sink.close()).await.expect("the sink closes");
}

/// Checks that each payload arrived as often as it should; nothing else may be there.
#[track_caller]
fn check(arrived: Vec<Vec<u8>>, wanted: &[Vec<u8>], times: Range<u64>) {
    let mut counts: BTreeMap<&[u8], u64> = wanted.iter().map(|payload| (&payload[..], 0)).collect();
    for payload in &arrived {
        match counts.get_mut(&payload[..]) {
            Some(count) => *count += 1,
            None => panic!("torn or strange: `{}`", String::from_utf8_lossy(payload)),
        }
    }
    let wrong = counts.iter().find(|(_, count)| !times.contains(count));
    if let Some((payload, count)) = wrong {
        let payload: String = String::from_utf8_lossy(payload).chars().take(60).collect();
        panic!("`{payload}` arrived {count} times and not {times:?}");
    }
}

/// Case: every record is answered for, and is there when the sink is closed; also of an empty batch.
pub async fn delivers_everything(harness: &dyn SinkHarness) {
    let mut scene = harness.scene().await;
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    let all = payloads(2500, 200);
    for part in all.chunks(400) {
        assert_eq!(deliver(&mut *sink, part, async || {}).await, [0; 0]);
        assert_eq!(deliver(&mut *sink, &[], async || {}).await, [0; 0]);
        in_time("sync", sink.sync()).await.expect("sync");
    }
    close(&mut *sink).await;
    if applies(&harness.name(), "reading back", harness.abilities().reads_back) {
        check(scene.arrived().await, &all, 1..2);
    }
}

/// Case: a record that cannot be taken is rejected by its index, and the others arrive.
pub async fn rejects_poison(harness: &dyn SinkHarness) {
    if !applies(&harness.name(), "poison", harness.abilities().has_poison) {
        return;
    }
    for at in [0, 42, 99] {
        let mut scene = harness.scene().await;
        let mut sink = scene.sink().await;
        open(&mut *sink).await;
        let mut all = payloads(100, 100);
        all[at] = scene.poison();
        assert_eq!(deliver(&mut *sink, &all, async || {}).await, [at]);
        close(&mut *sink).await;
        all.remove(at);
        check(scene.arrived().await, &all, 1..2);
    }
}

/// Case: the target is away for a while; the error is transient, and everything arrives in the end.
pub async fn survives_a_target_that_is_away(harness: &dyn SinkHarness) {
    if !applies(&harness.name(), "disconnect", harness.abilities().disconnects) {
        return;
    }
    let mut scene = harness.scene().await;
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    let all = payloads(600, 100);
    deliver(&mut *sink, &all[..200], async || {}).await;
    scene.set(Target::Away).await;
    let batch = batch_of(&all[200..400]);
    let mut outcomes = Outcomes::default();
    let error = in_time("write", sink.write(&batch, &mut outcomes)).await.expect_err("it is away");
    assert!(error.class.is_transient(), "{:?} is not tried again: {error}", error.class);
    let rest: Vec<Vec<u8>> =
        unresolved(&outcomes, 200).into_iter().map(|index| all[200 + index].clone()).collect();
    assert!(!rest.is_empty(), "an error, and nothing that it concerns");
    let mut tries = 0;
    deliver(&mut *sink, &rest, async || {
        tries += 1;
        if tries == 2 {
            scene.set(Target::Well).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    })
    .await;
    deliver(&mut *sink, &all[400..], async || {}).await;
    close(&mut *sink).await;
    let most = if harness.abilities().is_idempotent { 2 } else { u64::MAX };
    check(scene.arrived().await, &all, 1..most);
}

/// Case: the target stands still; the sink takes a bounded number of records, then waits, then goes on.
pub async fn waits_for_a_slow_target(harness: &dyn SinkHarness) {
    let abilities = harness.abilities();
    if !applies(&harness.name(), "back-pressure", abilities.slows) {
        return;
    }
    let mut scene = harness.scene().await;
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    scene.set(Target::Slow).await;
    let mut all = Vec::new();
    let mut taken = 0;
    let mut is_stalled = false;
    while !is_stalled {
        let part: Vec<Vec<u8>> = (0..100)
            .map(|index| format!("{{\"id\":{}}}", all.len() + index).into_bytes())
            .collect();
        let batch = batch_of(&part);
        let mut outcomes = Outcomes::default();
        let failed = {
            let mut write = std::pin::pin!(sink.write(&batch, &mut outcomes));
            let result = tokio::select! {
                result = &mut write => result,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    is_stalled = true;
                    scene.set(Target::Well).await;
                    in_time("write", write).await
                }
            };
            result.err()
        };
        if let Some(error) = failed {
            assert!(error.class.is_transient(), "{:?} is not tried again: {error}", error.class);
            is_stalled = true;
            scene.set(Target::Well).await;
            let rest: Vec<Vec<u8>> =
                unresolved(&outcomes, 100).into_iter().map(|index| part[index].clone()).collect();
            deliver(&mut *sink, &rest, async || {}).await;
        }
        all.extend(part);
        if !is_stalled {
            taken += 100;
            let most = abilities.ahead_max;
            assert!(taken <= most, "{taken} records were taken and the target stands still");
        }
    }
    close(&mut *sink).await;
    let most = if abilities.is_idempotent { 2 } else { u64::MAX };
    check(scene.arrived().await, &all, 1..most);
}

/// Case: the same batch twice, as after a crash, is what the type promises.
pub async fn keeps_its_promise_on_duplicates(harness: &dyn SinkHarness) {
    let abilities = harness.abilities();
    if !applies(&harness.name(), "duplicate", abilities.reads_back) {
        return;
    }
    let mut scene = harness.scene().await;
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    let all = payloads(300, 100);
    for _ in 0..2 {
        deliver(&mut *sink, &all, async || {}).await;
    }
    close(&mut *sink).await;
    let times = if abilities.is_idempotent { 1..2 } else { 2..3 };
    check(scene.arrived().await, &all, times);
}

/// Case: what was made durable is there after a process ended without closing, and more joins it.
pub async fn keeps_what_was_synced(harness: &dyn SinkHarness) {
    if !applies(&harness.name(), "restart", harness.abilities().restarts) {
        return;
    }
    let mut scene = harness.scene().await;
    let all = payloads(900, 100);
    for part in all.chunks(300) {
        let mut sink = scene.sink().await;
        open(&mut *sink).await;
        deliver(&mut *sink, part, async || {}).await;
        in_time("sync", sink.sync()).await.expect("sync");
        // No close: the process was killed.
        drop(sink);
    }
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    close(&mut *sink).await;
    check(scene.arrived().await, &all, 1..2);
}

/// Case: writes are dropped at random moments, as when a flow is stopped at once; nothing is torn, and
/// what is written again is there.
pub async fn survives_dropped_writes(harness: &dyn SinkHarness) {
    let abilities = harness.abilities();
    if !applies(&harness.name(), "shutdown while writing", abilities.restarts) {
        return;
    }
    let mut random = Random::new(41);
    let mut scene = harness.scene().await;
    let all = payloads(1000, 500);
    for part in all.chunks(100) {
        let mut sink = scene.sink().await;
        open(&mut *sink).await;
        let batch = batch_of(part);
        let mut outcomes = Outcomes::default();
        let written =
            give_up_after(1 + random.below(3), sink.write(&batch, &mut outcomes)).await.is_some();
        let resolved = unresolved(&outcomes, part.len()).len();
        assert!(!written || resolved == 0, "no answer for {resolved} records");
        // The engine makes durable what it can, and the process ends.
        in_time("sync", sink.sync()).await.expect("sync");
        drop(sink);
        let mut sink = scene.sink().await;
        open(&mut *sink).await;
        deliver(&mut *sink, part, async || {}).await;
        in_time("sync", sink.sync()).await.expect("sync");
    }
    let mut sink = scene.sink().await;
    open(&mut *sink).await;
    close(&mut *sink).await;
    let most = if abilities.is_idempotent { 2 } else { 3 };
    check(scene.arrived().await, &all, 1..most);
}

/// Makes a module of tests that run every case on a harness.
///
/// ```text
/// levada_testkit::sink_suite!(ndjson, FileHarness::new("ndjson"));
/// ```
#[macro_export]
macro_rules! sink_suite {
    ($name:ident, $harness:expr) => {
        mod $name {
            use super::*;
            $crate::sink_suite!(@case $harness, delivers_everything);
            $crate::sink_suite!(@case $harness, rejects_poison);
            $crate::sink_suite!(@case $harness, survives_a_target_that_is_away);
            $crate::sink_suite!(@case $harness, waits_for_a_slow_target);
            $crate::sink_suite!(@case $harness, keeps_its_promise_on_duplicates);
            $crate::sink_suite!(@case $harness, keeps_what_was_synced);
            $crate::sink_suite!(@case $harness, survives_dropped_writes);
        }
    };
    (@case $harness:expr, $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::conformance::sink::$case(&$harness).await;
        }
    };
}
