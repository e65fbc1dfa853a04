//! Pipelines as JSON and as scripts: whichever way they go, they stay the same.

use std::collections::BTreeMap;

use levada_task::definition::{DefineOptions, define};
use levada_task::nodes::udf::{Function, OptionType};
use levada_task::nodes::{NODES, by_json_type};
use levada_task::pipeline::json::{EDGES_MAX, RESERVED};
use levada_task::pipeline::{Pipeline, TaskType};
use levada_task::spec::Edge;
use levada_task::udf::Udfs;
use proptest::prelude::*;

use crate::examples::{Case, EXAMPLES, cases};

/// Scripts beyond the examples: each kind of node with all of its properties, and odd graphs.
const SCRIPTS: &str = include_str!("../cases/forms.txt");

fn options(task_type: TaskType) -> DefineOptions {
    let function = Function {
        wants: Edge::Stream,
        provides: Edge::Stream,
        options: BTreeMap::from([
            ("field".to_owned(), vec![OptionType::String, OptionType::Double]),
            ("size".to_owned(), vec![OptionType::Int]),
            ("every".to_owned(), vec![OptionType::Duration]),
            ("strict".to_owned(), vec![OptionType::Bool]),
        ]),
    };
    DefineOptions {
        task_type: Some(task_type),
        udfs: BTreeMap::from([("own_function".to_owned(), function)]).into(),
        ..DefineOptions::default()
    }
}

/// Takes a pipeline through all forms; `Err` tells where it came out as another.
fn around(script: &str, task_type: TaskType) -> Result<Option<String>, String> {
    let options = options(task_type);
    // A script that is wrong has no pipeline.
    let Ok(first) = define(script, &options) else { return Ok(None) };
    let json = first.pipeline.to_json();
    let text = json.to_string();
    let parsed = serde_json::from_str(&text).unwrap();
    let second =
        Pipeline::from_json(&parsed, &options.udfs).map_err(|e| format!("from JSON: {e}"))?;
    if second.to_json() != json {
        return Err(format!("JSON:\n{json:#}\n{:#}", second.to_json()));
    }
    if second.dot("t") != first.pipeline.dot("t") {
        return Err(format!("DOT:\n{}\n{}", first.pipeline.dot("t"), second.dot("t")));
    }
    let written = second.to_script().map_err(|e| format!("to a script: {e}"))?;
    let third = define(&written, &options).map_err(|e| format!("{e}\n{written}"))?;
    if third.pipeline.to_json() != json {
        let got = third.pipeline.to_json();
        return Err(format!("script:\n{written}\n{json:#}\n{got:#}"));
    }
    for (index, node) in first.pipeline.nodes() {
        let other = third.pipeline.node(index);
        if (node.wants, node.provides) != (other.wants, other.provides)
            || (node.wants, node.provides)
                != (second.node(index).wants, second.node(index).provides)
        {
            return Err(format!("edges of {}", first.pipeline.name(index)));
        }
    }
    let again = third.pipeline.to_script().map_err(|e| e.clone())?;
    if again != written {
        return Err(format!("another script:\n{written}\n{again}"));
    }
    Ok(Some(written))
}

fn corpus() -> Vec<(String, TaskType)> {
    let of_examples = cases(EXAMPLES).into_iter();
    let own = cases(SCRIPTS).into_iter();
    let with_type = of_examples.chain(own).map(|case| {
        let task_type = if case.is_batch { TaskType::Batch } else { TaskType::Stream };
        (case.script, task_type)
    });
    with_type.collect()
}

