//! How long a point takes: `cargo run --release -p levada-codec --example line_protocol`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use levada_codec::line_protocol::{Limits, Parser, Precision, write_point};
use levada_model::{Str, Timestamp};

/// How many series there are, and how many points each has in a body.
const HOSTS: usize = 1_000;
const POINTS_PER_HOST: usize = 10;
const ROUNDS: usize = 60;

/// The fields of one point.
type Fields = fn(usize, &mut String);

fn body(fields: Fields) -> String {
    let mut body = String::new();
    for point in 0..POINTS_PER_HOST {
        for host in 0..HOSTS {
            let _written = write!(body, "cpu,host=server{host:04},region=eu-west ");
            fields(point * HOSTS + host, &mut body);
            let _written = writeln!(body, " {}", 1_770_460_200_000_000_000_u64 + point as u64);
        }
    }
    body
}

fn main() {
    let floats: Fields = |at, out| {
        let _written =
            write!(out, "usage={}.{},idle={}.5,wait=0.{at:03}", at % 100, at % 10, at % 90);
    };
    let integers: Fields = |at, out| {
        let _written = write!(out, "reads={at}i,writes={}i,errors=0i", at * 1_000);
    };
    let texts: Fields = |at, out| {
        let _written = write!(out, "status=\"ok\",path=\"C:\\\\dir\",code={at}i");
    };
    let long: Fields = |at, out| {
        let _written = write!(out, "usage={},idle=1e-5,wait=0.5", at as f64 / 0.7);
    };
    let (database, retention): (Str, Str) = (Arc::from("telegraf"), Arc::from("autogen"));
    for (name, fields) in [
        ("3 floats", floats),
        ("3 integers", integers),
        ("2 texts, 1 integer", texts),
        ("long floats", long),
    ] {
        let body = body(fields);
        let mut parser = Parser::new(Limits::default());
        let mut points = Vec::new();
        let mut best = f64::MAX;
        let mut best_written = f64::MAX;
        let mut out = Vec::new();
        for _ in 0..ROUNDS {
            points.clear();
            let start = Instant::now();
            let outcome = parser.parse(
                &database,
                &retention,
                Precision::Nanoseconds,
                Timestamp(0),
                body.as_bytes(),
                &mut points,
            );
            let nanoseconds = start.elapsed().as_nanos() as f64;
            assert_eq!(outcome.refused, 0, "{:?}", outcome.problems);
            best = best.min(nanoseconds / points.len() as f64);
            out.clear();
            let start = Instant::now();
            for point in &points {
                write_point(point, Precision::Nanoseconds, &mut out).expect("it was read");
            }
            best_written =
                best_written.min(start.elapsed().as_nanos() as f64 / points.len() as f64);
        }
        println!(
            "{name}: {best:.0} ns per point read, {best_written:.0} ns written, {} bytes per line",
            body.len() / points.len()
        );
    }
}
