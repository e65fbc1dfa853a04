//! Flows and graphs for tests, and a small check of XML.
#![expect(clippy::unwrap_used, reason = "tests")]

use levada_registry::{Report, manifest};
use proptest::prelude::*;

use super::model::{Exit, Graph, Node, Role, Way, clean, shorten};
use crate::spec::{self, Flow};

/// Gives a checked flow; `body` is the inside of `spec`, indented by two.
pub(super) fn flow(body: &str) -> Flow {
    let text = format!(
        "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {{name: orders}}\nspec:\n{body}"
    );
    let document = manifest::parse(&text).unwrap().remove(0);
    let mut report = Report::new();
    let flow = spec::check(&document, "orders", &mut report);
    let problems: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    flow.unwrap_or_else(|| panic!("{problems:#?}"))
}

/// A flow with everything: a source, three steps, two routes, an error sink.
pub(super) fn orders() -> Graph {
    let flow = flow(
        "  source:
    type: kafka
    kafka: {brokers: ['k:9092'], topic: orders, consumerGroup: g}
  transformations:
    - type: timestamp
      timestamp: {fieldName: at}
    - type: mask
      when: $.user.email != ''
      mask: {fields: [user.email]}
    - type: router
      router:
        routes:
          - name: large
            condition: $.amount >= 1000 && $.country == \"DE\"
            sink: {type: kafka, kafka: {brokers: ['k:9092'], topic: orders-large}}
          - condition: $.kind == 'refund' || $.kind == 'return' || $.kind == 'claim'
            sink: {type: kafka, kafka: {brokers: ['k:9092'], topic: refunds}}
  sink:
    type: postgresql
    postgresql: {connectionString: 'postgres://u:p@db/shop', table: public.orders}
  errors:
    type: kafka
    kafka: {brokers: ['k:9092'], topic: orders-failed}
",
    );
    Graph::of(&flow)
}

pub(super) fn node(role: Role, title: &str, details: &[&str]) -> Node {
    let details = details.iter().map(|text| (*text).to_owned()).collect();
    Node { role, title: title.to_owned(), details }
}

pub(super) fn route(name: &str, condition: &str, sink: Node) -> Exit {
    Exit { way: Way::Route { name: name.into(), condition: condition.into() }, sink }
}

/// The flow of the first picture in the documentation.
pub(super) fn host_metrics() -> Graph {
    Graph {
        name: "host-metrics".into(),
        chain: vec![
            node(Role::Source, "hostMetrics", &["every 10s"]),
            node(Role::Step, "timestamp", &[]),
            node(Role::Step, "mask", &["user.email"]),
            node(Role::Router, "router", &["2 routes"]),
        ],
        exits: vec![
            route("cpu", "$.metric == 'cpu'", node(Role::Sink, "file", &["cpu.ndjson"])),
            route("disk", "$.metric == 'disk'", node(Role::Sink, "file", &["disk.ndjson"])),
            Exit { way: Way::NoRoute, sink: node(Role::Sink, "stdout", &[]) },
            Exit { way: Way::Failed, sink: node(Role::Errors, "file", &["errors.ndjson"]) },
        ],
    }
}

/// A flow with this many steps and routes.
pub(super) fn wide(steps: usize, routes: usize) -> Graph {
    let mut graph = host_metrics();
    graph.chain.truncate(1);
    for index in 1..=steps {
        let detail = format!("field_{index}, other_field_{index}");
        let details: &[&str] = if index % 3 == 0 { &[&detail, "when $.amount > 10"] } else { &[] };
        graph.chain.push(node(Role::Step, "headersToPayload", details));
    }
    let tail = graph.exits.split_off(2);
    graph.exits.clear();
    for index in 0..routes {
        let sink = node(Role::Sink, "kafka", &[&format!("topic-number-{index}")]);
        graph.exits.push(route(
            &format!("route-{index}"),
            "$.metadata.kind == 'something long'…",
            sink,
        ));
    }
    graph.exits.extend(tail);
    if let (0, Some(main)) = (routes, graph.exits.first_mut()) {
        main.way = Way::All;
    }
    graph
}

/// Any graph, its texts anything that a flow's texts can be.
pub(super) fn any_graph() -> impl Strategy<Value = Graph> {
    let text = || {
        prop_oneof![any::<String>(), "[\"'`<>&#$%|\\\\{}\\[\\]; a-z0-9.-]{0,60}"]
            .prop_map(|text| shorten(&clean(&text), 48))
    };
    let a_node = move |role: Role| {
        (text(), prop::collection::vec(text(), 0..3)).prop_map(move |(title, details)| Node {
            role,
            title,
            details,
        })
    };
    let steps = prop::collection::vec(a_node(Role::Step), 0..12);
    let routes = prop::collection::vec((text(), text(), a_node(Role::Sink)), 0..14);
    let ends = (a_node(Role::Source), a_node(Role::Sink), prop::option::of(a_node(Role::Errors)));
    (text(), steps, routes, ends).prop_map(|(name, steps, routes, (source, main, errors))| {
        let way = if routes.is_empty() { Way::All } else { Way::NoRoute };
        let routes =
            routes.into_iter().map(|(name, condition, sink)| route(&name, &condition, sink));
        let errors = errors.map(|sink| Exit { way: Way::Failed, sink });
        Graph {
            name,
            chain: std::iter::once(source).chain(steps).collect(),
            exits: routes.chain([Exit { way, sink: main }]).chain(errors).collect(),
        }
    })
}

/// Checks that a text is well-formed XML of the plain sort that is written here: elements with quoted
/// attributes, text, and the five entities; no declarations, comments or sections.
pub(super) fn well_formed(xml: &str) -> Result<(), String> {
    let entities = |text: &str| {
        let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        let bad =
            text.split('&').skip(1).find(|rest| !known.iter().any(|known| rest.starts_with(known)));
        bad.map_or(Ok(()), |rest| Err(format!("bare ampersand before `{rest}`")))
    };
    let is_char = |c: char| !c.is_control() || c == '\n';
    if let Some(c) = xml.chars().find(|c| !is_char(*c) || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(format!("character {c:?}"));
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml.trim_end();
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        entities(text)?;
        if open.is_empty() && !text.is_empty() {
            return Err(format!("text outside: {text}"));
        }
        // No attribute holds a raw `<` or `>`, so the next `>` ends the tag.
        let end = rest.find('>').ok_or("unfinished tag")?;
        let tag = rest.get(at + 1..end).ok_or("`>` in text")?;
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("unexpected </{name}>"));
            }
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let parts: Vec<&str> = attributes.split('"').collect();
        if tag.contains('<') || parts.len().is_multiple_of(2) || parts.last() != Some(&"") {
            return Err(format!("bad tag <{tag}>"));
        }
        for pair in parts.chunks(2).filter(|pair| pair.len() == 2) {
            let key = pair[0]
                .trim()
                .strip_suffix('=')
                .ok_or_else(|| format!("bad attribute in <{tag}>"))?;
            if key.is_empty() || key.contains([' ', '=']) {
                return Err(format!("bad attribute `{key}`"));
            }
            entities(pair[1])?;
        }
        if !is_empty {
            open.push(name);
        }
    }
    if !rest.is_empty() || !open.is_empty() {
        return Err(format!("not closed: {open:?} {rest}"));
    }
    Ok(())
}
