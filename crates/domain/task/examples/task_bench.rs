//! The workloads of `cargo xtask bench task`: line protocol in, effects out, everything in this process.
//!
//! Prints one JSON line: points, CPU seconds of the whole process for them, wall seconds, memory at its highest.
#![expect(clippy::print_stdout, reason = "a program")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use levada_alert::handlers::{GoTemplates, HandlerDeps};
use levada_alert::topics::{Topics, TopicsDeps, TopicsSettings};
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_model::{Str, Timestamp};
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::engine::{Master, MasterDeps, Overflow, TaskOptions, TopicAlerts, Workers};
use levada_testkit::process::{own_cpu_seconds, own_status};

/// A workload: its name, its script, its series, and the measurements its points take turns in.
struct Workload {
    name: &'static str,
    script: &'static str,
    series: usize,
    measurements: &'static [&'static str],
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "w0",
        script: "stream|from().measurement('other')|log()",
        series: 1_000,
        measurements: &["cpu"],
    },
    Workload {
        name: "w1n",
        script: "stream|from().measurement('cpu').groupBy('host')|alert().topic('t').crit(lambda: \"usage\" > 1000.0)",
        series: 1_000,
        measurements: &["cpu"],
    },
    Workload {
        name: "w1",
        script: "stream|from().measurement('cpu').groupBy('host')|alert().topic('t').crit(lambda: \"usage\" > 95.0)",
        series: 1_000,
        measurements: &["cpu"],
    },
    Workload {
        name: "w2",
        script: "stream|from().measurement('cpu')|groupBy('host')|window().period(10s).every(10s)|mean('usage').as('usage')|eval(lambda: \"usage\" / 100.0).as('share').keep()|alert().topic('t').warn(lambda: \"share\" > 0.55).crit(lambda: \"share\" > 0.7)|httpOut('out')",
        series: 1_000,
        measurements: &["cpu"],
    },
    Workload {
        name: "w3",
        script: "var a = stream|from().measurement('cpu').groupBy('host') var b = stream|from().measurement('mem').groupBy('host') a|join(b).as('cpu','mem')|eval(lambda: \"cpu.usage\" + \"mem.usage\").as('sum').keep()|derivative('sum').unit(1s).as('rate')|alert().topic('t').crit(lambda: \"rate\" > 150.0)",
        series: 1_000,
        measurements: &["cpu", "mem"],
    },
    Workload {
        name: "w4",
        script: "var w = stream|from().measurement('cpu').groupBy('host')|window().period(60s).every(10s) var p = w|percentile('usage', 95.0) var s = w|stddev('usage') p|join(s).as('p','s')|log().level('DEBUG')",
        series: 1_000,
        measurements: &["cpu"],
    },
    Workload {
        name: "w5",
        script: "stream|from().measurement('cpu').groupBy('host')|stateDuration(lambda: \"usage\" > 50.0)|alert().topic('t').crit(lambda: \"state_duration\" > 5.0)",
        series: 100_000,
        measurements: &["cpu"],
    },
];

/// Lines in one write.
const WRITE_LINES: usize = 5_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "w0".to_owned());
    let points: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let workers: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let Some(workload) = WORKLOADS.iter().find(|workload| workload.name == name) else {
        let known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        println!("unknown workload `{name}`; known: {}", known.join(", "));
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let bodies = bodies(workload, points);
    let _entered = runtime.enter();
    run(workload, points, workers, &bodies);
}

/// The text of all writes, made beforehand: making it is not what is measured.
fn bodies(workload: &Workload, points: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut share = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as f64 / (1u64 << 53) as f64
    };
    let kinds = workload.measurements.len();
    let mut body = String::new();
    for at in 0..points {
        let measurement = workload.measurements[at % kinds];
        let series = at / kinds % workload.series;
        // Each series has a point per second.
        let second = (at / kinds / workload.series) as i64;
        let time = 1_700_000_000_000_000_000 + second * 1_000_000_000;
        let (usage, idle, load) = (share() * 100.0, share() * 100.0, share() * 8.0);
        writeln!(
            body,
            "{measurement},host=host-{series:06},region=region-{} usage={usage:.2},idle={idle:.2},load={load:.3} {time}",
            series % 10
        )
        .expect("a text can be written to");
        if (at + 1) % WRITE_LINES == 0 {
            bodies.push(std::mem::take(&mut body));
        }
    }
    bodies.push(body);
    bodies
}

fn run(workload: &Workload, points: usize, workers: usize, bodies: &[String]) {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let tasks = Tasks::new();
    let workers = Workers::start(workers, Arc::clone(&clock), &tasks);
    let topics = Topics::new(
        TopicsSettings::default(),
        TopicsDeps {
            tasks: tasks.clone(),
            runtime: tokio::runtime::Handle::current(),
            clock: Arc::clone(&clock),
            store: None,
            silencer: None,
        },
    );
    let deps =
        HandlerDeps { templates: Arc::new(GoTemplates::default()), ..HandlerDeps::default() };
    let alerts = TopicAlerts::new("main".into(), topics, deps);
    let master = Master::new(MasterDeps {
        workers: Arc::clone(&workers),
        services: Arc::new(Unconfigured::default()),
        alerts,
        store: None,
        sides: None,
        zone: jiff::tz::TimeZone::UTC,
    });
    let definition = define(workload.script, &DefineOptions::default()).expect("a valid script");
    let options = TaskOptions {
        dbrps: vec![("db".into(), "rp".into())],
        queue_points: 20_000,
        overflow: Overflow::Block(Duration::from_secs(600)),
        ..TaskOptions::default()
    };
    master.start(workload.name, Arc::new(definition), options).expect("the task starts");

    let mut ingest = master.routes().ingest();
    let mut parser = Parser::new(Limits::default());
    let (database, retention) = (Str::from("db"), Str::from("rp"));
    let (cpu_before, began) = (own_cpu_seconds(), clock.monotonic());
    let mut dropped = 0;
    for body in bodies {
        let mut parsed = ingest.buffer();
        let outcome = parser.parse(
            &database,
            &retention,
            Precision::Nanoseconds,
            Timestamp(0),
            body.as_bytes(),
            &mut parsed,
        );
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        dropped += ingest.write(parsed).dropped;
    }
    while !master.is_drained() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (cpu, wall) = (own_cpu_seconds() - cpu_before, (clock.monotonic() - began).as_secs_f64());
    let status = master.status(workload.name).expect("the task runs");
    workers.stop();
    println!(
        "{}",
        serde_json::json!({
            "workload": workload.name,
            "points": points,
            "cpu_seconds": cpu,
            "cpu_seconds_per_million": cpu / points as f64 * 1e6,
            "wall_seconds": wall,
            "points_per_second": points as f64 / wall,
            "peak_memory_mb": own_status("VmHWM:") as f64 / 1024.0,
            "input_mb": bodies.iter().map(String::len).sum::<usize>() as f64 / 1e6,
            "dropped": dropped,
            "error": status.error,
            "nodes": status.nodes,
        })
    );
}
