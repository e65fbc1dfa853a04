//! Queues on a real disk, with their threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_codec::compression::Compression;
use levada_gateway::metrics::QueueFamilies;
use levada_gateway::wal::{
    AppendError, Attributes, Categories, DropReason, Encoding, Keep, OpenError, Outcome, Queue,
    QueueSettings, Receipt, Record, Sync, WhenFull,
};
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_telemetry::metrics::Registry;

const PATIENCE: Duration = Duration::from_secs(30);

fn settings() -> QueueSettings {
    QueueSettings { age_max: None, reserve_bytes: 64 << 10, ..QueueSettings::default() }
}

fn open(folder: &Path, settings: QueueSettings) -> Queue {
    try_open(folder, settings).unwrap()
}

fn try_open(folder: &Path, settings: QueueSettings) -> Result<Queue, OpenError> {
    let clock: Arc<dyn Clock> = SystemClock::new();
    Queue::open(folder, "team-a", settings, &Tasks::new(), clock)
}

fn record(id: u64) -> Record {
    let mut body = id.to_le_bytes().to_vec();
    body.extend([b'x'; 1_000]);
    Record {
        category: Category::Logging,
        points: 10,
        raw_bytes: 5_000,
        packed_at: Timestamp(1_700_000_000_000_000_000),
        encoding: Encoding::LineProtocol,
        compression: Compression::Gzip,
        attributes: Attributes::new([("X-Pkg-Id", "dwpkg_1")]).unwrap(),
        body: Bytes::from(body),
    }
}

fn id_of(record: &Record) -> u64 {
    u64::from_le_bytes(record.body[..8].try_into().unwrap())
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not take so long")
}

