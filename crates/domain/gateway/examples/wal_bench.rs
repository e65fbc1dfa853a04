//! Measures a queue: how fast bodies go in, and what that and delivering them costs.
//!
//! ```text
//! cargo run --release -p levada-gateway --example wal_bench -- [FOLDER] [GIB] [KIB]
//! ```
//! In each mode so many GiB of bodies of so many KiB are appended by eight writers while four senders deliver them, and
//! once more with the senders waiting until all of it is queued. The folder must be on the disk that is to be measured.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use levada_codec::compression::Compression;
use levada_gateway::wal::{
    Attributes, Encoding, Keep, Outcome, Queue, QueueSettings, Record, Sync,
};
use levada_model::Category;
use levada_runtime::{Clock, SystemClock, Tasks};

const WRITERS: u64 = 8;
const SENDERS: usize = 4;

type Failure = Box<dyn std::error::Error>;

/// What one run took.
struct Run {
    append: Duration,
    drain: Duration,
    cpu: Duration,
    flushes: u64,
    reads: u64,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let gib: f64 = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let kib: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let bytes = kib << 10;
    let bodies = (gib * f64::from(1 << 30) / bytes as f64) as u64 / WRITERS * WRITERS;
    println!("{bodies} bodies of {kib} KiB");
    println!("mode      receiver  append MB/s  all MB/s  CPU s/GB  flushes  read back");
    let modes = [
        ("memory", Keep::Memory, Sync::None),
        ("none", Keep::Disk, Sync::None),
        ("interval", Keep::Disk, Sync::Interval(Duration::from_millis(20))),
        ("always", Keep::Disk, Sync::Always),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (name, keep, sync) in modes {
        for is_away in [false, true] {
            let settings = QueueSettings { keep, sync, bytes_max: 64 << 30, ..Default::default() };
            let dir = folder.join(format!("levada-wal-bench-{}-{name}", std::process::id()));
            let run = runtime.block_on(measure(&dir, settings, bodies, bytes, is_away))?;
            if keep == Keep::Disk {
                std::fs::remove_dir_all(&dir)?;
            }
            let megabytes = (bodies * bytes as u64) as f64 / 1e6;
            println!(
                "{name:9} {:8} {:12.0} {:9.0} {:9.3} {:8} {:10}",
                if is_away { "away" } else { "up" },
                megabytes / run.append.as_secs_f64(),
                megabytes / run.drain.as_secs_f64(),
                run.cpu.as_secs_f64() / (megabytes / 1e3),
                run.flushes,
                run.reads,
            );
        }
    }
    Ok(())
}

async fn measure(
    dir: &Path,
    settings: QueueSettings,
    bodies: u64,
    bytes: usize,
    is_away: bool,
) -> Result<Run, Failure> {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let queue = Queue::open(dir, "bench", settings, &Tasks::new(), Arc::clone(&clock))?;
    let record = Record {
        category: Category::Metric,
        points: 5_000,
        raw_bytes: 1 << 20,
        packed_at: clock.now(),
        encoding: Encoding::LineProtocol,
        compression: Compression::Gzip,
        attributes: Attributes::new([("X-Pkg-Id", "dwpkg_0123456789abcdef0123456789")])?,
        body: Bytes::from((0..bytes).map(|at| (at * 31 % 251) as u8).collect::<Vec<u8>>()),
    };
    let (cpu, start) = (cpu_time()?, clock.monotonic());
    let write = || async {
        let writers = (0..WRITERS).map(|_| async {
            for _ in 0..bodies / WRITERS {
                queue.append(record.clone()).await?;
            }
            Ok::<(), Failure>(())
        });
        join_all(writers).await.into_iter().collect::<Result<Vec<()>, Failure>>()?;
        Ok::<Duration, Failure>(clock.monotonic() - start)
    };
    let send = || async {
        join_all((0..SENDERS).map(|_| async {
            while let Some(lease) = queue.next().await {
                lease.done(Outcome::Delivered);
                if queue.counts().delivered == bodies * 5_000 {
                    queue.drain();
                }
            }
        }))
        .await
    };
    let append = if is_away {
        let append = write().await?;
        send().await;
        append
    } else {
        let (append, _) = tokio::join!(write(), send());
        append?
    };
    let drain = clock.monotonic() - start;
    let cpu = cpu_time()? - cpu;
    let io = queue.status().io;
    queue.close().await;
    Ok(Run { append, drain, cpu, flushes: io.flushes, reads: io.reads })
}

/// Gives the CPU time of the process, from Linux's `/proc/self/stat`: user and system time in ticks of 10 ms.
fn cpu_time() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Ok(Duration::from_millis(ticks * 10))
}
