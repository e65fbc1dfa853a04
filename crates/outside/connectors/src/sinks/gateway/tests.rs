#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use bytes::Bytes;
use levada_model::Position;

use super::*;
use crate::formats::testing::context;

/// Keeps what it takes, and answers what it is told.
#[derive(Default)]
struct Kept {
    taken: Mutex<Vec<(String, Category, String, bool)>>,
    answer: Mutex<Option<GatewayTargetError>>,
}

#[async_trait]
impl GatewayTarget for Kept {
    fn check(&self, destination: &str) -> Result<(), GatewayTargetError> {
        match destination {
            "" | "team" => Ok(()),
            name => Err(GatewayTargetError::Unknown { name: name.into(), known: "team".into() }),
        }
    }

    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: Bytes,
        is_strict: bool,
        _hops: u8,
    ) -> Result<(), GatewayTargetError> {
        if let Some(error) = self.answer.lock().unwrap().clone() {
            return Err(error);
        }
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        self.taken.lock().unwrap().push((destination.to_owned(), category, lines, is_strict));
        Ok(())
    }
}

fn spec(yaml: serde_json::Value) -> Spec {
    serde_json::from_value(yaml).unwrap()
}

fn batch(payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), Position::Null);
    for (at, payload) in payloads.iter().enumerate() {
        batch.push(payload.as_bytes(), origin, at as u64);
    }
    for index in 0..batch.len() {
        batch.document(index);
    }
    batch
}

fn sink(spec: Spec) -> (Arc<Kept>, Box<dyn Sink>) {
    let kept = Arc::<Kept>::default();
    let ctx = context(".");
    ctx.links.put(GatewayTargets(Arc::clone(&kept) as Arc<dyn GatewayTarget>));
    (kept, spec.build(&ctx).unwrap())
}

#[tokio::test]
async fn records_are_handed_over_as_lines() {
    let spec = spec(serde_json::json!({
        "name": "team", "category": "L", "measurement": "nginx", "tags": {"host": "$.host"},
        "timestamp": "$.at", "strict": true,
    }));
    let (kept, mut sink) = sink(spec);
    sink.open().await.unwrap();
    let batch = batch(&[
        r#"{"at": 1700000000, "host": "a", "message": "x y", "status": 200, "big": 18446744073709551615}"#,
        r#"{"at": 1700000001, "host": "a"}"#,
        r#"{"at": -1700000001, "host": "a", "n": 1}"#,
        r#"{"at": 1700000002, "n": 1.0}"#,
    ]);
    let mut outcomes = Outcomes::default();
    sink.write(&batch, &mut outcomes).await.unwrap();
    assert_eq!(
        *kept.taken.lock().unwrap(),
        [(
            "team".to_owned(),
            Category::Logging,
            "nginx,host=a message=\"x y\",status=200i,big=18446744073709551615u 1700000000000000000\n\
             nginx n=1.0 1700000002000000000\n"
                .to_owned(),
            true
        )]
    );
    assert_eq!(outcomes.delivered_ranges(), [0..1, 3..4]);
    let rejected: Vec<(usize, &str)> =
        outcomes.rejected_records().iter().map(|(at, error)| (*at, &*error.message)).collect();
    assert_eq!(rejected[0].0, 1, "a point has a field: {rejected:?}");
    assert_eq!(
        rejected[1],
        (2, "the time is before 1970, and the gateway has no such times"),
        "{rejected:?}"
    );
}

#[tokio::test]
async fn what_the_gateway_says_becomes_what_the_engine_understands() {
    let spec = spec(serde_json::json!({"measurement": "m"}));
    let (kept, mut sink) = sink(spec);
    for (answer, class, is_about_records) in [
        (GatewayTargetError::Later("full".into()), ErrorClass::Transient, false),
        (GatewayTargetError::Refused("bad".into()), ErrorClass::InvalidData, true),
    ] {
        *kept.answer.lock().unwrap() = Some(answer);
        let mut outcomes = Outcomes::default();
        let error = sink.write(&batch(&[r#"{"n": 1}"#]), &mut outcomes).await.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, is_about_records));
        assert_eq!(outcomes.resolved(), 0);
    }
}

#[tokio::test]
async fn without_a_gateway_or_destination_the_flow_is_told_what_to_do() {
    let mut alone = spec(serde_json::json!({"measurement": "m"})).build(&context(".")).unwrap();
    let error = alone.open().await.unwrap_err();
    assert!(error.message.contains("`[gateway]` of levada.toml"), "{error}");
    let (_, mut sink) = sink(spec(serde_json::json!({"measurement": "m", "name": "tean"})));
    let error = sink.open().await.unwrap_err();
    assert_eq!(error.message, "the gateway has no destination `tean`; known: team");
    assert!(!error.class.is_transient(), "nothing heals that");
}

#[test]
fn settings_are_checked() {
    for (settings, expected) in [
        (serde_json::json!({"measurement": "m", "category": "keyevent"}), None),
        (serde_json::json!({"measurement": "m", "category": "E"}), None),
        (serde_json::json!({}), Some("measurement is required")),
        (
            serde_json::json!({"measurement": "m", "category": "logs"}),
            Some("Unsupported value: \"logs\""),
        ),
        (
            serde_json::json!({"measurement": "m", "category": "unknown"}),
            Some("Unsupported value: \"unknown\""),
        ),
    ] {
        let mut report = Report::new();
        spec(settings).check(&FieldPath::field("config"), &mut report);
        let problems: Vec<String> =
            report.problems().iter().map(|problem| problem.text.clone()).collect();
        match expected {
            None => assert!(problems.is_empty(), "{problems:?}"),
            Some(text) => assert!(problems[0].contains(text), "{problems:?}"),
        }
    }
}
