#![expect(clippy::unwrap_used, reason = "tests")]

mod broken;
mod names;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use levada_codec::compression::decompress_all;
use levada_model::{Meta, RecordBatch, Value};
use levada_runtime::VirtualClock;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::Outcomes;
use crate::formats::testing::{NOW, context};

struct Bench {
    folder: TempDir,
    clock: Arc<VirtualClock>,
}

impl Bench {
    fn new() -> Self {
        Bench { folder: tempfile::tempdir().unwrap(), clock: VirtualClock::new(NOW) }
    }

    fn sink(&self, spec: Spec) -> Box<dyn Sink> {
        let mut report = Report::new();
        spec.check(&FieldPath::field("file"), &mut report);
        assert!(report.is_ok(), "{report:?}");
        let mut ctx = context(self.folder.path());
        ctx.clock = self.clock.clone();
        spec.build(&ctx).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn unzip(&self, name: &str, compression: Compression) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap();
        String::from_utf8(decompress_all(compression, &bytes, 1 << 30).unwrap()).unwrap()
    }

    /// Gives the names of all files, sorted.
    fn names(&self) -> Vec<String> {
        let pattern = format!("{}/**/*", self.folder.path().display());
        let paths = glob::glob(&pattern).unwrap().map(Result::unwrap).filter(|path| path.is_file());
        paths
            .map(|path| path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned())
            .collect()
    }
}

fn to(path: &str) -> Spec {
    Spec { path: path.into(), ..Spec::default() }
}

fn batch(payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 0.into());
    for payload in payloads {
        batch.push(payload.as_bytes(), origin, 0);
    }
    batch
}

fn keyed(records: &[(&str, &str)]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 0.into());
    for (key, payload) in records {
        let meta: Meta = [("k".into(), Value::from(*key))].into_iter().collect();
        batch.set_shared_meta(Some(Arc::new(meta)));
        batch.push(payload.as_bytes(), origin, 0);
    }
    batch
}

/// Writes and expects every record to be written.
async fn write(sink: &mut Box<dyn Sink>, batch: &RecordBatch) {
    let mut outcomes = Outcomes::default();
    sink.write(batch, &mut outcomes).await.unwrap();
    assert!(outcomes.rejected_records().is_empty(), "{:?}", outcomes.rejected_records());
    assert_eq!(outcomes.resolved(), batch.len());
}

/// Gives printable bytes that do not compress much.
fn noise(count: usize, seed: u64) -> String {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char::from(b'0' + (random >> 40) as u8 % 64)
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test]
async fn records_are_appended_and_visible_at_once() {
    let bench = Bench::new();
    let mut sink = bench.sink(to("sub/folder/out"));
    sink.open().await.unwrap();
    assert_eq!(bench.read("sub/folder/out"), "");
    write(&mut sink, &batch(&["1", "2"])).await;
    assert_eq!(bench.read("sub/folder/out"), "1\n2\n");
    sink.sync().await.unwrap();
    sink.close().await.unwrap();
    let mut again = bench.sink(to("sub/folder/out"));
    again.open().await.unwrap();
    write(&mut again, &batch(&["3"])).await;
    assert_eq!(bench.read("sub/folder/out"), "1\n2\n3\n");
}

#[tokio::test]
async fn compressed_records_are_whole_members_at_each_sync() {
    for (name, compression) in [("a.gz", Compression::Gzip), ("a.ndjson.zst", Compression::Zstd)] {
        let bench = Bench::new();
        let spec = Spec { compression: "auto".into(), ..to(name) };
        let mut sink = bench.sink(spec.clone());
        write(&mut sink, &batch(&["1"])).await;
        sink.sync().await.unwrap();
        assert_eq!(bench.unzip(name, compression), "1\n");
        let large = noise(100_000, 1);
        let mut expected = "1\n".to_owned();
        for _ in 0..25 {
            write(&mut sink, &batch(&[&large])).await;
            expected.push_str(&large);
            expected.push('\n');
        }
        assert!(bench.unzip(name, compression).len() > 2_000_000, "members go out by themselves");
        sink.close().await.unwrap();
        drop(sink);
        let mut again = bench.sink(spec);
        write(&mut again, &batch(&["2"])).await;
        again.close().await.unwrap();
        assert_eq!(bench.unzip(name, compression), expected + "2\n");
    }
}

