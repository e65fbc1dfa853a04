//! Random documents through random chains of steps do what the naive steps do.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;

use crate::documents::{record, written};
use crate::flows;
use crate::naive::{self, Record, Step, Test};

const PATHS: &[&str] =
    &["a", "b", "c", "a.b", "b.c", "c.a", "a.0", "b.1.a", "userId", "user_id", "éa", "c.a.b"];
/// Paths of member names alone.
const NAMES: &[&str] = &["a", "b", "c", "a.b", "b.c", "c.a", "userId", "x.y", "a.b.c"];
const TYPES: &[&str] = &["string", "int64", "float64", "bool", "null"];
const VALUES: &[&str] =
    &["text", "", "json:1.50", "json:[1,{\"a\":2}]", "json:{\"b\":{\"c\":[]}}", "json:null"];

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PATHS)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES)
}

fn test() -> impl Strategy<Value = Test> {
    let leaf = prop_oneof![
        3 => path().prop_map(Test::Path),
        1 => (path(), prop::sample::select(&["text", "12", "10.0", "true", ""][..]))
            .prop_map(|(path, text)| Test::Equal(path, text)),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|test| Test::Not(test.into())),
            pair.clone().prop_map(|(one, other)| Test::Both(one.into(), other.into())),
            pair.prop_map(|(one, other)| Test::Either(one.into(), other.into())),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let paths = || prop::collection::vec(path(), 1..4);
    let names = || prop::collection::vec(name(), 1..4);
    // A filter ends most records, so there are few of them.
    prop_oneof![
        1 => test().prop_map(Step::Filter),
        2 => paths().prop_map(Step::Mask),
        1 => paths().prop_map(Step::Select),
        2 => paths().prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::SnakeCase),
        1 => any::<bool>().prop_map(Step::CamelCase),
        2 => path().prop_map(Step::Flatten),
        1 => names().prop_map(Step::Include),
        1 => paths().prop_map(Step::Exclude),
        2 => (name(), name()).prop_filter("a rename to itself is none", |(old, new)| old != new)
            .prop_map(|(old, new)| Step::Rename(old, new)),
        1 => (path(), prop::sample::select(TYPES)).prop_map(|(path, wanted)| Step::Cast(path, wanted)),
        2 => (name(), prop::sample::select(VALUES)).prop_map(|(path, value)| Step::Insert(path, value)),
        1 => prop::sample::select(&["a", "b", "é\"x"][..]).prop_map(Step::Hoist),
        1 => path().prop_map(Step::Extract),
        1 => prop::sample::select(&[".", "_"][..]).prop_map(Step::StructFlatten),
        2 => prop::collection::vec((test(), any::<bool>()), 0..4).prop_map(Step::Router),
    ]
}

type Chain = Vec<(Step, Option<Test>)>;

fn chain() -> impl Strategy<Value = Chain> {
    prop::collection::vec((step(), prop::option::weighted(0.2, test())), 1..7)
}

fn manifest(chain: &Chain) -> Vec<Value> {
    let steps = chain.iter().enumerate().map(|(index, (step, when))| {
        let mut step = step.manifest(index);
        if let Some(when) = when {
            step["when"] = when.text().into();
        }
        step
    });
    steps.collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        rng_seed: RngSeed::Fixed(20_260_207),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn chains_equal_naive_steps(
        chain in chain(),
        documents in prop::collection::vec((record(), any::<u64>()), 1..4),
    ) {
        let flow = flows::flow(&manifest(&chain));
        let texts: Vec<String> =
            documents.iter().map(|(document, seed)| written(document, *seed)).collect();
        let outcomes = flows::run(&flow, texts.iter().map(String::as_bytes));
        for (((document, _), text), outcome) in documents.into_iter().zip(&texts).zip(outcomes) {
            let (expected, failed) = naive::run(&chain, document);
            let mut got = Vec::new();
            for output in &outcome.outputs {
                let payload = String::from_utf8(output.payload.clone()).unwrap();
                prop_assert!(output.is_json, "{} became {}", text, payload);
                let condition = output.metadata.get("routed_condition").and_then(|text| text.to_text());
                got.push(Record {
                    value: serde_json::from_str(&payload).unwrap(),
                    route: output.route.clone(),
                    condition,
                });
            }
            prop_assert_eq!(got, expected, "{}", text);
            let stage = outcome.error.map(|error| error.stage);
            let expected = failed.map(|index| {
                let step = &manifest(&chain)[index];
                format!("transform[{index}]:{}", step["type"].as_str().unwrap())
            });
            prop_assert_eq!(stage, expected, "{}", text);
        }
    }
}
