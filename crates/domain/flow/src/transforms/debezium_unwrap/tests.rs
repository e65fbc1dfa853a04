#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{
    NOT_JSON, batch_of, check, check_problems, check_unchanged, run, step,
};
use super::*;

/// Gives what leaves and its metadata as JSON.
fn unwrapped(config: &str, payload: &str, meta: &[(&str, Value)]) -> (String, String) {
    let mut batch = batch_of(payload);
    for (key, value) in meta {
        batch.meta_mut(0).set(key, value.clone());
    }
    let got = run(&mut *step::<Spec>(config, &TransformContext::default()), &mut batch);
    let got = match got {
        Ok(out) if out.is_empty() => "dropped".into(),
        Ok(out) => String::from_utf8(out.concat()).unwrap(),
        Err(error) => {
            assert_eq!(&*batch.payload(0), payload.as_bytes());
            format!("error: {error}")
        }
    };
    let mut meta = Vec::new();
    if let Some(known) = batch.meta(0) {
        known.write_json(&mut meta);
    }
    (got, String::from_utf8(meta).unwrap())
}

fn case(config: &str, payload: &str, expected: &str, meta: &str) {
    let got = unwrapped(config, payload, &[]);
    assert_eq!(got, (expected.to_owned(), meta.to_owned()), "{config} on {payload}");
}

