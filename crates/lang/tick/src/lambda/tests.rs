//! Tests of whole expressions; `examples` holds the tables of the reference.

#![allow(clippy::unwrap_used, reason = "tests")]

mod errors;
mod examples;
mod functions;
mod properties;
mod states;

use std::sync::Arc;

use levada_model::{FieldValue, Point, Series, Shape, Str, Timestamp, Values};

use super::{Env, Evaluator, Program, State, Value, format_value};
use crate::syntax::{Node, parse_lambda};

/// 2026-02-07T10:30:00Z, a Saturday.
const TIME: Timestamp = Timestamp(1_770_460_200_000_000_000);

fn node(text: &str) -> Node {
    parse_lambda(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn program(text: &str) -> Arc<Program> {
    Arc::new(Program::compile(&node(text)).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn env() -> Env {
    Env::at(TIME)
}

/// Makes a point from `a=5i b=1.5 c='x' d=true e=null f=3u g=2s #host=x`: fields, and tags behind `#`.
fn point(text: &str) -> Point {
    let (mut names, mut values, mut tags) = (Vec::new(), Values::new(), Vec::new());
    for part in text.split_whitespace() {
        let (name, value) = part.split_once('=').unwrap();
        if let Some(name) = name.strip_prefix('#') {
            tags.push((name.into(), value.into()));
            continue;
        }
        names.push(Str::from(name));
        values.push(match value {
            "true" => FieldValue::Bool(true),
            "false" => FieldValue::Bool(false),
            "null" => FieldValue::Null,
            "bytes" => FieldValue::Bytes(Arc::from([1_u8, 2])),
            _ => match value.as_bytes()[value.len() - 1] {
                b'\'' => FieldValue::Str(value.trim_matches('\'').into()),
                b'i' => FieldValue::Int(value.trim_end_matches('i').parse().unwrap()),
                b'u' => FieldValue::UInt(value.trim_end_matches('u').parse().unwrap()),
                b's' => FieldValue::Duration(
                    value.trim_end_matches('s').parse::<i64>().unwrap() * 1_000_000_000,
                ),
                _ => FieldValue::Float(value.parse().unwrap()),
            },
        });
    }
    let series = Series::new("db".into(), "rp".into(), "m".into(), tags);
    Point { series, shape: Shape::new(names.into()), values, time: TIME }
}

fn show(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("string {text}"),
        other => format!("{} {}", other.kind(), format_value(other)),
    }
}

/// Gives type and text of the value, or the error; an error of compilation after `compile: `.
fn value(text: &str, fields: &str) -> String {
    let program = match Program::compile(&node(text)) {
        Ok(program) => Arc::new(program),
        Err(error) => return format!("compile: {error}"),
    };
    let mut state = program.state(1);
    match Evaluator::new(program).value(&point(fields), &[], &env(), &mut state) {
        Ok(value) => show(&value),
        Err(error) => error.to_string(),
    }
}

/// Gives the answer of a predicate, or the error.
fn predicate(text: &str, fields: &str) -> String {
    let program = match Program::compile(&node(text)) {
        Ok(program) => Arc::new(program),
        Err(error) => return format!("compile: {error}"),
    };
    let mut state = program.state(1);
    match Evaluator::new(program).predicate(&point(fields), &env(), &mut state) {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

const SEE: &str = "see bool(), int(), float(), string(), duration()";

/// Runs rows of expression, fields and expected text, in which `SEE` stands for the advice.
fn check(evaluate: fn(&str, &str) -> String, rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(text, fields, expected)| {
            let expected = expected.replace("SEE", SEE);
            let actual = evaluate(text, fields);
            (actual != expected)
                .then(|| format!("{text} [{fields}]\n  is  {actual}\n  not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
