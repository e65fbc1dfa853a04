//! Prints what splitting bodies costs: `cargo run --release -p levada-gateway --example ingest_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

mod load;

use std::time::Instant;

use levada_gateway::ingest::{Bounds, Coding, Encoder, Workspace, Write, prepare};
use levada_gateway::rules::{RuleSet, RulesSpec, Target};
use levada_model::{Category, Timestamp};

use load::{FORM, LINES, SINKERS, body, gzip, sinker};

const POINTS: usize = LINES as usize;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = body(7);
    println!("{POINTS} lines of {} bytes, out as gzip", body.len() / POINTS);
    let now = Timestamp(1_700_000_000_000_000_000);
    let packed = gzip(&body);
    let plain = Write::lines(Category::Metric, body, now);
    let packed = Write { coding: Coding::Gzip, body: packed, ..plain.clone() };
    let default = Some(Target::Each(vec![0]));
    let none = RulesSpec { default: default.clone(), ..RulesSpec::default() };
    let sinkers = |tenant: &str| RulesSpec {
        sinkers: (1..=SINKERS)
            .map(|number| sinker(number, tenant, Target::Each(vec![number])))
            .collect(),
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
