#![expect(clippy::unwrap_used, reason = "tests")]

use axum::http::HeaderValue;
use levada_model::{ErrorClass, Timestamp};
use serde_json::{Value, json};

use super::encode::Encoder;
use super::*;
use crate::sinks::testing::{Fake, batch, status, write};
use crate::sources::testing::{context, settings, texts};

fn decoded(url: &str, mut json: Value) -> Spec {
    json["url"] = json!(url);
    if json["measurement"].is_null() {
        json["measurement"] = json!("m");
    }
    if json["bucket"].is_null() {
        json["database"] = json!("d");
    }
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    assert_eq!(texts(&report), [""; 0]);
    spec
}

async fn open(fake: &Fake, json: Value) -> InfluxdbSink {
    let mut sink = InfluxdbSink::new(decoded(&fake.base, json), &context()).unwrap();
    sink.open().await.unwrap();
    sink
}

fn line(json: Value, payload: &str) -> Result<String, String> {
    let mut encoder = Encoder::new(&decoded("http://x", json)).unwrap();
    let mut out = Vec::new();
    let received = Timestamp(1_000_000_007);
    match encoder.push(&batch(&[payload]), 0, received, &mut out) {
        Ok(()) => Ok(String::from_utf8(out).unwrap().trim_end().to_owned()),
        Err(error) => Err(error.message),
    }
}

const CPU: &str = r#"{"metric":"cpu","host":"web 1","time":"2026-02-07T10:30:00.5Z","tags":{"core":"0","a":""},"user":1.5,"count":2,"up":true,"os":"a\"b","none":null,"more":{"x":1}}"#;

#[test]
fn records_become_lines() {
    let host = json!({
        "measurement": "$.metric", "tags": {"host": "$.host"}, "tagsFrom": ["tags"], "timestamp": "time",
    });
    assert_eq!(
        line(host, CPU).unwrap(),
        "cpu,core=0,host=web\\ 1 user=1.5,count=2i,up=true,os=\"a\\\"b\" 1770460200500000000"
    );
    let chosen = json!({
        "measurement": "sys_{metric}", "fields": ["more.x", "count", "absent"], "timestamp": "time",
        "tags": {"z": "literal", "core": "c-{tags.core}", "gone": "$.gone"}, "tagsFrom": ["$.tags"],
        "precision": "ms", "numbers": "float",
    });
    assert_eq!(
        line(chosen, CPU).unwrap(),
        "sys_cpu,core=c-0,z=literal x=1.0,count=2.0 1770460200500"
    );
    assert_eq!(line(json!({}), "{\"a\":1}").unwrap(), "m a=1i 1000000007");
    let unsigned = json!({"unsigned": true});
    assert_eq!(
        line(unsigned, "{\"a\":18446744073709551615}").unwrap(),
        "m a=18446744073709551615u 1000000007"
    );
}

#[test]
fn records_that_are_no_points_are_rejected_with_a_reason() {
    for (json, payload, expected) in [
        (json!({}), "{}", "the point has no field"),
        (json!({}), "{\"a\":null,\"b\":[]}", "the point has no field"),
        (json!({}), "{\"a\":1e999}", "field `a` is beyond the range of 64-bit floats"),
        (
            json!({}),
            "{\"a\":9223372036854775808}",
            "field `a` is above 2^63 - 1; set unsigned if the server knows unsigned integers",
        ),
        (
            json!({}),
            "{\"time\":1}",
            "a field cannot be called `time`: set timestamp to it, or rename it",
        ),
        (
            json!({"tagsFrom": ["t"]}),
            "{\"a\":1,\"t\":{\"time\":1}}",
            "a tag cannot be called `time`: set timestamp to it, or rename it",
        ),
        (json!({"fields": ["a"]}), "{\"a\":{}}", "field `a` is of kind object, not a single value"),
        (
            json!({"tags": {"t": "$.t"}}),
            "{\"a\":1,\"t\":[]}",
            "`$.t` is an array; a text, number or boolean is needed",
        ),
        (
            json!({"tags": {"t": "$.t"}}),
            "{\"a\":1,\"t\":\"x\\ny\"}",
            "tag value `x y` holds a line end or NUL, which line protocol cannot carry",
        ),
        (json!({"tagsFrom": ["a"]}), "{\"a\":1}", "`a` is of kind number; an object is needed"),
        (
            json!({"measurement": "$.m"}),
            "{\"a\":1}",
            "measurement: the record has no value at `$.m`",
        ),
        (json!({"timestamp": "t"}), "{\"a\":1}", "timestamp: the record has no value at `t`"),
        (json!({}), "1", "the payload is JSON of kind number; an object is needed"),
    ] {
        assert_eq!(line(json, payload), Err(expected.to_owned()), "{payload}");
    }
}

