//! What no step touches leaves byte for byte.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use crate::documents::{value, written, written_once};
use crate::flows;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn step(kind: &str, config: Value) -> Value {
    json!({"type": kind, "config": config})
}

fn route(condition: &str, goes_on: bool) -> Value {
    let sink = json!({"type": "blackhole", "config": {}});
    step("router", json!({"routes": [{"condition": condition, "continue": goes_on, "sink": sink}]}))
}

/// Steps that look and change nothing of what [`wrapped`] makes.
fn looking() -> Vec<Value> {
    vec![
        step("filter", json!({"condition": "kept == 'yes' && !missing"})),
        route("$.kept", false),
        step("mask", json!({"fields": ["missing", "x.#.missing.y"]})),
        step("remove", json!({"fields": ["missing.a", "gone"]})),
        step("cast", json!({"spec": {"kept": "string", "missing": "int64"}})),
        step("flatten", json!({"field": "kept"})),
        step("replaceField", json!({"exclude": ["missing"], "renames": ["gone:missing"]})),
        step("extractField", json!({"field": "missing"})),
        step("hoistField", json!({"field": "top"})),
        step("extractField", json!({"field": "top"})),
        json!({"type": "mask", "config": {"fields": ["kept"]}, "when": "missing"}),
        route("kept == 'yes'", true),
    ]
}

/// Gives an object with white space around everything and `value` as two of its members.
fn wrapped(value: &str) -> String {
    format!(
        " {{\t\"x\" : {value} ,\n\"kept\": \"yes\" , \"secret\":[1, {{\"a\":2}}],\t\"y\":{value}}} "
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_chain_that_only_looks_changes_no_byte(inner in value(), seed: u64) {
        let text = wrapped(&written(&inner, seed));
        let outcome = &flows::run(&flows::flow(&looking()), [text.as_bytes()])[0];
        prop_assert_eq!(outcome.outputs.len(), 1, "{:?}", outcome);
        let payload = String::from_utf8_lossy(&outcome.outputs[0].payload).into_owned();
        // The value that went up and down again leaves without the blanks around it.
        prop_assert_eq!(payload, text.trim());
    }

    #[test]
    fn a_filter_and_a_router_change_no_byte(inner in value(), seed: u64) {
        let steps = [step("filter", json!({"condition": "!missing"})), route("!missing", false)];
        let text = format!(" \n{}\t", written(&inner, seed));
        let outcome = &flows::run(&flows::flow(&steps), [text.as_bytes()])[0];
        prop_assert_eq!(outcome.outputs.len(), 1, "{:?}", outcome);
        prop_assert_eq!(String::from_utf8_lossy(&outcome.outputs[0].payload), text);
        prop_assert_eq!(outcome.outputs[0].route.as_deref(), Some("routes[0]"));
    }

    #[test]
    fn one_edit_leaves_all_other_bytes(inner in value(), seed: u64) {
        let text = wrapped(&written_once(&inner, seed));
        let edits = [
            (step("mask", json!({"fields": ["secret"]})), "[1, {\"a\":2}]", "\"***\""),
            (step("mask", json!({"fields": ["secret.1.a"]})), "{\"a\":2}", "{\"a\":\"***\"}"),
            (step("mask", json!({"fields": ["secret.#.a"]})), "{\"a\":2}", "{\"a\":\"***\"}"),
            (step("remove", json!({"fields": ["secret.1.a"]})), "{\"a\":2}", "{}"),
            (step("remove", json!({"fields": ["secret"]})), " , \"secret\":[1, {\"a\":2}]", ""),
            (step("cast", json!({"spec": {"secret.0": "string"}})), "[1, ", "[\"1\", "),
            (step("insertField", json!({"fields": {"kept": "json:[ 0 ]"}})), "\"yes\"", "[ 0 ]"),
            // A member with a new name loses the blanks around the old one.
            (step("replaceField", json!({"renames": ["kept:held"]})), " ,\n\"kept\": ", ",\"held\":"),
            (step("insertField", json!({"fields": {"new": "json:1.0"}})), "} \u{0}", ",\"new\":1.0} \u{0}"),
        ];
        for (step, before, after) in edits {
            let outcome = &flows::run(&flows::flow(std::slice::from_ref(&step)), [text.as_bytes()])[0];
            prop_assert_eq!(outcome.outputs.len(), 1, "{:?}", outcome);
            let payload = String::from_utf8_lossy(&outcome.outputs[0].payload).into_owned();
            // The edit lies between the two copies of the value, or at the very end.
            let marked = format!("{text}\u{0}");
            let from = marked.find(" ,\n\"kept\"").unwrap();
            let tail = match marked.rfind("\t\"y\":") {
                Some(end) if !before.ends_with('\u{0}') => end + 1,
                _ => marked.len(),
            };
            let middle = marked[from..tail].replacen(before, after, 1);
            prop_assert_ne!(&middle, &marked[from..tail], "{}", step);
            let expected = format!("{}{middle}{}", &marked[..from], &marked[tail..]);
            let expected = expected.trim_end_matches('\u{0}');
            prop_assert_eq!(payload.trim(), expected.trim(), "{}", step);
        }
    }
}
