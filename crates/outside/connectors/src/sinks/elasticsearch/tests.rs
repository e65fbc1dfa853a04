#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::sinks::testing::{Fake, batch, status, write};
use crate::sources::testing::{context, settings, texts};

async fn open(urls: &[&str], mut json: Value) -> ElasticsearchSink {
    json["urls"] = json!(urls);
    if json["index"].is_null() {
        json["index"] = json!("logs");
    }
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    assert_eq!(texts(&report), [""; 0]);
    let mut sink = ElasticsearchSink::new(spec, &context()).unwrap();
    sink.open().await.unwrap();
    sink
}

fn results(items: &str) -> axum::response::Response {
    let items = items.split(' ').map(|item| match item.split_once(':') {
        None => format!("{{\"index\":{{\"status\":{item}}}}}"),
        Some((code, kind)) => format!(
            "{{\"index\":{{\"status\":{code},\"error\":{{\"type\":\"{kind}\",\"reason\":\"r\"}}}}}}"
        ),
    });
    let items: Vec<String> = items.collect();
    let text = format!("{{\"errors\":true,\"items\":[{}]}}", items.join(","));
    status(200, text.leak())
}

#[tokio::test]
async fn records_become_bulk_lines() {
    let fake = Fake::start(vec![results("201 201"), results("201 201"), results("200")]).await;
    let mut sink = open(
        &[&fake.base],
        json!({
            "index": "l-{app}-{date:%Y.%m}", "id": "o.id", "routing": "$.app", "pipeline": "p 1",
            "opType": "create", "timestamp": "t", "compression": "gzip",
            "auth": {"apiKey": {"token": "abc"}},
        }),
    )
    .await;
    let payloads = [
        r#"{"app":"a\"b","o":{"id":7},"t":"2026-02-07T10:30:00Z"}"#,
        "{\n \"app\":\"x y\",\r\n\"o\":{\"id\":\"k\"},\"t\":1770460200}",
        r#"{"app":"a","t":1}"#,
        r#"{"app":"a","o":{"id":""},"t":1}"#,
        r#"{"app":"a","o":{"id":1}}"#,
        r#"{"app":{},"o":{"id":1},"t":1}"#,
        "[1]",
        "nope",
    ];
    let (result, outcomes) = write(&mut sink, &payloads).await;
    result.unwrap();
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
    let reasons: Vec<&str> =
        outcomes.rejected_records().iter().map(|(_, error)| error.message.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "id: the record has no value at `o.id`",
            "id: `o.id` has 0 bytes; ids have 1 to 512",
            "timestamp: the record has no value at `t`",
            "`app` is an object; a text, number or boolean is needed",
            "the payload is JSON of kind array; an object is needed",
            "invalid JSON at byte 0: expected a value (`true`, `false` or `null`)",
        ]
    );
    assert_eq!(
        fake.bodies(),
        [concat!(
            "{\"create\":{\"_index\":\"l-a\\\"b-2026.02\",\"_id\":\"7\",\"routing\":\"a\\\"b\"}}\n",
            "{\"app\":\"a\\\"b\",\"o\":{\"id\":7},\"t\":\"2026-02-07T10:30:00Z\"}\n",
            "{\"create\":{\"_index\":\"l-x y-2026.02\",\"_id\":\"k\",\"routing\":\"x y\"}}\n",
            "{\"app\":\"x y\",\"o\":{\"id\":\"k\"},\"t\":1770460200}\n",
        )]
    );
    let got = fake.got.lock().unwrap();
    let head = &got[0].head;
    assert_eq!(head.uri.path(), "/_bulk");
    assert!(head.uri.query().unwrap().ends_with("&pipeline=p+1"), "{:?}", head.uri);
    assert_eq!(head.headers.get("authorization").unwrap(), "ApiKey abc");
}

