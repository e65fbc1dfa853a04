#![expect(clippy::unwrap_used, reason = "tests")]

use levada_gateway::rules::SinkerSpec;

use super::*;

fn inside(name: &str, kind: Inside) -> DestinationSpec {
    let mut settings = levada_settings::Settings::default().gateway;
    settings.destination = vec![levada_settings::gateway::Destination {
        name: name.to_owned(),
        kind: levada_settings::gateway::Kind::Flow,
        ..Default::default()
    }];
    let mut spec = specs::destinations(&settings).unwrap().remove(0);
    spec.kind = Kind::Inside(kind);
    spec
}

fn flow(name: &str) -> DestinationSpec {
    inside(name, Inside::Flow { name: name.to_owned() })
}

fn task(name: &str) -> DestinationSpec {
    let (database, retention) = ("d".to_owned(), "r".to_owned());
    inside(name, Inside::Task { name: name.to_owned(), database, retention })
}

fn sinker(category: Category, filters: &[&str], id: DestinationId) -> SinkerSpec {
    SinkerSpec {
        name: String::new(),
        categories: vec![category],
        filters: filters.iter().map(|text| (*text).to_owned()).collect(),
        target: Target::Each(vec![id]),
    }
}

/// Flows as they are read from their files: name, name of the source, and the sink.
fn flows(all: &[(&str, &str, &str)]) -> Vec<Flow> {
    let one = |(name, source, rest): &(&str, &str, &str)| {
        let text = format!(
            "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {{ name: {name} }}\nspec:\n  source: {{ type: gateway, config: {{ name: {source} }} }}\n{rest}\n"
        );
        let document = levada_registry::manifest::parse(&text).unwrap().remove(0);
        let mut report = levada_registry::Report::default();
        let flow = levada_flow::spec::check(&document, name, &mut report);
        flow.unwrap_or_else(|| panic!("{report:?}"))
    };
    all.iter().map(one).collect()
}

const BY_RULES: &str = "  sink: { type: gateway, config: { category: logging, measurement: m } }";

fn straight(name: &str) -> String {
    format!("  sink: {{ type: gateway, config: {{ name: {name}, measurement: m }} }}")
}

#[test]
fn sure_circles_are_refused_with_their_path() {
    let (to_b, to_a, to_keep) = (straight("b"), straight("a"), straight("keep"));
    let routed = "  transformations:\n    - type: router\n      config: { routes: [{ name: again, condition: '$.n < 3', sink: { type: gateway, config: { name: keep, measurement: m } } }] }\n  sink: { type: blackhole, config: {} }";
    let default = |id| RulesSpec { default: Some(Target::Each(vec![id])), ..RulesSpec::default() };
    let of_metrics = RulesSpec { sinkers: vec![sinker(Category::Metric, &[], 0)], ..default(1) };
    let of_logs = RulesSpec { sinkers: vec![sinker(Category::Logging, &[], 0)], ..default(1) };
    let of_some =
        RulesSpec { sinkers: vec![sinker(Category::Logging, &["{ a = 'b' }"], 0)], ..default(1) };
    let behind = |sink_mode| RulesSpec {
        sink_mode,
        sinkers: vec![sinker(Category::Logging, &[], 1), sinker(Category::Logging, &[], 0)],
        ..default(1)
    };
    let (each, first) = (behind(SinkMode::All), behind(SinkMode::First));
    let keep = || vec![flow("keep"), flow("nobody")];
    let pair = || vec![flow("a"), flow("b")];
    for (what, destinations, rules, read, expected) in [
        (
            "straight back",
            keep(),
            RulesSpec::default(),
            flows(&[("f", "keep", &to_keep)]),
            Some(
                "destination `keep` → source `gateway` of name `keep` → flow `default/f` → destination `keep`",
            ),
        ),
        (
            "over two",
            pair(),
            RulesSpec::default(),
            flows(&[("f", "a", &to_b), ("g", "b", &to_a)]),
            Some(
                "destination `a` → source `gateway` of name `a` → flow `default/f` → destination `b` → source `gateway` of name `b` → flow `default/g` → destination `a`",
            ),
        ),
        ("in a line", pair(), RulesSpec::default(), flows(&[("f", "a", &to_b)]), None),
        (
            "by the default",
            keep(),
            default(0),
            flows(&[("f", "keep", BY_RULES)]),
            Some(
                "gateway (logging) → destination `keep` → source `gateway` of name `keep` → flow `default/f` → gateway (logging)",
            ),
        ),
        ("to another default", keep(), default(1), flows(&[("f", "keep", BY_RULES)]), None),
        (
            "by a sinker of all logs",
            keep(),
            of_logs,
            flows(&[("f", "keep", BY_RULES)]),
            Some("gateway (logging) → destination `keep`"),
        ),
        (
            "by the second of two sinkers of all logs",
            keep(),
            each,
            flows(&[("f", "keep", BY_RULES)]),
            Some("gateway (logging) → destination `keep`"),
        ),
        (
            "by the second, of which the first takes all",
            keep(),
            first,
            flows(&[("f", "keep", BY_RULES)]),
            None,
        ),
        ("by a sinker of metrics", keep(), of_metrics, flows(&[("f", "keep", BY_RULES)]), None),
        ("by a filter", keep(), of_some, flows(&[("f", "keep", BY_RULES)]), None),
        ("by a route", keep(), RulesSpec::default(), flows(&[("f", "keep", routed)]), None),
    ] {
        let circles = Circles::default();
        circles.set_flows(read.iter());
        let targets = destinations.iter().zip(0..);
        let targets =
            targets.map(|(spec, id)| (spec.name.clone(), Target::Each(vec![id]))).collect();
        let found = circles.set_gateway(&destinations, &rules, &targets).map(drop);
        match expected {
            None => assert_eq!(found, Ok(()), "{what}"),
            Some(expected) => {
                let text = found.unwrap_err();
                let begins = format!("points would go round for ever: {expected}");
                assert!(text.starts_with(&begins), "{what}: {text}");
            }
        }
    }
}

#[test]
fn a_task_may_not_write_to_what_feeds_it() {
    let circles = Circles::default();
    let rules = RulesSpec {
        sinkers: vec![
            sinker(Category::Metric, &[], 0),
            sinker(Category::Logging, &["{ a = 'b' }"], 0),
        ],
        ..RulesSpec::default()
    };
    let targets = [("t".to_owned(), Target::Each(vec![0]))].into();
    let before = circles.set_gateway(&[task("t")], &rules, &targets).unwrap();
    assert_eq!(
        circles.task_writes("t", Category::Metric).unwrap_err(),
        "points would go round for ever: gateway (metric) → destination `t` → task `t` → gateway (metric)"
    );
    // It depends on the points; nothing feeds the other one.
    circles.task_writes("t", Category::Logging).unwrap();
    circles.task_writes("other", Category::Metric).unwrap();
    // What has begun counts when the rules change.
    let error = circles.set_gateway(
        &[task("other")],
        &rules,
        &[("other".to_owned(), Target::Each(vec![0]))].into(),
    );
    assert!(error.map(drop).unwrap_err().contains("task `other`"));
    // The rules that were refused are not remembered.
    circles.task_writes("third", Category::Metric).unwrap();
    // Nor are those that could not be opened.
    circles.restore_gateway(before);
    circles.task_writes("t", Category::Metric).unwrap();
}
