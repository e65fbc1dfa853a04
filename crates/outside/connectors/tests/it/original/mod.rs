//! The connector types of the original: every field, every rule of the admission webhook.

mod fields;
mod rules;
mod sinks;

use levada_connectors::{AnySink, SINKS, SOURCES};
use levada_registry::{FieldPath, Node, Report, Severity, find, manifest};

/// Gives a block from its YAML.
fn block(yaml: &str) -> Node {
    let documents = manifest::parse(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    documents.into_iter().next().map_or_else(|| panic!("{yaml}: empty"), |document| document.root)
}

/// Gives the problems of a block, with paths below it; `role` is `source` or `sink`.
fn problems(role: &str, name: &str, yaml: &str) -> Vec<String> {
    let (node, at, mut report) = (block(yaml), FieldPath::root(), Report::new());
    match role {
        "source" => {
            let entry = find(SOURCES, "source type", name).expect("a source of the table");
            assert!(entry.of_original, "{name}");
            (entry.decode)(&node, &at, &mut report);
        }
        _ => {
            let entry = find(SINKS, "sink type", name).expect("a sink of the table");
            assert!(entry.of_original, "{name}");
            (entry.decode)(&node, &at, &mut report);
        }
    }
    let shown = |problem: &levada_registry::Problem| match problem.severity {
        Severity::Error => problem.to_string(),
        Severity::Warning => format!("warning {problem}"),
    };
    report.problems().iter().map(shown).collect()
}

/// Gives a sink that has no problem.
fn sink(name: &str, yaml: &str) -> Box<dyn AnySink> {
    let mut report = Report::new();
    let entry = find(SINKS, "sink type", name).expect("a sink of the table");
    let sink = (entry.decode)(&block(yaml), &FieldPath::root(), &mut report);
    assert!(report.is_ok(), "{yaml}: {report:?}");
    sink.expect("a block without errors is decoded")
}

/// Gives the smallest valid fields of a type, as flow-style YAML without braces.
fn smallest(role: &str, name: &str) -> &'static str {
    match (role, name) {
        (_, "kafka") => "brokers: [k:9092], topic: t",
        (_, "postgresql" | "clickhouse") => "connectionString: c, table: t",
        (_, "postgresql-cdc") => {
            "connectionString: c, slotName: s, publicationName: p, tables: [public.t]"
        }
        (_, "trino") => "serverURL: u, catalog: iceberg, schema: s, table: t",
        (_, "nessie") => "baseURL: u, namespace: n, table: t",
        (_, "iceberg") => "catalogURI: u, namespace: n, table: t",
        _ => panic!("no fields for {role} {name}"),
    }
}
