#![expect(clippy::unwrap_used, reason = "tests")]

use axum::http::HeaderValue;
use levada_model::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::sinks::testing::{Fake, batch, status, write};
use crate::sources::testing::{context, settings, texts};

fn decoded(url: &str, mut json: Value) -> Spec {
    json["url"] = json!(url);
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    assert_eq!(texts(&report), [""; 0]);
    spec
}

async fn open(fake: &Fake, json: Value) -> VictoriaMetricsSink {
    let mut sink = VictoriaMetricsSink::new(decoded(&fake.base, json), &context()).unwrap();
    sink.open().await.unwrap();
    sink
}

const NOW: Timestamp = Timestamp(1_770_460_200_000_000_000);

/// Gives the samples of records in the text format, and the reasons of those that were rejected.
fn samples(json: Value, payloads: &[&str]) -> (String, Vec<String>) {
    let mut mapping = Mapping::new(&decoded("http://x", json)).unwrap();
    let (mut series, mut reasons) = (SeriesSet::default(), Vec::new());
    for index in 0..payloads.len() {
        let result = mapping.push(&batch(payloads), index, NOW, NOW, &mut series);
        reasons.extend(result.err().map(|error| error.message));
    }
    let body = body::encode(Mode::Prometheus, &series, 0).unwrap().0;
    (String::from_utf8(body).unwrap(), reasons)
}

const CPU: &str = r#"{"metric":"cpu","host":"web\n1","time":"2026-02-07T10:29:59.5Z","tags":{"core":"0","a b":"x","none":""},"user":1.5,"count":2,"up":true,"os":"linux","none":null}"#;

#[test]
fn records_become_samples() {
    let host = json!({
        "prefix": "host_{metric}_", "labels": {"host": "$.host"}, "labelsFrom": ["tags"],
        "timestamp": "time", "extraLabels": {"dc": "x", "core": "all"},
    });
    let (text, reasons) =
        samples(host, &[CPU, &CPU.replace("1.5", "2.5").replace("59.5Z", "59.6Z")]);
    assert_eq!(reasons, [""; 0]);
    let head = "{a_b=\"x\",core=\"all\",dc=\"x\",host=\"web\\n1\"}";
    assert_eq!(
        text,
        format!(
            "host_cpu_user{head} 1.5 1770460199500\nhost_cpu_user{head} 2.5 1770460199600\n\
             host_cpu_count{head} 2 1770460199500\nhost_cpu_count{head} 2 1770460199600\n\
             host_cpu_up{head} 1 1770460199500\nhost_cpu_up{head} 1 1770460199600\n"
        )
    );
    let chosen = json!({"prefix": "", "fields": ["user", "tags.core", "absent"]});
    assert_eq!(samples(chosen, &[CPU]).0, "user 1.5 1770460200000\ncore 0 1770460200000\n");
    let one = json!({"metric": "$.m", "value": "v.x", "timestamp": "t", "timestampUnit": "ms"});
    let record = "{\"m\":\"a.b\",\"v\":{\"x\":\" 1e3 \"},\"t\":1770460200001.9}";
    assert_eq!(samples(one, &[record]).0, "a_b 1000 1770460200001\n");
}

#[test]
fn exported_series_are_taken_as_they_are() {
    let json = json!({
        "metric": "$.metric.__name__", "labelsFrom": ["metric"], "values": "values",
        "timestamp": "timestamps",
    });
    let record = r#"{"metric":{"__name__":"m","l":"x"},"values":[1,2.5,18446744073709551616],"timestamps":[1770460200000,1770460201000,1770460202000]}"#;
    let (text, reasons) = samples(json.clone(), &[record]);
    assert_eq!(reasons, [""; 0]);
    assert_eq!(
        text,
        "m{l=\"x\"} 1 1770460200000\nm{l=\"x\"} 2.5 1770460201000\n\
         m{l=\"x\"} 1.8446744073709552e19 1770460202000\n"
    );
    let short = r#"{"metric":{"__name__":"m"},"values":[1,2],"timestamps":[1770460200000]}"#;
    let none = r#"{"metric":{"__name__":"m"},"values":3,"timestamps":[]}"#;
    let empty = r#"{"metric":{"__name__":"m"},"values":[],"timestamps":[]}"#;
    let (text, reasons) = samples(json, &[short, none, empty]);
    assert_eq!(text, "");
    assert_eq!(
        reasons,
        [
            "`values` and `timestamps` differ in length",
            "values: `values` is of kind number, not an array",
            "the record has no number to write",
        ]
    );
}

