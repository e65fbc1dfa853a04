//! What a point of a recording costs: unpacked, read, or played to a task whose effects go nowhere.
//!
//! `replay_bench KIND make FILE [POINTS]` writes a recording of `stream` or `batch`, as the server does;
//! `replay_bench KIND unpack|read|play FILE` prints one JSON line: points, CPU seconds of the whole process for them.
#![expect(clippy::print_stdout, reason = "a program")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::path::Path;
use std::process::exit;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::tz::TimeZone;
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_model::{Str, Timestamp};
use levada_task::actor::{Actor, CLOCK_UNSET};
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::effect::{Answer, Effect, Effects, NodeName};
use levada_task::pipeline::start::StartOptions;
use levada_task::playback::{Playback, TICKS_MAX};
use levada_task::recording::batches::{BatchReader, BatchWriter, Times};
use levada_task::recording::points::{PointReader, PointWriter};
use levada_task::recording::{batch, files};
use levada_task::runtime::context::{Compat, Limits as TaskLimits};
use levada_testkit::process::own_cpu_seconds;
use levada_tick::lambda::Env;

const STREAM: &str =
    "stream|from().measurement('cpu').groupBy('host')|alert().crit(lambda: \"usage\" > 95.0)";
const BATCH: &str = "batch|query('SELECT usage, idle, load FROM \"db\".\"rp\".\"cpu\"').period(10s).every(10s).groupBy('host')|alert().crit(lambda: \"usage\" > 95.0)";

const SERIES: usize = 1_000;
/// Seconds of a batch.
const WINDOW: usize = 10;
const FIRST: i64 = 1_700_000_000;

/// Effects that go nowhere.
struct Nowhere;

impl Effects for Nowhere {
    fn effect(&mut self, _node: &NodeName, _effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        Ok(None)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = own_cpu_seconds();
    let points = match words[..] {
        ["stream", "make", file, ..] => make_stream(Path::new(file), rows(&words)),
        ["batch", "make", file, ..] => make_batch(Path::new(file), rows(&words)),
        ["stream" | "batch", "unpack", file] => unpack(Path::new(file)),
        ["stream", "read", file] => stream(Path::new(file), None),
        ["stream", "play", file] => stream(Path::new(file), Some(playback(STREAM))),
        ["batch", "read", file] => batches(Path::new(file), None),
        ["batch", "play", file] => batches(Path::new(file), Some(playback(BATCH))),
        _ => {
            println!("replay_bench stream|batch make|unpack|read|play FILE [POINTS]");
            exit(2);
        }
    };
    let cpu = own_cpu_seconds() - begun;
    println!(
        "{}",
        serde_json::json!({
            "what": words[..2].join(" "),
            "points_or_bytes": points,
            "cpu_seconds": cpu,
            "cpu_seconds_per_million": cpu / points as f64 * 1e6,
        })
    );
}

fn rows(words: &[&str]) -> usize {
    let points = words.get(3).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    (points / SERIES).max(1)
}

/// Numbers as they are measured: two or three digits behind the point.
fn values(row: usize, series: usize) -> (f64, f64, f64) {
    let mut mixed = ((row * SERIES + series) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = |shift: u32, most: u64, digits: f64| ((mixed >> shift) % most) as f64 / digits;
    (part(0, 9_000, 100.0), part(20, 10_000, 100.0), part(40, 8_000, 1_000.0))
}

fn make_stream(path: &Path, rows: usize) -> u64 {
    let output = BufWriter::new(File::create(path).expect("a file"));
    let mut writer = PointWriter::new(GzEncoder::new(output, Compression::default()));
    let mut parser = Parser::new(Limits::default());
    let (database, retention) = (Str::from("db"), Str::from("rp"));
    for row in 0..rows {
        let mut text = String::new();
        for series in 0..SERIES {
            let (usage, idle, load) = values(row, series);
            let (region, second) = (series % 10, FIRST + row as i64);
            writeln!(
                text,
                "cpu,host=host-{series:06},region=region-{region} usage={usage:.2},idle={idle:.2},load={load:.3} {second}000000000"
            )
            .expect("a text");
        }
        let (precision, now) = (Precision::Nanoseconds, Timestamp(0));
        let mut points = Vec::new();
        parser.parse(&database, &retention, precision, now, text.as_bytes(), &mut points);
        points.iter().for_each(|point| writer.point(point).expect("a point"));
    }
    let count = writer.points();
    writer.into_inner().finish().expect("a file");
    count
}

fn make_batch(path: &Path, rows: usize) -> u64 {
    let mut writer = BatchWriter::new(File::create(path).expect("a file"));
    writer.file().expect("a file");
    let time = |row: usize| jiff::Timestamp::from_second(FIRST + row as i64).expect("a time");
    for window in 0..rows.div_ceil(WINDOW) {
        for series in 0..SERIES {
            let tags = format!("{{\"host\":\"host-{series:06}\"}}");
            let end = time((window + 1) * WINDOW);
            let mut line =
                format!("{{\"name\":\"cpu\",\"tmax\":\"{end}\",\"tags\":{tags},\"points\":[");
            for row in window * WINDOW..(window + 1) * WINDOW {
                let (usage, idle, load) = values(row, series);
                let comma = if row % WINDOW == 0 { "" } else { "," };
                let time = time(row);
                write!(line, "{comma}{{\"fields\":{{\"usage\":{usage:.2},\"idle\":{idle:.2},\"load\":{load:.3}}},\"tags\":{tags},\"time\":\"{time}\"}}").expect("a text");
            }
            line.push_str("]}");
            let read = batch(line.as_bytes()).expect("a batch").expect("points");
            writer.batch(&read).expect("a batch");
        }
    }
    let (_, points) = writer.counts();
    writer.finish().expect("a file");
    points
}

/// Gives the bytes.
fn unpack(path: &Path) -> u64 {
    let mut bytes = 0;
    for mut input in files::open(path).expect("a recording") {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match input.read(&mut buffer).expect("a recording") {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    bytes
}

fn playback(script: &str) -> Playback {
    let definition = define(script, &DefineOptions::default()).expect("a script");
    let options = StartOptions {
        task: "task".into(),
        dbrps: &[("db".into(), "rp".into())],
        services: &Unconfigured::default(),
        limits: &TaskLimits::default(),
        compat: Compat::default(),
        seed: 1,
    };
    let env = Env { now: Timestamp(0), zone: TimeZone::UTC };
    let actor = Actor::start(&definition.pipeline, &options, Box::new(Nowhere), env, CLOCK_UNSET);
    Playback::new(actor.expect("a task"), TICKS_MAX)
}

fn stream(path: &Path, mut playback: Option<Playback>) -> u64 {
    let input = files::open(path).expect("a recording").remove(0);
    let mut reader = PointReader::new(input);
    let mut parser = Parser::new(Limits::default());
    let (mut points, mut count) = (Vec::new(), 0);
    while reader.next(&mut parser, Precision::Nanoseconds, &mut points).expect("points") {
        count += points.len() as u64;
        for point in points.drain(..) {
            if let Some(playback) = &mut playback {
                playback.point(&point).expect("a task that runs");
            }
        }
    }
    count
}

fn batches(path: &Path, mut playback: Option<Playback>) -> u64 {
    let inputs = files::open(path).expect("a recording");
    let mut reader = BatchReader::new(inputs, Times::Recorded).expect("batches");
    let mut count = 0;
    while let Some((index, batch)) = reader.next_batch().expect("batches") {
        count += batch.points.len() as u64;
        if let Some(playback) = &mut playback {
            playback.batch(index, batch).expect("a task that runs");
        }
    }
    count
}
