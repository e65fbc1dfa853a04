//! Prints what an evaluation costs: `cargo run --release -p levada-tick --example lambda_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use levada_model::{FieldValue, Point, Series, Shape, Timestamp};
use levada_tick::lambda::{Env, Evaluator, Program};
use levada_tick::syntax::parse_lambda;

const PREDICATES: &[&str] = &[
    "TRUE",
    "\"usage\" > 80.0",
    "\"usage\" > 80.0 AND \"host\" == 'a'",
    "\"usage\" > 99.0 AND \"host\" == 'a'",
    "\"host\" == 'a' OR \"host\" == 'b' OR \"host\" == 'web-17'",
    "\"host\" =~ /^web-/",
    "\"usage\" + \"idle\" > 100.0",
    "abs(\"usage\" - \"idle\") > 10.0",
    "isPresent(\"usage\") AND \"usage\" > 80.0",
    "hour(\"time\") >= 8 AND hour(\"time\") < 18",
    "count() % 10 == 0",
    "sigma(\"usage\") > 3.0",
    "\"missing\" > 1",
];

const VALUES: &[&str] = &[
    "\"usage\" * 2.0",
    "\"host\"",
    "float(\"count\") / 60.0 + \"usage\"",
    "string(\"count\")",
    "if(\"usage\" > 80.0, 'high', 'low')",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tags = vec![("cpu".into(), "cpu-total".into()), ("host".into(), "web-17".into())];
    let point = Point {
        series: Series::new("db".into(), "rp".into(), "cpu".into(), tags),
        shape: Shape::new(["count".into(), "idle".into(), "usage".into()].into()),
        values: [FieldValue::Int(42), FieldValue::Float(7.5), FieldValue::Float(92.5)]
            .into_iter()
            .collect(),
        time: Timestamp(1_770_460_200_000_000_000),
    };
    let env = Env::at(point.time);
    for text in PREDICATES {
        let (mut evaluator, mut state) = evaluator(text)?;
        let cost = measure(|| evaluator.predicate(black_box(&point), &env, &mut state).is_ok());
        println!("{cost:7.1} ns  {text}");
    }
    for text in VALUES {
        let (mut evaluator, mut state) = evaluator(text)?;
        let cost = measure(|| evaluator.value(black_box(&point), &[], &env, &mut state).is_ok());
        println!("{cost:7.1} ns  {text}");
    }
    Ok(())
}

fn evaluator(
    text: &str,
) -> Result<(Evaluator, levada_tick::lambda::State), Box<dyn std::error::Error>> {
    let program = Arc::new(Program::compile(&parse_lambda(text)?)?);
    let state = program.state(1);
    Ok((program.evaluator(), state))
}

fn measure(mut evaluate: impl FnMut() -> bool) -> f64 {
    const ROUNDS: u32 = 1_000_000;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(evaluate());
        }
        best = best.min(started.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    best
}