#[test]
fn records_without_a_place_are_rejected_with_a_reason() {
    let one = |more: Value| {
        let mut json = json!({"metric": "m"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json
    };
    for (json, payload, expected) in [
        (one(json!({})), "{}", "value: the record has no value at `value`"),
        (one(json!({})), "{\"value\":\"x\"}", "value: `value` is not a number"),
        (one(json!({})), "{\"value\":\"NaN\"}", "value: `value` is not a finite number"),
        (
            one(json!({})),
            "{\"value\":1e999}",
            "value: `value` is beyond the range of 64-bit floats",
        ),
        (one(json!({})), "{\"value\":[]}", "value: `value` is of kind array, which is no number"),
        (json!({"metric": "$.m"}), "{\"value\":1}", "metric: the record has no value at `$.m`"),
        (json!({"metric": "$.m"}), "{\"value\":1,\"m\":\"\"}", "metric: the name is empty"),
        (json!({"prefix": "x_"}), "{\"a\":\"1\"}", "the record has no number to write"),
        (
            json!({"prefix": "x_", "names": "reject"}),
            "{\"a\":1,\"b c\":2}",
            "`x_b c` is not the name of a metric",
        ),
        (
            one(json!({"names": "reject", "labelsFrom": ["l"]})),
            "{\"value\":1,\"l\":{\"a-b\":1}}",
            "`a-b` is not the name of a label",
        ),
        (
            one(json!({"labelsFrom": ["l"]})),
            "{\"value\":1,\"l\":{\"a-b\":1,\"a_b\":1}}",
            "two labels would be called `a_b`",
        ),
        (
            one(json!({"labelsFrom": ["l"], "maxLabels": 1})),
            "{\"value\":1,\"l\":{\"a\":1,\"b\":1}}",
            "the record has 2 labels; at most 1 are kept",
        ),
        (
            one(json!({"labels": {"l": "$.l"}, "maxLabelBytes": 2})),
            "{\"value\":1,\"l\":\"abc\"}",
            "label `l` has 3 bytes; at most 2 are kept",
        ),
        (
            one(json!({"timestamp": "t"})),
            "{\"value\":1,\"t\":-1}",
            "timestamp: 1969-12-31T23:59:59Z is before 1970",
        ),
        (
            one(json!({"timestamp": "t"})),
            "{\"value\":1,\"t\":\"2026-02-09T10:30:01Z\"}",
            "timestamp: 2026-02-09T10:30:01Z is more than two days ahead",
        ),
        (
            one(json!({"timestamp": "t", "retention": "24h"})),
            "{\"value\":1,\"t\":\"2026-02-06T10:29:59Z\"}",
            "timestamp: 2026-02-06T10:29:59Z is older than the retention",
        ),
        (one(json!({})), "7", "the payload is JSON of kind number; an object is needed"),
    ] {
        let (text, reasons) = samples(json, &[payload]);
        assert_eq!((text.as_str(), reasons), ("", vec![expected.to_owned()]), "{payload}");
    }
}

#[tokio::test]
async fn each_mode_has_its_body() {
    let import = "{\"metric\":{\"__name__\":\"m\",\"l\":\"\\\"\"},\"values\":[1,2.5],\"timestamps\":[5,6]}\n";
    let text = "m{l=\"\\\"\"} 1 5\nm{l=\"\\\"\"} 2.5 6\n";
    for (mode, compression, path, body) in [
        ("import", "gzip", "/api/v1/import", import),
        ("prometheus", "none", "/api/v1/import/prometheus", text),
    ] {
        let fake = Fake::start(vec![status(204, "")]).await;
        let json = json!({
            "mode": mode, "compression": compression, "metric": "m", "labels": {"l": "$.l"},
            "timestamp": "t", "timestampUnit": "ms", "auth": {"bearer": {"token": "abc"}},
        });
        let mut sink = open(&fake, json).await;
        let payloads = [
            "{\"value\":1,\"l\":\"\\\"\",\"t\":5}",
            "{}",
            "{\"value\":2.5,\"l\":\"\\\"\",\"t\":6}",
        ];
        let (result, outcomes) = write(&mut sink, &payloads).await;
        result.unwrap();
        assert_eq!(outcomes.delivered_ranges(), [0..1, 2..3]);
        assert_eq!(outcomes.rejected_records().len(), 1);
        assert_eq!(fake.bodies(), [body]);
        let got = fake.got.lock().unwrap();
        assert_eq!(got[0].head.uri.path(), path);
        assert_eq!(got[0].head.headers.get("authorization").unwrap(), "Bearer abc");
    }
}

#[tokio::test]
async fn a_batch_without_samples_asks_nobody() {
    let fake = Fake::start(vec![]).await;
    let mut sink = open(&fake, json!({"metric": "m"})).await;
    let (result, outcomes) = write(&mut sink, &["{}", "x"]).await;
    result.unwrap();
    assert_eq!((outcomes.rejected_records().len(), fake.bodies().len()), (2, 0));
}

#[tokio::test]
async fn answers_say_whose_fault_it_is() {
    for (code, class, is_about_records) in [
        (400, ErrorClass::InvalidData, true),
        (413, ErrorClass::InvalidData, true),
        (401, ErrorClass::AuthError, false),
        (404, ErrorClass::Unknown, false),
        (429, ErrorClass::Transient, false),
        (503, ErrorClass::Transient, false),
    ] {
        let fake = Fake::start(vec![status(code, "why")]).await;
        let mut sink = open(&fake, json!({"metric": "m"})).await;
        let (result, outcomes) = write(&mut sink, &["{\"value\":1}"]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, is_about_records), "{error}");
        assert!(error.message.ends_with(": why"), "{error}");
        assert_eq!(outcomes.resolved(), 0);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let mut limited = status(429, "");
    limited.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    let fake = Fake::start(vec![limited, status(204, "")]).await;
    let mut sink = open(&fake, json!({"metric": "m"})).await;
    let clock = levada_runtime::SystemClock::new();
    assert!(write(&mut sink, &["{\"value\":1}"]).await.0.unwrap_err().class.is_transient());
    write(&mut sink, &["{\"value\":1}"]).await.0.unwrap();
    let waited = levada_runtime::Clock::monotonic(&*clock);
    assert!(waited >= std::time::Duration::from_millis(900), "{waited:?}");
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
            "config.url: Required value: url is required",
            "config.metric: Required value: set metric or prefix",
        ]
    );
    let found = problems(json!({
        "url": "http://x", "metric": "{a", "prefix": "{b", "value": "a.#", "values": "b.#",
        "fields": [""], "labels": {"a-b": "", "c": "{"}, "extraLabels": {"__x": "y"},
        "labelsFrom": ["#"], "maxLabels": 0, "maxLabelBytes": 0, "mode": "remoteWrite",
        "compression": "gzip", "batchSize": 0, "maxBytes": 0,
    }));
    let fields: Vec<&str> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "config.prefix",
            "config.metric",
            "config.prefix",
            "config.value",
            "config.values",
            "config.values",
            "config.timestamp",
            "config.value",
            "config.values",
            "config.fields[0]",
            "config.labels[a-b]",
            "config.labels[c]",
            "config.labelsFrom[0]",
            "config.labels[a-b]",
            "config.extraLabels[__x]",
            "config.maxLabels",
            "config.maxLabelBytes",
            "config.compression",
            "config.batchSize",
            "config.maxBytes",
        ]
    );
}
