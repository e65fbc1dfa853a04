//! Prints what splitting bodies costs: `cargo run --release -p levada-gateway --example ingest_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::time::Instant;

use bytes::Bytes;
use levada_codec::compression::{Compression, compress_all};
use levada_gateway::ingest::{Bounds, Coding, Encoder, Form, Workspace, Write, prepare};
use levada_gateway::rules::{RuleSet, RulesSpec, SinkerSpec, Target};
use levada_gateway::wal::Encoding;
use levada_model::{Category, Timestamp};

const POINTS: usize = 5_000;
const SINKERS: u16 = 100;
const FORM: Form = Form {
    encoding: Encoding::LineProtocol,
    compression: Compression::Gzip,
    has_global_tags: false,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = body();
    println!("{POINTS} lines of {} bytes, out as gzip", body.len() / POINTS);
    let now = Timestamp(1_700_000_000_000_000_000);
    let gzip: Bytes = compress_all(Compression::Gzip, body.as_bytes())?.into();
    let plain = Write::lines(Category::Metric, body, now);
    let packed = Write { coding: Coding::Gzip, body: gzip, ..plain.clone() };
    let default = Some(Target::Each(vec![0]));
    let none = RulesSpec { default: default.clone(), ..RulesSpec::default() };
    let sinkers = |tenant: &str| RulesSpec {
        sinkers: (1..=SINKERS).map(|number| sinker(number, tenant)).collect(),
        default: default.clone(),
        ..RulesSpec::default()
    };
    for (label, write, spec) in [
        ("plain, one destination", &plain, none.clone()),
        ("gzip, one destination", &packed, none),
        ("plain, 100 sinkers that match nothing", &plain, sinkers("tenant")),
        ("plain, 100 sinkers that match a fifth", &plain, sinkers("web")),
    ] {
        let rules = RuleSet::new(spec, usize::from(SINKERS) + 1)?;
        let encoder = Encoder::new(Bounds::default(), 7);
        let forms = vec![FORM; usize::from(SINKERS) + 1];
        let mut workspace = Workspace::default();
        print_line(label, || {
            let prepared = prepare(write, &rules, &Bounds::default(), &mut workspace);
            let Ok((buckets, written)) = prepared else { panic!("a good body") };
            assert_eq!(written.routed as usize, POINTS);
            assert!(encoder.encode(&buckets, write, &forms).is_ok());
        });
    }
    Ok(())
}

/// Ten conditions, of which the last decides.
fn sinker(number: u16, tenant: &str) -> SinkerSpec {
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
        target: Target::Each(vec![number]),
    }
}

/// Lines with four tags and four fields.
fn body() -> String {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    (0..POINTS as u64)
        .map(|n| {
            format!(
                "cpu,host=web-{:03},rack=r{:02},region=eu-{},service=svc-{} usage_user={}.{},usage_system={}.{},idle={}i,load={}.{} {}\n",
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
        while started.elapsed().as_millis() < 200 {
            run();
            rounds += 1;
        }
        let spent = processor_time(started) - before;
        best = best.min(spent as f64 / f64::from(rounds) / POINTS as f64);
    }
    println!("{best:10.1} ns  {label}");
}