#[tokio::test]
async fn csv_has_one_header_per_file() {
    let bench = Bench::new();
    for compression in ["none", "gzip"] {
        let name = format!("{compression}.csv");
        let spec = Spec { format: "csv".into(), compression: compression.into(), ..to(&name) };
        for _ in 0..2 {
            let mut sink = bench.sink(spec.clone());
            let mut outcomes = Outcomes::default();
            let records = batch(&[r#"{"b":1,"a":"x,y"}"#, "no", r#"{"a":null}"#]);
            sink.write(&records, &mut outcomes).await.unwrap();
            assert_eq!(outcomes.delivered_ranges(), [0..1, 2..3]);
            assert_eq!(outcomes.rejected_records()[0].0, 1);
            sink.close().await.unwrap();
        }
        let text = match compression {
            "gzip" => bench.unzip(&name, Compression::Gzip),
            _ => bench.read(&name),
        };
        assert_eq!(text, "b,a\n1,\"x,y\"\n,\n1,\"x,y\"\n,\n");
    }
}

#[tokio::test]
async fn an_atomic_file_has_its_name_when_it_is_whole() {
    let bench = Bench::new();
    let spec = Spec { mode: "atomic".into(), ..to("out") };
    std::fs::write(bench.path("out"), "old\n").unwrap();
    let mut sink = bench.sink(spec.clone());
    sink.open().await.unwrap();
    write(&mut sink, &batch(&["1"])).await;
    sink.sync().await.unwrap();
    assert_eq!((bench.read("out"), bench.read("out.partial")), ("old\n".into(), "1\n".into()));
    sink.close().await.unwrap();
    assert_eq!(bench.read("out"), "1\n");
    assert_eq!(bench.names(), ["out"]);
    // Nothing written: the file stays.
    let mut sink = bench.sink(spec.clone());
    sink.open().await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(bench.read("out"), "1\n");
    assert_eq!(bench.names(), ["out"]);
    // Nothing written and nothing there: an empty result is a result.
    let mut sink = bench.sink(Spec { path: "empty".into(), ..spec });
    sink.open().await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(bench.read("empty"), "");
}

#[tokio::test]
async fn full_files_become_pieces() {
    let rotate =
        Some(Rotate { bytes: Some(ByteSize::new(6)), interval: Some(Duration::from_secs(60)) });
    for mode in ["append", "atomic"] {
        let bench = Bench::new();
        let spec = Spec { rotate: rotate.clone(), mode: mode.into(), ..to("d/out.log") };
        let mut sink = bench.sink(spec);
        for payload in ["1", "22", "3", "44", "5"] {
            write(&mut sink, &batch(&[payload])).await;
        }
        let active = if mode == "atomic" { "d/out.log.partial" } else { "d/out.log" };
        assert_eq!(bench.read("d/out-20260207T103000-1.log"), "1\n22\n3\n");
        assert_eq!(bench.read(active), "44\n5\n");
        // Time makes it full too, when positions are about to be stored.
        bench.clock.advance(StdDuration::from_secs(60));
        sink.sync().await.unwrap();
        assert_eq!(bench.read("d/out-20260207T103100-1.log"), "44\n5\n");
        assert_eq!(bench.names().len(), 2);
        write(&mut sink, &batch(&["6"])).await;
        sink.close().await.unwrap();
        let last = if mode == "atomic" { "d/out-20260207T103100-2.log" } else { "d/out.log" };
        assert_eq!(bench.read(last), "6\n");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What is written by batches, with syncs and restarts between them, is what was given.
    #[test]
    fn files_hold_what_was_written(
        batches in prop::collection::vec((prop::collection::vec("[ -~]{0,40}", 0..8), 0u8..4), 0..12),
        compression in 0usize..3,
        atomic: bool,
    ) {
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][compression];
        let bench = Bench::new();
        let spec = Spec {
            compression: compression.name().into(),
            mode: if atomic { "atomic" } else { "append" }.into(),
            ..to("out")
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut expected = String::new();
        runtime.block_on(async {
            let mut sink = bench.sink(spec.clone());
            sink.open().await.unwrap();
            for (payloads, event) in &batches {
                let refs: Vec<&str> = payloads.iter().map(String::as_str).collect();
                write(&mut sink, &batch(&refs)).await;
                for payload in payloads {
                    expected.push_str(payload);
                    expected.push('\n');
                }
                if *event == 1 {
                    sink.sync().await.unwrap();
                } else if *event == 2 {
                    // Dies behind a sync: everything is there afterwards.
                    sink.sync().await.unwrap();
                    drop(sink);
                    sink = bench.sink(spec.clone());
                    sink.open().await.unwrap();
                }
            }
            sink.close().await.unwrap();
        });
        if compression == Compression::None || !expected.is_empty() {
            prop_assert_eq!(bench.unzip_or_empty("out", compression), expected);
        }
        prop_assert!(!bench.path("out.partial").exists());
    }
}

impl Bench {
    fn unzip_or_empty(&self, name: &str, compression: Compression) -> String {
        if self.path(name).exists() { self.unzip(name, compression) } else { String::new() }
    }
}

#[test]
fn every_problem_of_a_spec_is_reported() {
    let mut report = Report::new();
    let spec = Spec {
        path: "out/{year}".into(),
        format: "xml".into(),
        compression: "lz4".into(),
        mode: "truncate".into(),
        rotate: Some(Rotate {
            bytes: Some(ByteSize::new(0)),
            interval: Some(Duration::from_secs(0)),
        }),
        csv: None,
        max_open_files: Some(0),
    };
    spec.check(&FieldPath::field("file"), &mut report);
    let problems: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "file.path: Invalid value: \"out/{year}\": unknown placeholder `{year}`; known: `{date}`, `{hour}`, `{metadata.KEY}`",
            "file.format: Unsupported value: \"xml\": supported values: \"ndjson\", \"csv\", \"lines\"",
            "file.compression: Unsupported value: \"lz4\": supported values: \"none\", \"auto\", \"gzip\", \"zstd\"",
            "file.mode: Unsupported value: \"truncate\": supported values: \"append\", \"atomic\"",
            "file.maxOpenFiles: Invalid value: 0: must be greater than zero",
            "file.rotate.bytes: Invalid value: 0: must be greater than zero",
            "file.rotate.interval: Invalid value: \"0s\": must be greater than zero",
        ]
    );
    for path in ["", "a/", "..", "a\0"] {
        let mut report = Report::new();
        to(path).check(&FieldPath::field("file"), &mut report);
        assert!(!report.is_ok(), "{path:?}");
    }
}
