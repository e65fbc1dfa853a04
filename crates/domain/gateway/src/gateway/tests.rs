//! What an answer says about what was taken.

use std::path::Path;
use std::sync::atomic::Ordering;

use levada_codec::compression::Compression;
use levada_model::Category;
use levada_runtime::{Clock, SystemClock};

use super::*;
use crate::rules::Target;
use crate::wal::{Counts, Encoding, Keep, Outcome, QueueSettings, Sync, WhenFull};

struct Bench {
    gateway: Arc<Gateway>,
    tasks: Tasks,
    dir: tempfile::TempDir,
}

/// Bytes of the queue that is small.
const SMALL: u64 = 1_500;

impl Bench {
    /// Makes a gateway with a large queue and a small one; all points go to both.
    fn new(keep: Keep, sync: Sync) -> Self {
        Self::with(keep, sync, [1 << 20, SMALL])
    }

    /// The same, with queues of so many bytes.
    fn with(keep: Keep, sync: Sync, bytes_max: [u64; 2]) -> Self {
        let (tasks, dir) = (Tasks::new(), tempfile::tempdir().unwrap());
        let clock: Arc<dyn Clock> = SystemClock::new();
        let [large, small] = bytes_max;
        let outlets = [("large", large), ("small", small)].map(|(name, bytes_max)| {
            let settings = QueueSettings {
                keep,
                sync,
                bytes_max,
                when_full: WhenFull::Block,
                ..QueueSettings::default()
            };
            let dir = dir.path().join(name);
            let queue = Queue::open(&dir, name, settings, &tasks, clock.clone()).unwrap();
            let form = Form {
                encoding: Encoding::LineProtocol,
                compression: Compression::None,
                has_global_tags: false,
            };
            Outlet { name: name.to_owned(), form, queue }
        });
        let rules = RulesSpec { default: Some(Target::Each(vec![0, 1])), ..RulesSpec::default() };
        let encoder = Arc::new(Encoder::new(Bounds::default(), 7));
        let gateway = Gateway::new(outlets.into(), rules, Bounds::default(), encoder).unwrap();
        Bench { gateway: Arc::new(gateway), tasks, dir }
    }

    async fn write(&self, patience: Option<Duration>) -> Result<Written, WriteError> {
        let body: String = (0..10).map(|n| format!("m,host=h{n} f={n}i\n")).collect();
        let write = Write::lines(Category::Logging, body, SystemClock::new().now());
        self.gateway.write_on(&Way::default(), write, &self.tasks, patience).await
    }

