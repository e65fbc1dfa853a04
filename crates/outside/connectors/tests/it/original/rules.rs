//! Every rule as a pair: the smallest invalid block with its problem, and its valid neighbour.

use super::{problems, smallest};

/// Fields whose literal or reference a type needs. Source: dataflow-operator.md §7.1, §1.7.
const EITHER: &[(&str, &str, &[&str])] = &[
    ("source", "kafka", &["topic"]),
    ("sink", "kafka", &["topic"]),
    ("source", "postgresql", &["connectionString", "table"]),
    ("sink", "postgresql", &["connectionString", "table"]),
    ("source", "trino", &["serverURL", "catalog", "schema", "table"]),
    ("sink", "trino", &["serverURL", "catalog", "schema", "table"]),
    ("source", "postgresql-cdc", &["connectionString", "slotName", "publicationName"]),
    ("source", "clickhouse", &["connectionString", "table"]),
    ("sink", "clickhouse", &["connectionString", "table"]),
    ("source", "nessie", &["baseURL", "namespace", "table"]),
    ("sink", "nessie", &["baseURL", "namespace", "table"]),
    ("source", "iceberg", &["catalogURI", "namespace", "table"]),
    ("sink", "iceberg", &["catalogURI", "namespace", "table"]),
];

const IDENTIFIER: &str =
    "must be a valid SQL identifier (letters, digits, underscore; must not start with a digit)";

/// Checks one rule of the file; gives nothing at its end.
fn check_rule<'t>(lines: &mut impl Iterator<Item = &'t str>) -> Option<()> {
    let (role, name) = lines.next()?.split_once(' ').expect("a role and a type");
    let mut field = |label: &str| {
        let line = lines.next().and_then(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("{role} {name}: `{label}` is missing"))
    };
    let (bad, says, good) = (field("  bad   "), field("  says  "), field("  good  "));
    let base = smallest(role, name);
    let found = problems(role, name, &format!("{{{base}, {bad}}}"));
    assert_eq!(found, [says], "{role} {name} {bad}");
    let found = problems(role, name, &format!("{{{base}, {good}}}"));
    assert_eq!(found, [""; 0], "{role} {name} {good}");
    Some(())
}

/// Gives the smallest block without one field.
fn without(role: &str, name: &str, field: &str) -> String {
    let start = format!("{field}: ");
    let fields = smallest(role, name).split(", ").filter(|entry| !entry.starts_with(&start));
    fields.collect::<Vec<_>>().join(", ")
}

#[test]
fn each_field_needs_a_literal_or_a_reference() {
    for (role, name, fields) in EITHER {
        let smallest = format!("{{{}}}", smallest(role, name));
        assert_eq!(problems(role, name, &smallest), [""; 0], "{role} {name}");
        for field in *fields {
            let rest = without(role, name, field);
            assert_eq!(
                problems(role, name, &format!("{{{rest}}}")),
                [format!("{field}: Required value: {field} or {field}SecretRef is required")],
            );
            let with = |reference: &str| {
                problems(role, name, &format!("{{{rest}, {field}SecretRef: {reference}}}"))
            };
            assert_eq!(with("{name: n, key: k}"), [""; 0], "{role} {name} {field}");
            assert_eq!(
                with("{}"),
                [
                    format!("{field}SecretRef.name: Required value: secret name is required"),
                    format!("{field}SecretRef.key: Required value: secret key is required"),
                ],
            );
        }
        let every = problems(role, name, "{}");
        assert!(every.len() >= fields.len(), "{role} {name}: {every:#?}");
    }
}

#[test]
fn brokers_are_an_invalid_value_when_they_are_missing() {
    for role in ["source", "sink"] {
        for (brokers, shown) in [
            ("", "null"),
            ("brokers: ~, ", "null"),
            ("brokers: [], ", "[]"),
            ("brokers: ['', ' '], ", "[\"\",\" \"]"),
        ] {
            let expected =
                format!("brokers: Invalid value: {shown}: brokers or brokersSecretRef is required");
            assert_eq!(problems(role, "kafka", &format!("{{{brokers}topic: t}}")), [expected]);
        }
        let by_reference = |reference: &str| {
            problems(role, "kafka", &format!("{{brokersSecretRef: {reference}, topic: t}}"))
        };
        assert_eq!(by_reference("{name: n, key: k}"), [""; 0]);
        assert_eq!(
            by_reference("{key: k}"),
            ["brokersSecretRef.name: Required value: secret name is required"]
        );
        assert_eq!(
            problems(role, "kafka", "{brokers: ['', 'k:9092'], topic: t}"),
            ["warning brokers[0]: an empty broker is left out"]
        );
    }
}

