//! Measures what a hundred sinkers cost, from the body to the receiver, without HTTP:
//!
//! ```text
//! cargo run --release -p levada-gateway --example sinkers_bench -- FOLDER none|idle|busy|many plain|gzip up|away [BODIES]
//! ```
//! Eight writers write bodies of 5,000 lines into a gateway with queues on the disk; senders join and compress, and a receiver
//! counts points. The cases are those of `cargo xtask bench gateway`, which measures the whole server.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use levada_codec::compression::{Compression, compress_all};
use levada_codec::points::LeftOut;
use levada_gateway::deliver::{
    Answer, Group, Member, Receiver, SendPolicy, Sender, SenderParts, Strategy,
};
use levada_gateway::gateway::{Gateway, Outlet};
use levada_gateway::ingest::{Bounds, Coding, Encoder, Form, Write};
use levada_gateway::rules::{RulesSpec, SinkerSpec, Target};
use levada_gateway::wal::{Encoding, Queue, QueueSettings, Record};
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, ShutdownHandle, SystemClock, TaskKind, Tasks};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LINES: u64 = 5_000;
const SINKERS: u16 = 100;
const WRITERS: u64 = 8;
const FORM: Form = Form {
    encoding: Encoding::LineProtocol,
    compression: Compression::Gzip,
    has_global_tags: false,
};

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
    let texts = (0..WRITERS).map(|seed| body(seed, is_gzip)).collect::<Result<Vec<_>, _>>()?;
    let (cpu, started) = (cpu_seconds()?, Instant::now());
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
    let cpu = cpu_seconds()? - cpu;
    println!(
        "{mode:5} {:6} {:5} {:6.2} CPU s/M  {:7.1} MB  load {load:5.2} s  all {all:5.2} s  {} requests  {} threads",
        if is_gzip { "gzip" } else { "plain" },
        if is_away { "away" } else { "up" },
        cpu / (points as f64 / 1e6),
        status("VmHWM:")? as f64 / 1e3,
        counter.requests.load(Ordering::Relaxed),
        status("Threads:")?,
    );
    shutdown.drain();
    Ok(())
}

/// Ten conditions, of which the last decides.
fn sinker(number: u16, tenant: &str, target: Target) -> SinkerSpec {
    let conditions = [
        "region match ['^eu-']".to_owned(),
        "usage_user >= 0".to_owned(),
        "idle >= 0".to_owned(),
        "service != 'none'".to_owned(),
        "rack notin ['r98', 'r99']".to_owned(),
        "load < 1000".to_owned(),
        "usage_system >= 0 and usage_system < 1000".to_owned(),
        "measurement = 'cpu'".to_owned(),
        "region in ['eu-0', 'eu-1', 'eu-2', 'eu-3']".to_owned(),
        format!("host = '{tenant}-{number:03}'"),
    ];
    SinkerSpec {
        name: format!("s{number}"),
        categories: vec![Category::Metric],
        filters: vec![format!("{{ {} }}", conditions.join(", "))],
        target,
    }
}

/// Lines with four tags and four fields.
fn body(seed: u64, is_gzip: bool) -> Result<Bytes, Failure> {
    let mut random = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let line = |n: u64| {
        format!(
            "cpu,host=web-{:03},rack=r{:02},region=eu-{},service=svc-{} usage_user={}.{:03},usage_system={}.{:03},idle={}i,load={}.{} {}\n",
            next(500),
            next(40),
            next(4),
            next(30),
            next(100),
            next(1_000),
            next(100),
            next(1_000),
            next(1_000_000),
            next(16),
            next(100),
            1_700_000_000_000_000_000 + n * 1_000_000
        )
    };
    let text: String = (0..LINES).map(line).collect();
    Ok(match is_gzip {
        true => compress_all(Compression::Gzip, text.as_bytes())?.into(),
        false => text.into(),
    })
}

/// Gives the CPU time of the process, from Linux's `/proc/self/stat`: user and system time in ticks of 10 ms.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Ok(ticks as f64 / 100.0)
}

/// Gives a number of `/proc/self/status`.
fn status(name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line")?.parse()?)
}