    fn accepted(&self) -> [u64; 2] {
        let counts: Vec<Counts> =
            self.gateway.outlets().iter().map(|outlet| outlet.queue.counts()).collect();
        assert!(counts.iter().all(Counts::is_balanced), "{counts:?}");
        [counts[0].accepted, counts[1].accepted]
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

const MOMENT: Duration = Duration::from_millis(30);

#[tokio::test]
async fn a_write_that_finds_no_room_leaves_nothing_anywhere() {
    for keep in [Keep::Disk, Keep::Memory] {
        let bench = Bench::new(keep, Sync::None);
        let mut taken = 0;
        loop {
            match bench.write(Some(MOMENT)).await {
                Ok(written) => taken += written.points,
                Err(error) => {
                    assert!(matches!(error, WriteError::Full), "{error}");
                    assert_eq!(
                        (error.kind(), error.code()),
                        (levada_model::ErrorKind::Busy, "queueNotAvailable")
                    );
                    break;
                }
            }
        }
        assert!(taken > 0);
        // As often as the client tries, it doubles nothing.
        for _ in 0..3 {
            assert!(bench.write(Some(MOMENT)).await.is_err());
        }
        assert_eq!(bench.accepted(), [taken, taken]);
        let stats = bench.gateway.stats();
        assert_eq!(stats.received.load(Ordering::Relaxed), taken);
        assert_eq!(stats.refused_bodies.load(Ordering::Relaxed), 4);
        assert_eq!(stats.partial_bodies.load(Ordering::Relaxed), 0);
        // With room again, one that waits goes on.
        let (gateway, queue) = (&bench, bench.gateway.outlets()[1].queue.clone());
        let (written, ()) = tokio::join!(gateway.write(None), async {
            tokio::time::sleep(MOMENT).await;
            queue.next().await.unwrap().done(Outcome::Delivered);
        });
        assert_eq!(written.unwrap().points, 10);
        assert_eq!(bench.accepted(), [taken + 10, taken + 10]);
    }
}

#[tokio::test]
async fn many_writers_that_want_the_same_room_all_get_it() {
    let bench = Arc::new(Bench::new(Keep::Disk, Sync::None));
    let queue = bench.gateway.outlets()[1].queue.clone();
    let drain = async {
        let mut delivered = 0;
        while delivered < 500 {
            let lease = queue.next().await.unwrap();
            delivered += u64::from(lease.record().points);
            lease.done(Outcome::Delivered);
        }
    };
    let writers = futures_util::future::join_all((0..50).map(|_| bench.write(None)));
    let both = async { tokio::join!(writers, drain) };
    let (written, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(bench.accepted(), [500, 500]);
}

#[tokio::test]
async fn a_body_that_can_never_fit_is_refused_before_anything_is_taken() {
    let bench = Bench::new(Keep::Disk, Sync::None);
    let body = format!("m f=\"{}\"", "x".repeat(2_000));
    let write = Write::lines(Category::Logging, body, SystemClock::new().now());
    let error = bench.gateway.write(write, &bench.tasks).await.unwrap_err();
    assert_eq!(error.kind(), levada_model::ErrorKind::TooLarge, "{error}");
    assert_eq!(bench.accepted(), [0, 0]);
}

#[tokio::test]
async fn an_error_says_who_has_its_part_when_a_disk_fails() {
    let bench = Bench::new(Keep::Disk, Sync::Always);
    std::fs::remove_dir_all(bench.path("small")).unwrap();
    let error = bench.write(Some(Duration::from_secs(10))).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "destination `small` did not take its part; taken for `large` (10 points), where points are doubled if they are sent again"
    );
    assert_eq!(error.kind(), levada_model::ErrorKind::Unavailable);
    assert_eq!(bench.accepted(), [10, 0]);
    let stats = bench.gateway.stats();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((of(&stats.partial_bodies), of(&stats.partial_copies)), (1, 10));
    assert_eq!((of(&stats.bodies), of(&stats.refused_bodies), of(&stats.copies)), (0, 1, 0));
}

#[tokio::test]
async fn a_writer_that_goes_away_is_counted_for_what_it_brought() {
    let bench = Bench::new(Keep::Disk, Sync::Always);
    {
        let mut write = Box::pin(bench.write(None));
        // Once asked it is on its way to the disk.
        tokio::select! {
            biased;
            _ = &mut write => panic!("nothing is flushed at once"),
            () = std::future::ready(()) => {}
        }
    }
    let written = async {
        while bench.accepted() != [10, 10] {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let stats = bench.gateway.stats();
    assert_eq!((of(&stats.received), of(&stats.copies)), (10, 20));
}

/// A body that is prepared on a thread of its own, and written by it.
fn large(number: usize) -> String {
    let line = |n: usize| format!("m,host=h{number} f={n}i,text=\"{}\"\n", "x".repeat(60));
    (0..1_000).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_bodies_of_many_writers_are_all_in_their_queues() {
    for (keep, sync) in [
        (Keep::Disk, Sync::None),
        (Keep::Disk, Sync::Interval(Duration::from_millis(1))),
        (Keep::Disk, Sync::Always),
        (Keep::Memory, Sync::None),
    ] {
        let bench = Arc::new(Bench::with(keep, sync, [64 << 20; 2]));
        assert!(large(0).len() > INLINE_BYTES_MAX);
        let writes = (0..40).map(|number| {
            let bench = Arc::clone(&bench);
            let write = Write::lines(Category::Logging, large(number), SystemClock::new().now());
            async move { bench.gateway.write(write, &bench.tasks).await }
        });
        let tasks = &bench.tasks;
        let writes: Vec<_> =
            writes.map(|write| tasks.spawn(TaskKind::Gateway, "write", write)).collect();
        for write in futures_util::future::join_all(writes).await {
            let written = write.unwrap().unwrap();
            assert_eq!((written.points, written.copies), (1_000, 2_000));
        }
        assert_eq!(bench.accepted(), [40_000, 40_000]);
        for outlet in bench.gateway.outlets() {
            let mut hosts = std::collections::BTreeMap::<String, u32>::new();
            while let Some(lease) = outlet.queue.try_next() {
                let text = String::from_utf8(lease.record().body.to_vec()).unwrap();
                let host = text[..text.find(' ').unwrap()].to_owned();
                *hosts.entry(host).or_default() += lease.record().points;
                lease.done(Outcome::Delivered);
            }
            assert_eq!(hosts.len(), 40, "{hosts:?}");
            assert!(hosts.values().all(|points| *points == 1_000), "{hosts:?}");
        }
    }
}

#[tokio::test]
async fn a_large_body_that_finds_no_room_leaves_nothing_anywhere() {
    let bench = Bench::with(Keep::Disk, Sync::None, [1 << 20, 150 << 10]);
    let write = |number| {
        let write = Write::lines(Category::Logging, large(number), SystemClock::new().now());
        let way = Way::default();
        let (gateway, tasks) = (&bench.gateway, &bench.tasks);
        async move { gateway.write_on(&way, write, tasks, Some(MOMENT)).await }
    };
    assert_eq!(write(1).await.unwrap().points, 1_000);
    let error = write(2).await.unwrap_err();
    assert!(matches!(error, WriteError::Full), "{error}");
    assert_eq!(bench.accepted(), [1_000, 1_000]);
    let queue = bench.gateway.outlets()[1].queue.clone();
    queue.next().await.unwrap().done(Outcome::Delivered);
    assert_eq!(write(3).await.unwrap().points, 1_000);
    assert_eq!(bench.accepted(), [2_000, 2_000]);
}

#[tokio::test]
async fn a_large_body_says_who_has_its_part_when_a_disk_fails() {
    let bench = Bench::with(Keep::Disk, Sync::None, [1 << 20; 2]);
    std::fs::remove_dir_all(bench.path("small")).unwrap();
    let write = Write::lines(Category::Logging, large(1), SystemClock::new().now());
    let error = bench.gateway.write(write, &bench.tasks).await.unwrap_err();
    assert!(error.to_string().contains("taken for `large` (1000 points)"), "{error}");
    assert_eq!(bench.accepted(), [1_000, 0]);
}

#[tokio::test]
async fn a_writer_of_a_large_body_that_goes_away_is_counted_for_what_it_brought() {
    let bench = Bench::with(Keep::Disk, Sync::None, [1 << 20; 2]);
    {
        let write = Write::lines(Category::Logging, large(1), SystemClock::new().now());
        let mut write = Box::pin(bench.gateway.write(write, &bench.tasks));
        tokio::select! {
            biased;
            _ = &mut write => panic!("a thread prepares it"),
            () = std::future::ready(()) => {}
        }
    }
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counted = async {
        while of(&bench.gateway.stats().received) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.unwrap();
    assert_eq!(bench.accepted(), [1_000, 1_000]);
    assert_eq!(of(&bench.gateway.stats().copies), 2_000);
}

/// Points that wait, and bodies that were taken.
#[derive(Default)]
struct Entrance([AtomicU64; 2]);

impl PutWatch for Entrance {
    fn put(&self, _: &Queue, _: u64, _: Duration) {}

    fn entered(&self, category: Category, points: u64) {
        assert_eq!(category, Category::Logging);
        self.0[0].fetch_add(points, Ordering::Relaxed);
    }

    fn left(&self, _: Category, points: u64, is_taken: bool) {
        self.0[0].fetch_sub(points, Ordering::Relaxed);
        self.0[1].fetch_add(u64::from(is_taken), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn what_waits_for_room_is_told() {
    let bench = Bench::new(Keep::Memory, Sync::None);
    let entrance = Arc::new(Entrance::default());
    bench.gateway.watch(entrance.clone(), SystemClock::new());
    let [waiting, taken] = &entrance.0;
    let mut bodies = 0;
    while bench.write(Some(Duration::ZERO)).await.is_ok() {
        bodies += 1;
    }
    assert_eq!(taken.load(Ordering::Relaxed), bodies);
    let patient = bench.write(None);
    let mut patient = std::pin::pin!(patient);
    assert!(tokio::time::timeout(MOMENT, &mut patient).await.is_err(), "it waits");
    assert_eq!(waiting.load(Ordering::Relaxed), 10);
    let outlets = bench.gateway.outlets();
    while let Some(lease) = outlets[1].queue.try_next() {
        lease.done(Outcome::Delivered);
    }
    patient.await.unwrap();
    let numbers = [waiting.load(Ordering::Relaxed), taken.load(Ordering::Relaxed)];
    assert_eq!(numbers, [0, bodies + 1]);
}