#[test]
fn every_script_comes_back_from_all_forms() {
    let mut wrong = Vec::new();
    let mut left_out = Vec::new();
    for (script, task_type) in corpus() {
        match around(&script, task_type) {
            Ok(Some(_)) => {}
            Ok(None) => left_out.push(script),
            Err(problem) => wrong.push(format!("{script}\n{problem}")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n---\n"));
    // What does not define says so in its example.
    let all = cases(EXAMPLES).into_iter().chain(cases(SCRIPTS));
    let is_missing = |case: &Case| {
        let is_wrong = case.output.iter().any(|line| line.starts_with("DEFINE ERR"));
        left_out.contains(&case.script) && !is_wrong
    };
    let missing: Vec<_> = all.filter(is_missing).collect();
    assert!(missing.is_empty(), "these do not define: {missing:?}");
}

#[test]
fn no_property_has_the_name_of_a_member_of_the_form() {
    for kind in NODES {
        let members = (kind.empty)().json();
        for name in RESERVED {
            assert!(!members.contains_key(name), "{}: {name}", kind.name);
        }
        assert!(by_json_type(kind.json_type).is_some(), "{}", kind.name);
    }
}

#[test]
fn a_chain_is_written_as_one_and_what_is_shared_gets_a_variable() {
    let script = "var a = stream|from().measurement('cpu')\na|where(lambda: \"v\" > 1)|log()\na|log().prefix('x')";
    let written = around(script, TaskType::Stream).unwrap().unwrap();
    assert_eq!(
        written,
        "var from1 = stream
    |from()
        .measurement('cpu')

from1
    |where(lambda: \"v\" > 1)
    |log()

from1
    |log()
        .prefix('x')
"
    );
}

#[test]
fn json_that_is_no_pipeline_is_refused() {
    let node = |id: &str, kind: &str| format!(r#"{{"typeOf":"{kind}","id":"{id}"}}"#);
    let form = |nodes: &[String], edges: &[(&str, &str)]| {
        let edges: Vec<String> = edges
            .iter()
            .map(|(parent, child)| format!(r#"{{"parent":"{parent}","child":"{child}"}}"#))
            .collect();
        format!(r#"{{"nodes":[{}],"edges":[{}]}}"#, nodes.join(","), edges.join(","))
    };
    let (stream, from) = (node("0", "stream"), node("1", "from"));
    let cases = [
        ("{}".to_owned(), "the first node is neither stream nor batch"),
        (form(std::slice::from_ref(&stream), &[]), "task does nothing"),
        (form(std::slice::from_ref(&from), &[]), "the first node is neither stream nor batch"),
        (form(&[stream.clone(), from.clone()], &[]), "node 1 (from) has a wrong number of parents"),
        (form(&[stream.clone(), from.clone()], &[("0", "7")]), "there is no node \"7\""),
        (
            form(&[stream.clone(), from.clone()], &[("1", "1")]),
            r#"the edge {"parent":"1","child":"1"} does not lead to a later node"#,
        ),
        (form(&[stream.clone(), node("0", "from")], &[]), "node 0 (from): another node has its id"),
        (form(&[stream.clone(), node("x", "from")], &[]), "node x (from): its id is no number"),
        (
            form(&[stream.clone(), node("1", "nothing")], &[]),
            "node 1 (nothing): there is no node of this type",
        ),
        (
            form(&[stream, node("1", "stats")], &[]),
            "node 1 (stats): a stats node, and no other, watches a node",
        ),
    ];
    for (json, wanted) in cases {
        let parsed = serde_json::from_str(&json).unwrap();
        let error = Pipeline::from_json(&parsed, &Udfs::default()).map(|_| ()).unwrap_err();
        assert_eq!(error, wanted, "{json}");
    }
}

#[test]
fn json_has_no_more_edges_than_the_bound() {
    let form = |edges: usize| {
        serde_json::json!({
            "nodes": [{"typeOf": "stream", "id": "0"}, {"typeOf": "from", "id": "1"}],
            "edges": vec![serde_json::json!({"parent": "0", "child": "1"}); edges],
        })
    };
    let read = |edges: usize| Pipeline::from_json(&form(edges), &Udfs::default()).map(|_| ());
    assert_eq!(read(EDGES_MAX), Ok(()));
    assert_eq!(read(EDGES_MAX + 1).unwrap_err(), format!("a task has at most {EDGES_MAX} edges"));
}

fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("|log()".to_owned()),
        "[a-z' \n]{0,6}".prop_map(|text| format!("|log().prefix('{}')", text.replace('\'', "\\'"))),
        "[a-z \\\\\n]{1,6}".prop_map(|text| format!("|log().prefix('''{text}''')")),
        (-9i64..9, any::<bool>()).prop_map(|(number, is_quiet)| {
            let quiet = if is_quiet { ".quiet()" } else { "" };
            format!("|where(lambda: \"v\" > {number} AND (\"a\" OR !\"b\")){quiet}")
        }),
        (1u32..100, prop_oneof![Just("s"), Just("m"), Just("ms"), Just("u")])
            .prop_map(|(count, unit)| format!("|stats({count}{unit})|log()")),
        Just("|httpOut('e')".to_owned()),
        "[a-z]{1,4}".prop_map(|name| format!("|httpPost().endpoint('{name}').header('a', 'b')")),
        (-1_000_000i64..1_000_000, -99i64..99).prop_map(|(number, integer)| {
            let float = number as f64 / 1024.0;
            format!("|sideload().field('x', {float:?}).field('i', {integer}).tag('t', 'd')")
        }),
        Just("|alert().details('').id('').crit(lambda: \"v\" > 1)".to_owned()),
        Just("|log().level('')".to_owned()),
        Just("|influxDBOut().buffer(0).flushInterval(0s)|stats(1s)".to_owned()),
        Just(
            "|alert().crit(lambda: \"v\" > 1).slack().channel('#x').log('/tmp/x').topic('t')"
                .to_owned()
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Trees of nodes: each new one stands on any that is there.
    #[test]
    fn any_tree_comes_back(steps in prop::collection::vec((any::<prop::sample::Index>(), step()), 1..12)) {
        let mut script = "var n0 = stream|from()\n".to_owned();
        for (at, (on, step)) in steps.iter().enumerate() {
            script.push_str(&format!("var n{} = n{}{step}\n", at + 1, on.index(at + 1)));
        }
        match around(&script, TaskType::Stream) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let error = define(&script, &options(TaskType::Stream)).map(|_| ()).unwrap_err();
                prop_assert!(false, "does not define: {}\n{}", error, script);
            }
            Err(problem) => prop_assert!(false, "{}\n{}", script, problem),
        }
    }

    /// Changed JSON is read or refused.
    #[test]
    fn changed_json_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let script = "var a = stream|from().groupBy('h')\na|stats(1s)|log()\na|alert().crit(lambda: \"v\" > 1).slack()";
        let json = define(script, &options(TaskType::Stream)).unwrap().pipeline.to_json().to_string();
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(json) = serde_json::from_slice(&bytes)
            && let Ok(pipeline) = Pipeline::from_json(&json, &Udfs::default())
        {
            pipeline.check();
            pipeline.to_script().ok();
        }
    }
}