/// Delivers all that waits; gives the numbers in order.
async fn deliver(queue: &Queue) -> Vec<u64> {
    let mut ids = Vec::new();
    while queue.counts().queued > 0 {
        let lease = soon(queue.next()).await.unwrap();
        ids.push(id_of(lease.record()));
        lease.done(Outcome::Delivered);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), QueueSettings { sync: Sync::Always, ..settings() });
    let appends: Vec<_> = (0..400).map(|id| queue.append(record(id))).collect();
    let receipts = soon(futures_util::future::join_all(appends)).await;
    let mut sequences: Vec<u64> = receipts
        .into_iter()
        .map(|receipt| match receipt.unwrap() {
            Receipt::Kept { sequence } => sequence,
            Receipt::Dropped(reason) => panic!("{reason:?}"),
        })
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..400).collect::<Vec<_>>());
    let io = queue.status().io;
    assert!(io.flushes >= 1 && io.flushes < 100, "{io:?}");
    // Whoever keeps up gets the bodies from memory.
    assert_eq!(deliver(&queue).await.len(), 400);
    assert_eq!(queue.status().io.reads, 0);
    assert!(queue.counts().is_balanced());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_there_after_a_restart() {
    for sync in [Sync::Always, Sync::Interval(Duration::from_millis(20)), Sync::None] {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            QueueSettings { sync, segment_bytes: 16 << 10, memory_bytes_max: 0, ..settings() };
        let queue = open(folder.path(), settings.clone());
        for id in 0..60 {
            soon(queue.append(record(id))).await.unwrap();
        }
        for expected in 0..20 {
            let lease = soon(queue.next()).await.unwrap();
            assert_eq!((id_of(lease.record()), lease.sequence()), (expected, expected));
            assert_eq!(*lease.record(), record(expected));
            lease.done(Outcome::Delivered);
        }
        let held = soon(queue.next()).await.unwrap();
        soon(queue.close()).await;
        drop(held);
        let queue = open(folder.path(), settings);
        let counts = queue.counts();
        assert_eq!((counts.accepted, counts.delivered, counts.queued), (600, 200, 400));
        assert_eq!(deliver(&queue).await, (20..60).collect::<Vec<_>>());
        assert!(queue.status().io.reads > 0);
        soon(queue.close()).await;
        let left = std::fs::read_dir(folder.path()).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let segments = names.filter(|name| name.ends_with(".seg")).count();
        assert_eq!(segments, 1, "spent segments are removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    let error = try_open(folder.path(), settings()).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    soon(queue.append(record(1))).await.unwrap();
    soon(queue.close()).await;
    assert!(matches!(queue.append(record(2)).await, Err(AppendError::Closed)));
    assert!(soon(queue.next()).await.is_none());
    drop(queue);
    let queue = open(folder.path(), settings());
    assert_eq!(queue.counts().queued, 10);
    // Without anybody closing it, the queue ends all the same.
    drop(queue);
    let reopened = soon(async {
        loop {
            match try_open(folder.path(), settings()) {
                Ok(queue) => return queue,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    assert_eq!(reopened.await.counts().queued, 10);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn others_cannot_read_what_waits() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    soon(queue.append(record(1))).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".seg") {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_comes_first_again() {
    let folder = tempfile::tempdir().unwrap();
    let not_kept = Categories::of(&[Category::Metric]);
    let queue = open(folder.path(), QueueSettings { not_kept, ..settings() });
    for id in 0..3 {
        soon(queue.append(record(id))).await.unwrap();
    }
    let first = soon(queue.next()).await.unwrap();
    first.done(Outcome::Retry);
    let first = soon(queue.next()).await.unwrap();
    assert_eq!((id_of(first.record()), first.attempts()), (0, 1));
    drop(first);
    let first = soon(queue.next()).await.unwrap();
    assert_eq!((id_of(first.record()), first.attempts()), (0, 1), "nobody tried it");
    first.done(Outcome::Delivered);
    assert_eq!(deliver(&queue).await, [1, 2]);
    // The original does not keep some categories when sending fails.
    soon(queue.append(Record { category: Category::Metric, ..record(3) })).await.unwrap();
    soon(queue.next()).await.unwrap().done(Outcome::Retry);
    let counts = queue.counts();
    assert_eq!((counts.queued, counts.dropped_for(DropReason::NotKept)), (0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_makes_writers_wait() {
    for keep in [Keep::Disk, Keep::Memory] {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path(), QueueSettings { keep, bytes_max: 40_000, ..settings() });
        let mut taken = 0;
        while queue.try_append(record(taken)).await.is_ok() {
            taken += 1;
        }
        assert!((30..40).contains(&taken), "{taken}");
        assert!(matches!(queue.try_append(record(99)).await, Err(AppendError::Full)));
        let waiting = queue.append(record(100));
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "it waits");
        soon(queue.next()).await.unwrap().done(Outcome::Delivered);
        soon(waiting).await.unwrap();
        assert_eq!(deliver(&queue).await.last(), Some(&100));
        let large = Record { body: Bytes::from(vec![0; 50_000]), ..record(1) };
        assert!(matches!(queue.append(large).await, Err(AppendError::TooLarge { .. })));
        assert!(queue.counts().is_balanced());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_waits_hears_that_the_queue_closed() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), QueueSettings { bytes_max: 8_000, ..settings() });
    while queue.try_append(record(0)).await.is_ok() {}
    let waits = queue.append(record(1));
    let (result, ()) = soon(async { tokio::join!(waits, queue.close()) }).await;
    assert!(matches!(result, Err(AppendError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_when_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    soon(queue.append(record(1))).await.unwrap();
    soon(queue.append(record(2))).await.unwrap();
    queue.drain();
    assert!(matches!(queue.append(record(3)).await, Err(AppendError::Closed)));
    let first = soon(queue.next()).await.unwrap();
    let second = soon(queue.next()).await.unwrap();
    let end = queue.next();
    tokio::pin!(end);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut end).await;
    assert!(early.is_err(), "one may come back");
    first.done(Outcome::Retry);
    let again = soon(&mut end).await.unwrap();
    again.done(Outcome::Delivered);
    second.done(Outcome::Delivered);
    assert!(soon(queue.next()).await.is_none());
    assert_eq!(queue.counts().delivered, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_replayed_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    for id in 0..4 {
        soon(queue.append(record(id))).await.unwrap();
    }
    for _ in 0..3 {
        let lease = soon(queue.next()).await.unwrap();
        let reason = format!("400 Bad Request {}", id_of(lease.record()));
        lease.done(Outcome::DeadLetter { reason, otherwise: DropReason::Http4xx });
    }
    // Half of it fits, a part is too large, and the rest is refused.
    let lease = soon(queue.next()).await.unwrap();
    let part = Record { points: 3, ..record(3) };
    let letter = Some((part.clone(), "413".to_owned()));
    let dropped = vec![(DropReason::TooLarge, 2)];
    lease.done(Outcome::Parts { delivered: 5, dropped, letter });
    soon(async {
        while queue.dead_letters().len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let letters = queue.dead_letters();
    assert_eq!(letters[1].reason, "400 Bad Request 1");
    assert_eq!((letters[3].points, letters[3].category), (3, Category::Logging));
    let counts = queue.counts();
    assert_eq!((counts.dead_lettered, counts.delivered, counts.queued), (33, 5, 0));
    assert!(counts.is_balanced(), "{counts:?}");

    soon(queue.close()).await;
    drop(queue);
    let queue = open(folder.path(), settings());
    assert_eq!(queue.dead_letters(), letters, "they are there after a restart");
    assert_eq!(queue.counts(), counts);
    soon(queue.dead_letter_replay(letters[3].sequence)).await.unwrap();
    soon(queue.dead_letter_replay(letters[0].sequence)).await.unwrap();
    soon(queue.dead_letter_drop(letters[1].sequence)).await.unwrap();
    let error = soon(queue.dead_letter_drop(letters[1].sequence)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no dead letter 1");
    let lease = soon(queue.next()).await.unwrap();
    assert_eq!(*lease.record(), part);
    lease.done(Outcome::Delivered);
    assert_eq!(deliver(&queue).await, [0]);
    let counts = queue.counts();
    assert_eq!((counts.accepted, counts.delivered, counts.dead_lettered), (40, 18, 10));
    assert_eq!(counts.dropped_for(DropReason::DeadLetterDropped), 10);
    assert!(counts.is_balanced(), "{counts:?}");

    // One that was damaged on the disk is counted when somebody wants it.
    let path = folder.path().join("dead-letters").join(format!("{:020}.letter", 2));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = soon(queue.dead_letter_replay(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "dead letter 2 is damaged");
    let counts = queue.counts();
    assert_eq!((counts.dead_lettered, counts.dropped_for(DropReason::Corrupt)), (0, 10));
    assert!(counts.is_balanced());
    assert_eq!(soon(queue.quarantined()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letter_store_has_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), QueueSettings { dead_letters_max: 2, ..settings() });
    for id in 0..5 {
        soon(queue.append(record(id))).await.unwrap();
        let lease = soon(queue.next()).await.unwrap();
        lease
            .done(Outcome::DeadLetter { reason: "x".repeat(5_000), otherwise: DropReason::Poison });
        soon(async {
            while queue.counts().queued > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    let letters = queue.dead_letters();
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(letters[0].reason.len(), 1_024);
    let counts = queue.counts();
    assert_eq!(counts.dropped_for(DropReason::DeadLetterFull), 30);
    assert!(counts.is_balanced());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_memory_says_what_it_loses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing");
    let when_full = WhenFull::DropOld;
    let settings = QueueSettings { keep: Keep::Memory, bytes_max: 20_000, when_full, ..settings() };
    let queue = open(&path, settings);
    for id in 0..30 {
        soon(queue.append(record(id))).await.unwrap();
    }
    let lease = soon(queue.next()).await.unwrap();
    assert_eq!(*lease.record(), record(id_of(lease.record())));
    lease.done(Outcome::DeadLetter { reason: String::new(), otherwise: DropReason::Http4xx });
    let counts = queue.counts();
    let old = counts.dropped_for(DropReason::QueueFull);
    assert!(old > 100 && counts.dropped_for(DropReason::Http4xx) == 10, "{counts:?}");
    soon(queue.close()).await;
    let counts = queue.counts();
    assert_eq!(counts.dropped_for(DropReason::Shutdown), 300 - old - 10);
    assert!(counts.is_balanced() && counts.queued == 0, "{counts:?}");
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_destinations_drop_is_shown_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    soon(queue.append(record(0))).await.unwrap();
    soon(queue.next()).await.unwrap().done(Outcome::Dropped(DropReason::Poison));
    // As many as one metric may have.
    let registry = Registry::with_series_max(20);
    let families = QueueFamilies::new(&registry).unwrap();
    for number in 0..20 {
        families.of(&format!("team-{number}")).show(&queue.status());
    }
    let text = registry.render();
    for number in 0..20 {
        let line = format!(
            r#"levada_gateway_dropped_points_total{{destination="team-{number}",reason="poison"}} 10"#
        );
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let reasons =
        text.lines().filter(|shown| shown.starts_with("levada_gateway_dropped_points_total{"));
    assert_eq!(reasons.count(), 20 * DropReason::ALL.len());
    assert!(!text.contains(r#"destination="other""#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), settings());
    for id in 0..3 {
        soon(queue.append(record(id))).await.unwrap();
    }
    soon(queue.next()).await.unwrap().done(Outcome::Delivered);
    soon(queue.next()).await.unwrap().done(Outcome::Dropped(DropReason::Poison));
    let registry = Registry::new();
    let families = QueueFamilies::new(&registry).unwrap();
    let mut metrics = families.of("team-a");
    metrics.show(&queue.status());
    metrics.show(&queue.status());
    let text = registry.render();
    for line in [
        r#"levada_gateway_accepted_points_total{destination="team-a"} 30"#,
        r#"levada_gateway_delivered_points_total{destination="team-a"} 10"#,
        r#"levada_gateway_dropped_points_total{destination="team-a",reason="poison"} 10"#,
        r#"levada_gateway_dead_letter_points{destination="team-a"} 0"#,
        r#"levada_gateway_queued_points{destination="team-a"} 10"#,
        r#"levada_gateway_queue_records{destination="team-a"} 1"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}