#[tokio::test]
async fn requests_of_both_versions_say_where_to_write() {
    let fake = Fake::start(vec![status(204, ""), status(204, "")]).await;
    let v1 = json!({
        "retentionPolicy": "r p", "precision": "us", "timestamp": "t", "compression": "gzip",
        "auth": {"basic": {"username": "ann", "password": "pw"}},
    });
    let v2 = json!({
        "bucket": "b", "org": "o", "precision": "us", "timestamp": "t",
        "auth": {"token": {"token": "abc"}},
    });
    for json in [v1, v2] {
        let mut sink = open(&fake, json).await;
        let (result, outcomes) =
            write(&mut sink, &["{\"a\":1,\"t\":1}", "{\"a\":2,\"t\":1}"]).await;
        result.unwrap();
        assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
    }
    assert_eq!(fake.bodies(), ["m a=1i 1000000\nm a=2i 1000000\n"; 2]);
    let got = fake.got.lock().unwrap();
    let of = |index: usize| {
        let head = &got[index].head;
        let authorization = head.headers.get("authorization").unwrap().to_str().unwrap();
        (head.uri.to_string(), authorization.to_owned())
    };
    assert_eq!(of(0), ("/write?db=d&rp=r+p&precision=u".into(), "Basic YW5uOnB3".into()));
    assert_eq!(of(1), ("/api/v2/write?org=o&bucket=b&precision=us".into(), "Token abc".into()));
}

#[tokio::test]
async fn refused_lines_are_found_by_halves() {
    let partial = |count| {
        let text =
            format!("{{\"error\":\"partial write: field type conflict: x dropped={count}\"}}");
        status(400, text.leak())
    };
    // 8 lines, of which 2 and 3 are bad: all, 0..4, 0..2, 2..4 (both), 4..8.
    let fake =
        Fake::start(vec![partial(2), partial(2), status(204, ""), partial(2), status(204, "")])
            .await;
    let mut sink = open(&fake, json!({})).await;
    let payloads: Vec<String> = (0..8).map(|number| format!("{{\"a\":{number}}}")).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let (result, outcomes) = write(&mut sink, &payloads).await;
    result.unwrap();
    assert_eq!(outcomes.delivered_ranges(), [0..2, 4..8]);
    let rejected: Vec<usize> =
        outcomes.rejected_records().iter().map(|(index, _)| *index).collect();
    assert_eq!(rejected, [2, 3]);
    assert_eq!(
        outcomes.rejected_records()[0].1.message,
        "refused by the server: partial write: field type conflict: x dropped=2"
    );
    let bodies = fake.bodies();
    let lines: Vec<usize> = bodies.iter().map(|body| body.lines().count()).collect();
    assert_eq!(lines, [8, 4, 2, 2, 4]);
    // The same bytes again, times included: what was written is written over with itself.
    assert!(bodies[0].starts_with(&bodies[1]) && bodies[0].ends_with(&bodies[4]));
}

#[tokio::test]
async fn large_requests_are_split() {
    let fake = Fake::start(vec![status(413, ""), status(204, ""), status(413, "too large")]).await;
    let mut sink = open(&fake, json!({})).await;
    let (result, outcomes) = write(&mut sink, &["{\"a\":1}", "{\"a\":2}"]).await;
    result.unwrap();
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..1)));
    assert_eq!(outcomes.rejected_records()[0].1.message, "refused by the server: too large");

    let fake = Fake::start(vec![status(204, ""), status(204, "")]).await;
    let mut sink = open(&fake, json!({"maxBytes": 10})).await;
    let (result, outcomes) = write(&mut sink, &["{\"a\":1}", "{\"a\":2}"]).await;
    result.unwrap();
    assert_eq!((outcomes.resolved(), fake.bodies().len()), (2, 2));
}

