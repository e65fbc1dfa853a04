//! What the tests of the steps share.

#![allow(clippy::unwrap_used, reason = "tests")]

use levada_model::{RecordBatch, RecordError, Timestamp};
use levada_registry::{FieldPath, Report, Unknown, decode, manifest};

use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// 2026-02-07T10:30:00.5Z: the time that steps see here.
pub(crate) const NOW: Timestamp = Timestamp(1_770_460_200_500_000_000);

/// Decodes settings from YAML and gives them with the problems that decoding and checking report.
pub(crate) fn spec<T: TransformSpec>(config: &str) -> (T, Vec<String>) {
    let mut documents = manifest::parse(config).unwrap();
    let node = documents.remove(0).root;
    let mut report = Report::new();
    let at = FieldPath::field("config");
    let spec: T = decode(&node, &at, Unknown::Error, &mut report).unwrap();
    spec.check(&at, &mut report);
    let problems = report.problems().iter().map(ToString::to_string);
    (spec, problems.collect())
}

/// Asserts that these settings have exactly these problems.
pub(crate) fn check_problems<T: TransformSpec>(config: &str, expected: &[&str]) {
    assert_eq!(spec::<T>(config).1, expected, "{config}");
}

/// Compiles a step whose settings must be right.
pub(crate) fn step<T: TransformSpec>(config: &str, ctx: &TransformContext) -> Box<dyn Transform> {
    let (spec, problems) = spec::<T>(config);
    assert_eq!(problems, Vec::<String>::new(), "{config}");
    spec.build(ctx).unwrap()
}

/// Makes a batch of one record.
pub(crate) fn batch_of(payload: impl AsRef<[u8]>) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("test".into(), 0.into());
    batch.push(payload.as_ref(), origin, 7);
    batch
}

/// Runs a step over the first record of a batch and gives the payloads that leave.
pub(crate) fn run(
    step: &mut dyn Transform,
    batch: &mut RecordBatch,
) -> Result<Vec<Vec<u8>>, RecordError> {
    let mut scope = Scope { now: NOW, ..Scope::default() };
    let verdict = step.record(batch, 0, &mut scope)?;
    Ok(match verdict {
        Verdict::Drop => Vec::new(),
        Verdict::Keep => vec![batch.payload(0).into_owned()],
        Verdict::Split => {
            let parent = batch.records[0];
            for child in &scope.children {
                assert_eq!((child.origin, child.position), (parent.origin, parent.position));
            }
            let first = batch.records.len();
            batch.records.append(&mut scope.children);
            let children = first..batch.records.len();
            children.map(|index| batch.payload(index).into_owned()).collect()
        }
    })
}

/// Asserts what leaves when this payload enters, byte for byte; an error leaves as `error: <text>`.
pub(crate) fn check<T: TransformSpec>(config: &str, input: impl AsRef<[u8]>, expected: &[&str]) {
    check_as::<T>(config, &TransformContext::default(), input, expected);
}

/// Does as [`check`] for a step that was compiled to behave as the original.
pub(crate) fn check_compat<T: TransformSpec>(
    config: &str,
    input: impl AsRef<[u8]>,
    expected: &[&str],
) {
    let ctx = TransformContext { compat: true, ..TransformContext::default() };
    check_as::<T>(config, &ctx, input, expected);
}

/// Asserts that these payloads leave a step as they entered.
pub(crate) fn check_unchanged<T: TransformSpec>(config: &str, inputs: &[&[u8]]) {
    for &input in inputs {
        let mut batch = batch_of(input);
        let got = run(&mut *step::<T>(config, &TransformContext::default()), &mut batch);
        assert_eq!(
            got,
            Ok(vec![input.to_vec()]),
            "{config} on {:?}",
            String::from_utf8_lossy(input)
        );
    }
}

/// Payloads that are no JSON at all.
pub(crate) const NOT_JSON: &[&[u8]] =
    &[b"", b" ", b"text", b"{\"a\":1", b"\x00\x00\x00\x00\x01payload", b"{\"a\":\"\xff\"}"];

/// Payloads that are JSON but no object.
pub(crate) const NOT_OBJECTS: &[&[u8]] =
    &[b"[1, 2]", b"\"text\"", b"12345678901234567890", b"true"];

fn check_as<T: TransformSpec>(
    config: &str,
    ctx: &TransformContext,
    input: impl AsRef<[u8]>,
    expected: &[&str],
) {
    let shown = String::from_utf8_lossy(input.as_ref()).into_owned();
    let mut batch = batch_of(&input);
    let got = match run(&mut *step::<T>(config, ctx), &mut batch) {
        Ok(payloads) => {
            payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
        }
        Err(error) => {
            let after = batch.payload(0).into_owned();
            assert_eq!(after, input.as_ref(), "a failed record is as it was: {shown}");
            vec![format!("error: {error}")]
        }
    };
    assert_eq!(got, expected, "{config} on {shown}");
}