#[tokio::test]
async fn payloads_are_not_parsed_without_need() {
    let fake = Fake::start(vec![results("201 400:mapper_parsing_exception")]).await;
    let mut sink = open(&[&fake.base], json!({})).await;
    let (result, outcomes) = write(&mut sink, &[" {\"a\":1}", "{\"a\":", "7", "{\"a\":\n"]).await;
    result.unwrap();
    assert_eq!(
        fake.bodies(),
        [concat!(
            "{\"index\":{\"_index\":\"logs\"}}\n {\"a\":1}\n",
            "{\"index\":{\"_index\":\"logs\"}}\n{\"a\":\n"
        )]
    );
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..1)));
    let mut rejected: Vec<(usize, &str)> =
        outcomes.rejected_records().iter().map(|(i, error)| (*i, &*error.message)).collect();
    rejected.sort_unstable();
    assert_eq!(rejected[0], (1, "mapper_parsing_exception: r"));
    assert_eq!(rejected[1], (2, "the payload is not a JSON object"));
    assert!(rejected[2].1.contains("line feed"), "{rejected:?}");
}

#[tokio::test]
async fn updates_and_deletes_have_their_lines() {
    for (op_type, expected) in [
        (
            "update",
            "{\"update\":{\"_index\":\"logs\",\"_id\":\"1\"}}\n{\"doc\":{\"id\":1},\"doc_as_upsert\":true}\n",
        ),
        ("delete", "{\"delete\":{\"_index\":\"logs\",\"_id\":\"1\"}}\n"),
    ] {
        let fake =
            Fake::start(vec![results(if op_type == "delete" { "404" } else { "200" })]).await;
        let mut sink = open(&[&fake.base], json!({"id": "id", "opType": op_type})).await;
        let (result, outcomes) = write(&mut sink, &["{\"id\":1}"]).await;
        result.unwrap();
        assert_eq!(
            (outcomes.delivered_ranges().len(), fake.bodies()),
            (1, vec![expected.to_owned()])
        );
    }
}

