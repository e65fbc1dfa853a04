//! Prints what bodies of DataKit's points cost: `cargo run --release -p levada-codec --example points_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::time::Instant;

use levada_codec::compression::{Compression, Compressor, compress_all, decompress_all};
use levada_codec::points::checks::Verdict;
use levada_codec::points::line::Scanner;
use levada_codec::points::{Checks, Unit, protobuf};
use levada_model::{Category, Timestamp};

const POINTS: usize = 5_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = body();
    println!("{POINTS} lines of {} bytes", body.len() / POINTS);
    let checks = Checks::of(Category::Metric);
    let scan = |passes: bool| {
        let mut scanner = Scanner::new(&body, Unit::Dynamic).expect("small");
        let mut good = 0;
        while let Some(line) = scanner.next_line() {
            let line = line.expect("good lines");
            good += usize::from(!passes || checks.passes(&line) == Verdict::Clean);
        }
        assert_eq!(good, POINTS);
    };
    print_line("scan", || scan(false));
    print_line("scan and check", || scan(true));
    let take_apart = |write: &dyn Fn(&levada_codec::points::Point<'_>, &mut Vec<u8>)| {
        let mut scanner = Scanner::new(&body, Unit::Dynamic).expect("small");
        let mut out = Vec::with_capacity(2 * body.len());
        while let Some(Ok(line)) = scanner.next_line() {
            write(&line.point(Unit::Dynamic, Timestamp(0)), &mut out);
        }
        black_box(out);
    };
    print_line("take apart", || take_apart(&|_, _| {}));
    print_line("take apart, write version 2", || {
        take_apart(&|point, out| protobuf::write_point(point, out))
    });
    for level in [1, 2, 6] {
        let mut compressor = Compressor::new(Compression::Gzip, Some(level))?;
        let mut size = 0;
        print_line(&format!("gzip level {level}"), || {
            let mut out = Vec::with_capacity(body.len() / 4);
            let written = compressor.write(body.as_bytes(), &mut out);
            let ended = compressor.finish(&mut out);
            assert!(written.is_ok() && ended.is_ok());
            size = out.len();
        });
        println!("{:>14} {:.1}", "ratio", body.len() as f64 / size as f64);
    }
    let gzip = compress_all(Compression::Gzip, body.as_bytes())?;
    print_line("gunzip", || {
        black_box(decompress_all(Compression::Gzip, &gzip, 64 << 20).map(|out| out.len()).ok());
    });
    Ok(())
}

/// Lines with four tags and four fields.
fn body() -> String {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    (0..POINTS as u64)
        .map(|n| {
            format!(
                "cpu,host=web-{:03},region=eu-{},rack=r{:02},service=svc-{} usage_user={}.{},usage_system={}.{},idle={}i,load={}.{} {}\n",
                next(500), next(4), next(40), next(30), next(100), next(1000), next(100), next(1000), next(1_000_000),
                next(16), next(100), 1_700_000_000_000_000_000 + n * 1_000_000
            )
        })
        .collect()
}

/// Gives the nanoseconds of processor time that this thread has had: other work on the machine does not count.
fn processor_time(started: Instant) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or_else(|| started.elapsed().as_nanos() as u64)
}

/// Prints the best of five averages, in nanoseconds for a point.
fn print_line(label: &str, mut run: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = Instant::now();
        let (before, mut rounds) = (processor_time(started), 0);
        while started.elapsed().as_millis() < 100 {
            run();
            rounds += 1;
        }
        let spent = processor_time(started) - before;
        best = best.min(spent as f64 / f64::from(rounds) / POINTS as f64);
    }
    println!("{best:10.1} ns  {label}");
}
