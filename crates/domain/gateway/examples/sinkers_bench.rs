//! Measures what a hundred sinkers cost, from the body to the receiver, without HTTP:
//!
//! ```text
//! cargo run --release -p levada-gateway --example sinkers_bench -- FOLDER none|idle|busy|many plain|gzip up|away [BODIES]
//! ```
//! Eight writers write bodies of 5,000 lines into a gateway with queues on the disk; senders join and compress, and a receiver
//! counts points. The cases are those of `cargo xtask bench gateway`, which measures the whole server.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

mod load;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use levada_codec::compression::Compression;
use levada_codec::points::LeftOut;
use levada_gateway::deliver::{
    Answer, Group, Member, Receiver, SendPolicy, Sender, SenderParts, Strategy,
};
use levada_gateway::gateway::{Gateway, Outlet};
use levada_gateway::ingest::{Bounds, Coding, Encoder, Write};
use levada_gateway::rules::{RulesSpec, Target};
use levada_gateway::wal::{Queue, QueueSettings, Record};
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, ShutdownHandle, SystemClock, TaskKind, Tasks};
use levada_testkit::process::{own_cpu_seconds, own_status};

use load::{FORM, LINES, SINKERS, body, gzip, sinker};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const WRITERS: u64 = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Counts points, or refuses while it is away.
struct Counter {
    points: AtomicU64,
    requests: AtomicU64,
    is_away: AtomicBool,
}

struct Endpoint(Arc<Counter>);

#[async_trait]
impl Receiver for Endpoint {
    fn label(&self) -> &str {
        "counter"
    }

    async fn send(&self, record: &Record, _: bool, _: Timestamp) -> Answer {
        if self.0.is_away.load(Ordering::Relaxed) {
            let reason = "away".to_owned();
            return Answer::Later { status: None, after: None, is_overload: false, reason };
        }
        self.0.points.fetch_add(record.points.into(), Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Answer::Delivered { status: 200, left_out: LeftOut::default() }
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mode, coding, peer, rest @ ..] = &arguments[..] else {
        return Err("FOLDER none|idle|busy|many plain|gzip up|away [BODIES]".into());
    };
    let bodies = rest.first().map_or(Ok(200), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = Path::new(folder).join(format!("sinkers-bench-{}", std::process::id()));
    let result = runtime.block_on(run(&dir, mode, coding == "gzip", peer == "away", bodies));
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn run(
    dir: &Path,
    mode: &str,
    is_gzip: bool,
    is_away: bool,
    bodies: u64,
) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let tasks = Tasks::new();
    let counter = Arc::new(Counter {
        points: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        is_away: AtomicBool::new(is_away),
    });
    let encoder = Arc::new(Encoder::new(Bounds::default(), 7));
    let (destinations, tenant) = match mode {
        "none" => (1, None),
        "idle" => (5, Some("tenant")),
        "busy" => (5, Some("web")),
        _ => (SINKERS + 1, Some("web")),
    };
    let (shutdown, signal) = ShutdownHandle::new();
    let mut outlets = Vec::new();
    for number in 0..destinations {
        let name = format!("d{number}");
        let settings = QueueSettings::default();
        let queue = Queue::open(&dir.join(&name), &name, settings, &tasks, Arc::clone(&clock))?;
        let policy = SendPolicy { linger: Duration::from_millis(50), ..SendPolicy::default() };
        let member =
            Member { receiver: Arc::new(Endpoint(Arc::clone(&counter))), weight: 1, priority: 0 };
        let sender = Sender::new(SenderParts {
            name: name.clone(),
            queue: queue.clone(),
            group: Group::new(Strategy::Failover, vec![member], &policy, 7),
            policy,
            compression: Compression::Gzip,
            encoder: Arc::clone(&encoder),
            clock: Arc::clone(&clock),
            watch: None,
        });
        let signal = signal.clone();
        drop(tasks.spawn(TaskKind::Gateway, "sender", async move { sender.run(signal).await }));
        outlets.push(Outlet { name, form: FORM, queue });
    }
    let sinkers = tenant.map(|tenant| {
        let target = |number: u16| Target::Each(vec![1 + number % (destinations - 1)]);
        (0..SINKERS).map(|number| sinker(number, tenant, target(number))).collect()
    });
    let rules = RulesSpec {
        sinkers: sinkers.unwrap_or_default(),
        default: Some(Target::Each(vec![0])),
        ..RulesSpec::default()
    };
    let gateway = Arc::new(Gateway::new(outlets, rules, Bounds::default(), encoder)?);
    let coded = |body: Bytes| if is_gzip { gzip(&body) } else { body };
    let texts: Vec<Bytes> = (0..WRITERS).map(|seed| coded(body(seed))).collect();
    let (cpu, started) = (own_cpu_seconds(), Instant::now());
    let coding = if is_gzip { Coding::Gzip } else { Coding::Identity };
    let writers = texts.into_iter().map(|text| {
        let (gateway, clock) = (Arc::clone(&gateway), Arc::clone(&clock));
        let own = tasks.clone();
        let writer = async move {
            for _ in 0..bodies / WRITERS {
                // As it comes from a connection: a copy of its own.
                let body = Bytes::copy_from_slice(&text);
                let now = clock.now();
                let write = Write { coding, ..Write::lines(Category::Metric, body, now) };
                gateway.write(write, &own).await?;
            }
            Ok::<(), Failure>(())
        };
        tasks.spawn(TaskKind::Gateway, "writer", writer)
    });
    for result in try_join_all(writers.collect::<Vec<_>>()).await? {
        result?;
    }
    let load = started.elapsed().as_secs_f64();
    counter.is_away.store(false, Ordering::Relaxed);
    let points = bodies / WRITERS * WRITERS * LINES;
    while counter.points.load(Ordering::Relaxed) < points {
        clock.sleep(Duration::from_millis(10)).await;
    }
    let all = started.elapsed().as_secs_f64();
    clock.sleep(Duration::from_millis(500)).await;
    let cpu = own_cpu_seconds() - cpu;
    println!(
        "{mode:5} {:6} {:5} {:6.2} CPU s/M  {:7.1} MB  load {load:5.2} s  all {all:5.2} s  {} requests  {} threads",
        if is_gzip { "gzip" } else { "plain" },
        if is_away { "away" } else { "up" },
        cpu / (points as f64 / 1e6),
        own_status("VmHWM:") as f64 / 1e3,
        counter.requests.load(Ordering::Relaxed),
        own_status("Threads:"),
    );
    shutdown.drain();
    Ok(())
}