#[tokio::test]
async fn only_items_that_could_not_be_written_are_written_again() {
    let fake = Fake::start(vec![
        results("201 429:es_rejected_execution_exception 400:bad 503:unavailable_shards_exception"),
        results("201 403:cluster_block_exception"),
        results("200"),
    ])
    .await;
    let mut sink = open(&[&fake.base], json!({})).await;
    let payloads = batch(&["{\"a\":0}", "{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
    let mut outcomes = Outcomes::default();
    let error = sink.write(&payloads, &mut outcomes).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(
        error.message,
        format!("`{}/_bulk` cannot take 2 of 4 now: es_rejected_execution_exception: r", fake.base)
    );
    assert_eq!((outcomes.resolved(), outcomes.rejected_records()[0].0), (2, 2));
    assert!(sink.write(&payloads, &mut outcomes).await.unwrap_err().class.is_transient());
    sink.write(&payloads, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), 4);
    let bodies = fake.bodies();
    assert!(bodies[1].contains("{\"a\":1}\n") && bodies[1].contains("{\"a\":3}\n"));
    assert_eq!(bodies[2], "{\"index\":{\"_index\":\"logs\"}}\n{\"a\":3}\n");
}

#[tokio::test]
async fn statuses_of_items_decide() {
    let missing = "404:index_not_found_exception";
    for (json, item, class) in [
        (json!({"id": "a", "opType": "create"}), "409:version_conflict", None),
        (json!({"id": "a"}), missing, Some(ErrorClass::Unknown)),
        (json!({}), "403:security_exception", Some(ErrorClass::AuthError)),
    ] {
        let fake = Fake::start(vec![results(item)]).await;
        let mut sink = open(&[&fake.base], json).await;
        let (result, outcomes) = write(&mut sink, &["{\"a\":1}"]).await;
        assert_eq!(result.as_ref().err().map(|error| error.class), class, "{item}");
        assert_eq!(outcomes.resolved(), usize::from(class.is_none()), "{item}");
    }
    for (json, item) in [
        (json!({"id": "a"}), "409:version_conflict"),
        (json!({"opType": "create"}), "409:version_conflict"),
        (json!({"index": "x-{a}"}), missing),
    ] {
        let fake = Fake::start(vec![results(item)]).await;
        let mut sink = open(&[&fake.base], json).await;
        let (result, outcomes) = write(&mut sink, &["{\"a\":1}"]).await;
        result.unwrap();
        assert_eq!(outcomes.rejected_records().len(), 1, "{item}");
    }
}

#[tokio::test]
async fn requests_are_cut_by_size_and_the_next_server_is_used() {
    let well = Fake::start(vec![results("201"), results("201")]).await;
    let ill = Fake::start(vec![status(503, "starting")]).await;
    let mut sink = open(&[&ill.base, &well.base], json!({"maxBytes": 20})).await;
    let payloads = batch(&["{\"a\":0}", "{\"a\":1}"]);
    let mut outcomes = Outcomes::default();
    let error = sink.write(&payloads, &mut outcomes).await.unwrap_err();
    assert!(error.class.is_transient() && error.message.contains("503"), "{error}");
    sink.write(&payloads, &mut outcomes).await.unwrap();
    assert_eq!((ill.bodies().len(), well.bodies().len(), outcomes.resolved()), (1, 2, 2));
}

#[tokio::test]
async fn what_follows_waits_for_items_that_are_written_again() {
    let fake = Fake::start(vec![results("429:busy"), results("201"), results("201")]).await;
    let mut sink = open(&[&fake.base], json!({"id": "id", "maxBytes": 20})).await;
    let payloads = batch(&["{\"id\":1,\"v\":1}", "{\"id\":1,\"v\":2}"]);
    let mut outcomes = Outcomes::default();
    assert!(sink.write(&payloads, &mut outcomes).await.unwrap_err().class.is_transient());
    assert_eq!((fake.bodies().len(), outcomes.resolved()), (1, 0));
    sink.write(&payloads, &mut outcomes).await.unwrap();
    let versions: Vec<bool> = fake.bodies().iter().map(|body| body.contains("\"v\":2")).collect();
    assert_eq!((versions, outcomes.resolved()), (vec![false, false, true], 2));
}

#[tokio::test]
async fn answers_that_are_none_are_errors() {
    for (answer, class, is_about_records) in [
        (status(200, "{\"items\":[]}"), ErrorClass::Transient, false),
        (status(200, "<html>"), ErrorClass::Unknown, false),
        (status(400, "malformed"), ErrorClass::InvalidData, true),
        (status(413, ""), ErrorClass::InvalidData, true),
        (status(401, ""), ErrorClass::AuthError, false),
        (status(429, ""), ErrorClass::Transient, false),
    ] {
        let fake = Fake::start(vec![answer]).await;
        let mut sink = open(&[&fake.base], json!({})).await;
        let (result, outcomes) = write(&mut sink, &["{\"a\":1}"]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, is_about_records), "{error}");
        assert_eq!(outcomes.resolved(), 0);
    }
}

#[test]
fn settings_are_checked() {
    let problems = |json: Value| {
        let (spec, mut report) = settings::<Spec>(json);
        spec.check(&FieldPath::field("config"), &mut report);
        texts(&report)
    };
    assert_eq!(
        problems(json!({})),
        [
            "config.urls: Required value: give the address of at least one node",
            "config.index: Required value: index is required",
        ]
    );
    let found = problems(json!({
        "urls": ["ftp://x"], "index": "a-{b", "id": "a.#", "routing": "{}", "opType": "delete",
        "batchSize": 0, "maxBytes": 0, "timeout": "0s",
        "auth": {"basic": {"username": "a", "password": "b"}, "apiKey": {"token": "t"}},
    }));
    let fields: Vec<&str> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "config.urls[0]",
            "config.index",
            "config.routing",
            "config.id",
            "config.auth",
            "config.timeout",
            "config.batchSize",
            "config.maxBytes",
        ]
    );
    let found =
        problems(json!({"urls": ["http://x"], "index": "a", "timestamp": "t", "opType": "update"}));
    assert_eq!(found.len(), 2, "{found:?}");
}