#[test]
fn every_rule_has_a_block_that_breaks_it_and_one_that_does_not() {
    let is_data = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines = include_str!("rules.txt").lines().filter(is_data);
    let mut rules = 0;
    while check_rule(&mut lines).is_some() {
        rules += 1;
    }
    assert!(rules > 60, "{rules} rules");
}

#[test]
fn columns_are_identifiers() {
    for (role, name, field, also) in [
        ("source", "postgresql", "orderByColumn", ""),
        ("source", "postgresql", "changeTrackingColumn", ""),
        ("source", "trino", "orderByColumn", ""),
        ("source", "trino", "changeTrackingColumn", ""),
        ("source", "clickhouse", "orderByColumn", ""),
        ("source", "clickhouse", "changeTrackingColumn", ""),
        ("source", "postgresql-cdc", "primaryKeyColumn", ""),
        ("sink", "postgresql", "conflictKey", ", upsertMode: true"),
        ("sink", "postgresql", "upsertVersionColumn", ", upsertStrategy: ifNewer"),
        ("sink", "postgresql", "softDeleteColumn", ""),
        ("sink", "trino", "conflictKey", ", upsertMode: true"),
        ("sink", "clickhouse", "conflictKey", ", upsertMode: true"),
        ("sink", "clickhouse", "replacingVersionColumn", ""),
    ] {
        let base = smallest(role, name);
        for (value, is_good) in [("updated_at", true), ("_9", true), ("9a", false), ("a b", false)]
        {
            let found = problems(role, name, &format!("{{{base}, {field}: '{value}'{also}}}"));
            let expected = format!("{field}: Invalid value: \"{value}\": {IDENTIFIER}");
            let expected: Vec<String> = Some(expected).filter(|_| !is_good).into_iter().collect();
            assert_eq!(found, expected, "{role} {name} {field} {value}");
        }
    }
    let key = |name, key| {
        let base = smallest("sink", name);
        problems("sink", name, &format!("{{{base}, upsertMode: true, conflictKey: '{key}'}}")).len()
    };
    assert_eq!((key("postgresql", "a, b"), key("postgresql", "a,")), (0, 1));
    assert_eq!((key("trino", "a, b"), key("clickhouse", "a, b")), (1, 1));
}

#[test]
fn cdc_lists_are_checked_element_by_element() {
    let cdc = |tables: &str, more: &str| {
        let base = "connectionString: c, slotName: s, publicationName: p";
        problems("source", "postgresql-cdc", &format!("{{{base}, tables: {tables}{more}}}"))
    };
    assert_eq!(cdc("[]", ""), ["tables: Required value: name the tables to follow, one or more"]);
    assert_eq!(
        cdc("[public.a, '', a.b.c, ' t ']", ""),
        [
            "tables[1]: Required value: the name of a table is missing",
            "tables[2]: Invalid value: \"a.b.c\": is no table: write table or schema.table, of letters, digits and underscores",
        ]
    );
    let expected = [
        format!("includeColumns[1]: Invalid value: \"\": {IDENTIFIER}"),
        format!("excludeColumns[0]: Invalid value: \"b-c\": {IDENTIFIER}"),
    ];
    assert_eq!(cdc("[t]", ", includeColumns: [a, ''], excludeColumns: [b-c]"), expected);
}

#[test]
fn polling_needs_an_interval_and_no_negative_batch() {
    for name in ["postgresql", "trino", "clickhouse", "nessie", "iceberg"] {
        let base = smallest("source", name);
        for value in [0, -5] {
            assert_eq!(
                problems("source", name, &format!("{{{base}, pollInterval: {value}}}")),
                [format!("pollInterval: Invalid value: {value}: must be greater than zero")],
            );
        }
        assert_eq!(problems("source", name, &format!("{{{base}, pollInterval: 1}}")), [""; 0]);
        if !matches!(name, "nessie" | "iceberg") {
            assert_eq!(
                problems("source", name, &format!("{{{base}, readBatchSize: -1}}")),
                ["readBatchSize: Invalid value: -1: must be greater than or equal to zero"],
            );
        }
    }
}