#[tokio::test]
async fn other_answers_say_whose_fault_it_is() {
    for (json, answer, class, text) in [
        (json!({}), status(401, "no"), ErrorClass::AuthError, "401 Unauthorized: no"),
        (json!({}), status(403, "no"), ErrorClass::AuthError, "403 Forbidden: no"),
        (
            json!({}),
            status(404, "{\"error\":\"database not found: \\\"d\\\"\"}"),
            ErrorClass::Unknown,
            "there is no database `d`, or this user cannot see it: database not found: \"d\"",
        ),
        (
            json!({"bucket": "b", "org": "o"}),
            status(404, "{\"code\":\"not found\",\"message\":\"bucket \\\"b\\\" not found\"}"),
            ErrorClass::Unknown,
            "there is no bucket `b` of `o`, or this user cannot see it: bucket \"b\" not found",
        ),
        (
            json!({}),
            status(500, "{\"error\":\"retention policy not found: x\"}"),
            ErrorClass::Unknown,
            "retention policy not found: x; see the setting retentionPolicy",
        ),
        (json!({}), status(500, "oops"), ErrorClass::Transient, "500 Internal Server Error: oops"),
        (json!({}), status(503, ""), ErrorClass::Transient, "503 Service Unavailable"),
    ] {
        let fake = Fake::start(vec![answer]).await;
        let mut sink = open(&fake, json).await;
        let (result, outcomes) = write(&mut sink, &["{\"a\":1}"]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, false), "{error}");
        assert!(error.message.ends_with(text), "{error}");
        assert_eq!(outcomes.resolved(), 0);
    }
}

#[tokio::test]
async fn a_missing_database_is_made_when_that_is_wanted() {
    let fake = Fake::start(vec![status(404, ""), status(200, "{}"), status(204, "")]).await;
    let mut sink = open(&fake, json!({"createDatabase": true})).await;
    let (result, outcomes) = write(&mut sink, &["{\"a\":1}"]).await;
    result.unwrap();
    assert_eq!(outcomes.resolved(), 1);
    let got = fake.got.lock().unwrap();
    assert_eq!(got[1].head.uri.to_string(), "/query?q=CREATE+DATABASE+%22d%22");
}

#[tokio::test]
async fn the_server_is_asked_again_when_it_says_so() {
    let mut limited = status(429, "slow down");
    limited.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    let fake = Fake::start(vec![limited, status(204, "")]).await;
    let mut sink = open(&fake, json!({})).await;
    let before = levada_runtime::SystemClock::new();
    let error = write(&mut sink, &["{\"a\":1}"]).await.0.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    write(&mut sink, &["{\"a\":1}"]).await.0.unwrap();
    let waited = levada_runtime::Clock::monotonic(&*before);
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
            "config.database: Required value: set database (InfluxDB 1.x), or bucket and org (2.x)",
            "config.measurement: Required value: measurement is required",
        ]
    );
    let found = problems(json!({
        "url": "http://x", "bucket": "b", "createDatabase": true, "retentionPolicy": "r",
        "measurement": "{a", "tags": {"time": "x", "b": "", "c": "$.a.#"}, "tagsFrom": ["a.#"],
        "fields": ["", "*"], "timestamp": "#", "precision": "s", "batchSize": 0, "maxBytes": 0,
    }));
    let fields: Vec<&str> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "config.org",
            "config.createDatabase",
            "config.retentionPolicy",
            "config.measurement",
            "config.tags[b]",
            "config.tags[c]",
            "config.tagsFrom[0]",
            "config.tags[time]",
            "config.fields[0]",
            "config.fields[1]",
            "config.timestamp",
            "config.batchSize",
            "config.maxBytes",
        ]
    );
    let both = problems(
        json!({"url": "http://x", "database": "d", "bucket": "b", "measurement": "m", "precision": "s"}),
    );
    assert_eq!(both.len(), 2, "{both:?}");
}
