//! What the sinks have in common: batches, raw mode, idempotency.

use levada_connectors::{SINKS, SOURCES, SinkBatching};
use levada_registry::Named;

use super::{problems, sink, smallest};

/// Batching sinks with their default and recommended batch. Source: dataflow-operator.md §1.7.
const BATCHING: &[(&str, usize)] =
    &[("postgresql", 100), ("trino", 10), ("clickhouse", 500), ("nessie", 500), ("iceberg", 500)];

fn with(name: &str, fields: &str) -> String {
    format!("{{{}, {fields}}}", smallest("sink", name))
}

#[test]
fn the_tables_start_with_the_first_generation() {
    let sources: Vec<_> = SOURCES.iter().map(Named::name).take(7).collect();
    let expected =
        ["kafka", "postgresql", "trino", "postgresql-cdc", "clickhouse", "nessie", "iceberg"];
    assert_eq!(sources, expected);
    let sinks: Vec<_> = SINKS.iter().map(Named::name).take(6).collect();
    assert_eq!(sinks, ["kafka", "postgresql", "trino", "clickhouse", "nessie", "iceberg"]);
    let polling = SOURCES.iter().filter(|entry| entry.of_original && entry.polls).map(Named::name);
    let polling: Vec<_> = polling.collect();
    assert_eq!(polling, ["postgresql", "trino", "clickhouse", "nessie", "iceberg"]);
}

#[test]
fn small_batches_are_worth_a_warning() {
    for &(name, minimum) in BATCHING {
        let below = minimum - 1;
        assert_eq!(
            problems("sink", name, &with(name, &format!("batchSize: {below}"))),
            [format!(
                "warning batchSize: {name} sink batchSize={below} is below recommended minimum {minimum} \
                 for throughput; raise it, or leave it out for the default"
            )],
        );
        for fine in [minimum, 0] {
            let yaml = with(name, &format!("batchSize: {fine}"));
            assert_eq!(problems("sink", name, &yaml), [""; 0], "{name} {fine}");
        }
        assert_eq!(
            problems("sink", name, &with(name, "batchSize: -1, batchFlushIntervalSeconds: -1")),
            [
                "batchSize: Invalid value: -1: must be greater than or equal to zero",
                "batchFlushIntervalSeconds: Invalid value: -1: must be greater than or equal to zero",
            ],
        );
    }
}

#[test]
fn batches_are_those_of_the_settings() {
    for &(name, default) in BATCHING {
        let yaml = format!("{{{}}}", smallest("sink", name));
        assert_eq!(sink(name, &yaml).batching(), SinkBatching::records(default), "{name}");
        let batching =
            sink(name, &with(name, "batchSize: 7, batchFlushIntervalSeconds: 3")).batching();
        assert_eq!((batching.records, batching.linger.as_secs()), (7, 3), "{name}");
    }
    // Kafka gathers what waits already, and waits for nothing.
    assert!(sink("kafka", "{brokers: [k], topic: t}").batching().linger.is_zero());
}

#[test]
fn flattened_metadata_needs_raw_mode_and_a_good_prefix() {
    for (name, _) in BATCHING {
        let found = |fields: &str| problems("sink", name, &with(name, fields));
        assert_eq!(
            found("flattenMetadataColumns: true"),
            [
                "flattenMetadataColumns: Invalid value: true: metadata gets columns of its own in raw mode only: set rawMode to true"
            ],
        );
        let raw = "rawMode: true, flattenMetadataColumns: true";
        assert_eq!(found(raw), [""; 0]);
        assert_eq!(
            found(&format!("{raw}, flattenMetadataColumnsPrefix: a-")),
            ["flattenMetadataColumnsPrefix: Invalid value: \"a-\": \
              columns begin with it: use letters, digits and underscores"],
        );
        assert_eq!(
            found(&format!("{raw}, flattenMetadataColumnsPrefix: 1a")),
            ["flattenMetadataColumnsPrefix: Invalid value: \"1a\": \
              columns begin with it: begin with a letter or an underscore"],
        );
        assert_eq!(found(&format!("{raw}, flattenMetadataColumnsPrefix: kafka_1")), [""; 0]);
        assert_eq!(found("rawMode: true, flattenMetadataColumnsPrefix: a-"), [""; 0]);
    }
}

#[test]
fn upserts_by_a_key_are_idempotent() {
    for name in ["postgresql", "trino", "clickhouse"] {
        let idempotent = |fields: &str| sink(name, &with(name, fields)).is_idempotent();
        assert_eq!(idempotent("upsertMode: true, conflictKey: id"), Some(true), "{name}");
        assert_eq!(idempotent("conflictKey: id"), Some(false), "{name}");
        if name != "trino" {
            assert_eq!(idempotent("upsertMode: true, conflictKey: ' '"), Some(false), "{name}");
        }
    }
    for name in ["kafka", "nessie", "iceberg"] {
        let yaml = format!("{{{}}}", smallest("sink", name));
        assert_eq!(sink(name, &yaml).is_idempotent(), Some(false), "{name}");
    }
}

#[test]
fn trino_upserts_need_an_iceberg_catalog() {
    let trino = |catalog: &str| {
        let yaml = format!(
            "{{serverURL: u, {catalog}, schema: s, table: t, upsertMode: true, conflictKey: id}}"
        );
        problems("sink", "trino", &yaml)
    };
    assert_eq!(
        trino("catalog: hive"),
        ["catalog: Invalid value: \"hive\": upsertMode writes by MERGE, which Iceberg \
          catalogs alone take: the name of the catalog must contain iceberg"],
    );
    assert_eq!(trino("catalog: My_Iceberg"), [""; 0]);
    assert_eq!(trino("catalogSecretRef: {name: n, key: k}"), [""; 0]);
}