#[test]
fn operations() {
    let event = |op: &str| {
        format!(
            r#"{{"schema":{{}},"payload":{{"op":"{op}","before":{{"id":1,"v":"old"}},"after":{{ "id":2, "v" : 1.0 }},"ts_ms":1}}}}"#
        )
    };
    let after = r#"{ "id":2, "v" : 1.0 }"#;
    case("{}", &event("c"), after, r#"{"operation":"insert","id":2}"#);
    case("{}", &event("u"), after, r#"{"operation":"update","id":2}"#);
    case("{}", &event("r"), after, r#"{"operation":"insert","id":2}"#);
    case("snapshotOperation: update", &event("r"), after, r#"{"operation":"update","id":2}"#);
    case("snapshotOperation: update", &event("c"), after, r#"{"operation":"insert","id":2}"#);
    case("{}", &event("d"), r#"{"id":1,"v":"old"}"#, r#"{"operation":"delete","id":1}"#);
}

#[test]
fn ids_keep_their_type() {
    for id in [
        "1",
        "-5",
        "18446744073709551615",
        "123456789012345678901234567890",
        "1.50",
        "\"a\\\"b\"",
        "true",
        "null",
        "[1,{\"a\":2.0}]",
    ] {
        let payload = format!(r#"{{"payload":{{"op":"c","after":{{"id":{id}}}}}}}"#);
        case(
            "{}",
            &payload,
            &format!("{{\"id\":{id}}}"),
            &format!("{{\"operation\":\"insert\",\"id\":{id}}}"),
        );
    }
    case("{}", r#"{"payload":{"op":"c","after":{}}}"#, "{}", r#"{"operation":"insert"}"#);
}

#[test]
fn what_is_no_event_passes() {
    check_unchanged::<Spec>(
        "addOperationFields: true",
        &[
            b"{ }",
            b"{\"op\":\"c\",\"after\":{}}",
            b"{\"payload\":null}",
            b"{\"payload\": [ {\"op\":\"c\"} ]}",
            b"{\"payload\":{\"after\":{}}}",
        ],
    );
}

#[test]
fn errors() {
    let error = "error: debezium unwrap: invalid JSON payload: not a JSON object";
    for payload in NOT_JSON.iter().copied().filter(|payload| !payload.is_empty()) {
        check::<Spec>("{}", payload, &[error]);
    }
    for payload in ["[{}]", "\"x\"", "1", "null", "true"] {
        check::<Spec>("{}", payload, &[error]);
    }
    for (payload, error) in [
        (r#"{"payload":{"op":"t","after":{}}}"#, "unsupported op \"t\""),
        (r#"{"payload":{"op":"C","after":{}}}"#, "unsupported op \"C\""),
        (r#"{"payload":{"op":"","after":{}}}"#, "unsupported op \"\""),
        (r#"{"payload":{"op":null,"after":{}}}"#, "unsupported op \"\""),
        (r#"{"payload":{"op":1,"after":{}}}"#, "unsupported op \"1\""),
        (r#"{"payload":{"op":"c"}}"#, "payload.after must be object"),
        (r#"{"payload":{"op":"u","after":null,"before":{}}}"#, "payload.after must be object"),
        (r#"{"payload":{"op":"r","after":[]}}"#, "payload.after must be object"),
        (r#"{"payload":{"op":"d","before":null,"after":{}}}"#, "payload.before must be object"),
    ] {
        check::<Spec>(
            "addOperationFields: true",
            payload,
            &[&format!("error: debezium unwrap: {error}")],
        );
    }
}

#[test]
fn operation_fields() {
    let config = "addOperationFields: true";
    for (op, row, deleted) in [
        ("c", "after", "false"),
        ("u", "after", "false"),
        ("r", "after", "false"),
        ("d", "before", "true"),
    ] {
        check::<Spec>(
            config,
            format!(r#"{{"payload":{{"op":"{op}","{row}":{{"a":1.0, "b":2}}}}}}"#),
            &[&format!(r#"{{"a":1.0, "b":2,"__op":"{op}","__deleted":"{deleted}"}}"#)],
        );
    }
    check::<Spec>(
        config,
        r#"{"payload":{"op":"c","after":{"__op":5}}}"#,
        &[r#"{"__op":"c","__deleted":"false"}"#],
    );
}

#[test]
fn source_fields() {
    let payload = r#"{"payload":{"op":"c","after":{"id":1,"source_db":"x"},"source":{"db":"shop","lsn":12345678901234567890,"q":{"z" : 1},"nil":null}}}"#;
    case(
        "addSourceFields: [db, lsn, q, nil, missing]",
        payload,
        r#"{"id":1,"source_db":"shop","source_lsn":12345678901234567890,"source_q":{"z" : 1},"source_nil":null}"#,
        r#"{"operation":"insert","id":1}"#,
    );
    case(
        "includeSourceInMetadata: true",
        payload,
        r#"{"id":1,"source_db":"x"}"#,
        r#"{"operation":"insert","id":1,"source_db":"shop","source_lsn":12345678901234567890,"source_q":{"z":1},"source_nil":null}"#,
    );
    let without = r#"{"payload":{"op":"c","after":{"id":1},"source":null}}"#;
    case(
        "{includeSourceInMetadata: true, addSourceFields: [db]}",
        without,
        "{\"id\":1}",
        r#"{"operation":"insert","id":1}"#,
    );
}

#[test]
fn tombstones() {
    let infer = "{inferDeleteFromTombstone: true, addOperationFields: true}";
    let check = |config: &str, meta: &[(&str, Value)], expected: &str, after: &str| {
        let got = unwrapped(config, "", meta);
        assert_eq!(got, (expected.to_owned(), after.to_owned()), "{config}");
    };
    check("{}", &[], "dropped", "");
    check("{}", &[("key", "{\"id\":1}".into())], "dropped", r#"{"key":"{\"id\":1}"}"#);
    check(
        infer,
        &[("key", "{\"id\":1.0}".into())],
        r#"{"id":1.0,"__op":"d","__deleted":"true"}"#,
        r#"{"key":"{\"id\":1.0}","operation":"delete","id":1.0}"#,
    );
    let schema = "{\"schema\":{},\"payload\":{\"id\":\"x\"}}";
    check(
        infer,
        &[("key", Value::Bytes(schema.as_bytes().into()))],
        r#"{"id":"x","__op":"d","__deleted":"true"}"#,
        r#"{"key":"{\"schema\":{},\"payload\":{\"id\":\"x\"}}","operation":"delete","id":"x"}"#,
    );
    check(
        "inferDeleteFromTombstone: true",
        &[("key", "{\"payload\":1}".into())],
        "{\"payload\":1}",
        r#"{"key":"{\"payload\":1}","operation":"delete"}"#,
    );
    let error = "error: debezium unwrap: tombstone key must be a JSON object";
    check(infer, &[], error, "");
    check(infer, &[("key", "12".into())], error, r#"{"key":"12"}"#);
    check(infer, &[("key", "{".into())], error, r#"{"key":"{"}"#);
    check(infer, &[("key", Value::Bytes((*b"\xff").into()))], error, r#"{"key":"/w=="}"#);
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    check::<Spec>(
        "{}",
        r#"{"payload":{"op":"x","op":"c","after":{"a":1},"after":{"a":2}}}"#,
        &[r#"{"a":2}"#],
    );
}

#[test]
fn settings() {
    check_problems::<Spec>(
        "{snapshotOperation: upsert, addSourceFields: [a, '']}",
        &[
            "config.snapshotOperation: Unsupported value: \"upsert\": supported values: \"insert\", \"update\"",
            "config.addSourceFields[1]: Required value: field is required",
        ],
    );
    check_problems::<Spec>("{}", &[]);
}

proptest! {
    #[test]
    fn equals_the_naive_way(
        before in super::super::sample::value(),
        after in super::super::sample::value(),
        source in super::super::sample::value(),
        seed: u64,
        op in prop::sample::select(vec!["c", "u", "d", "r", "x"]),
    ) {
        let event = json!({"payload": {"before": before, "after": after, "op": op, "source": source}});
        let config = "{addOperationFields: true, addSourceFields: [a, é]}";
        let (got, _) = unwrapped(config, &super::super::sample::written(&event, seed), &[]);
        let row = if op == "d" { before } else { after };
        let expected: Option<serde_json::Value> = match row {
            _ if op == "x" => None,
            serde_json::Value::Object(mut row) => {
                row.insert("__op".into(), op.into());
                row.insert("__deleted".into(), (op == "d").to_string().into());
                for name in ["a", "é"] {
                    if let Some(found) = source.as_object().and_then(|source| source.get(name)) {
                        row.insert(format!("source_{name}"), found.clone());
                    }
                }
                Some(row.into())
            }
            _ => None,
        };
        match expected {
            Some(expected) => {
                let got: serde_json::Value = serde_json::from_str(&got).unwrap();
                prop_assert_eq!(got, expected);
            }
            None => prop_assert!(got.starts_with("error: debezium unwrap: "), "{}", got),
        }
    }
}
