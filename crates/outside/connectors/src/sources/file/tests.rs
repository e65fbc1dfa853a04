#![expect(clippy::unwrap_used, reason = "tests")]

mod archives;
mod follow;
mod resume;

use std::path::{Path, PathBuf};
use std::time::Duration;

use levada_model::{Position, RecordBatch, Str};
use levada_runtime::SystemClock;
use tempfile::TempDir;

use super::source::FileSource;
use super::*;
use crate::formats::testing::{NOW, context, payloads};
use crate::{Source, SourceError};

/// Longer than any machine takes; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// One batch as a test looks at it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    payloads: Vec<String>,
    broken: Vec<String>,
    positions: Vec<(Str, Position)>,
}

fn settings(folder: &Path, spec: Spec, chunk_bytes: usize) -> Settings {
    let mut report = Report::new();
    spec.check(&FieldPath::field("file"), &mut report);
    assert!(report.is_ok(), "{report:?}");
    Settings {
        patterns: Patterns::new(&spec.paths, folder),
        follow: spec.follow,
        start_at_end: spec.start_at == "end",
        poll_interval: Duration::from_millis(2),
        read: ReadOptions {
            format: Format::parse(&spec.format),
            csv: spec.csv.unwrap_or_default().options(record_bytes(spec.max_record_bytes)),
            compression: None,
            chunk_bytes,
        },
    }
}

fn paths(patterns: &[&str]) -> Spec {
    Spec { paths: patterns.iter().map(|text| (*text).to_owned()).collect(), ..Spec::default() }
}

fn lines(patterns: &[&str]) -> Spec {
    Spec { format: "lines".into(), ..paths(patterns) }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn path_of(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn open(
    folder: &Path,
    spec: Spec,
    chunk_bytes: usize,
    positions: &[(Str, Position)],
) -> FileSource {
    let mut ctx = context(folder);
    if spec.follow {
        ctx.clock = SystemClock::new();
    }
    let mut source = FileSource::new(settings(folder, spec, chunk_bytes), &ctx);
    source.open(positions).await.unwrap();
    source
}

async fn next(source: &mut FileSource) -> Result<Option<Seen>, SourceError> {
    let mut batch = RecordBatch::new();
    let more = tokio::time::timeout(DEADLINE, source.next(&mut batch)).await.unwrap()?;
    let broken = (0..batch.len()).filter_map(|index| batch.broken(index));
    Ok(more.then(|| Seen {
        payloads: payloads(&batch),
        broken: broken.map(|error| error.message.clone()).collect(),
        positions: batch
            .origins
            .iter()
            .map(|origin| (origin.partition.clone(), origin.position.clone()))
            .collect(),
    }))
}

/// Reads to the end of the source.
async fn read_all(
    folder: &Path,
    spec: Spec,
    chunk_bytes: usize,
    positions: &[(Str, Position)],
) -> (Vec<Seen>, Option<SourceError>) {
    let mut source = open(folder, spec, chunk_bytes, positions).await;
    let mut seen = Vec::new();
    loop {
        match next(&mut source).await {
            Ok(Some(batch)) => seen.push(batch),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn all_payloads(seen: &[Seen]) -> Vec<String> {
    seen.iter().flat_map(|batch| batch.payloads.clone()).collect()
}

#[tokio::test]
async fn a_batch_holds_no_more_records_than_the_flow_wants() {
    let folder = folder();
    write(&folder, "f.log", "1\n2\n3\n4\n5");
    write(&folder, "f.csv", "a\n1\n2\n3");
    for follow in [false, true] {
        for (name, format, count) in [("f.log", "lines", 4), ("f.csv", "csv", 2)] {
            let ctx = BuildContext { batch_records: 1, ..context(folder.path()) };
            let spec = Spec { format: format.into(), follow, ..paths(&[name]) };
            let mut source = spec.build(&ctx).unwrap();
            source.open(&[]).await.unwrap();
            // The last one lacks its line end.
            for _ in 0..count + usize::from(!follow) {
                let mut batch = RecordBatch::new();
                assert!(source.next(&mut batch).await.unwrap());
                assert_eq!(batch.len(), 1, "{name}, follow {follow}");
            }
        }
    }
}

#[tokio::test]
async fn files_are_read_in_the_order_of_their_paths() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write(&folder, "b.ndjson", "{\"b\":1}\n\n{\"b\":2}");
    write(&folder, "a.ndjson", "{\"a\":1}\n");
    write(&folder, "sub/c.ndjson", "3\n");
    write(&folder, "other.txt", "no\n");
    write(&folder, "empty.ndjson", "");
    let mut source = open(folder.path(), paths(&["**/*.ndjson", "a*"]), 1 << 16, &[]).await;
    let mut batch = RecordBatch::new();
    let mut all = Vec::new();
    let mut files = Vec::new();
    while source.next(&mut batch).await.unwrap() {
        assert!(batch.expects_json);
        assert_eq!(batch.received_at, NOW);
        for index in 0..batch.len() {
            let file = batch.meta(index).unwrap().get("file").unwrap().to_text().unwrap();
            assert_eq!(*file, *batch.origins[batch.records[index].origin as usize].partition);
            files.push(file);
        }
        all.extend(payloads(&batch));
        batch.clear();
    }
    assert_eq!(all, ["{\"a\":1}", "{\"b\":1}", "{\"b\":2}", "3"]);
    let [a, b, c] = ["a.ndjson", "b.ndjson", "sub/c.ndjson"].map(|name| path_of(&folder, name));
    assert_eq!(files, [a, b.clone(), b, c]);
    assert_eq!(source.lag(), Some(0));
    assert!(!source.next(&mut batch).await.unwrap(), "an ended source stays ended");
}

#[tokio::test]
async fn nothing_to_read_is_an_error_that_says_where() {
    let folder = folder();
    let (seen, error) = read_all(folder.path(), paths(&["no/*.x"]), 64, &[]).await;
    assert_eq!(seen, []);
    let error = error.unwrap();
    assert!(!error.class.is_transient());
    assert_eq!(
        error.to_string(),
        format!(
            "no file matches `no/*.x` in folder `{}`; correct `paths`, or set `follow: true` to wait \
             for files",
            folder.path().display()
        )
    );
}

#[tokio::test]
async fn a_bad_file_does_not_keep_others_from_being_read() {
    let folder = folder();
    let bad = write(&folder, "1.csv", "x,x\n1,2\n");
    write(&folder, "2.csv", "x,y\n1,2\nbad\n");
    let spec = Spec { format: "csv".into(), ..paths(&["*.csv"]) };
    let (seen, error) = read_all(folder.path(), spec, 1 << 16, &[]).await;
    assert_eq!(all_payloads(&seen), [r#"{"x":"1","y":"2"}"#, "bad"]);
    assert_eq!(seen[0].broken.len(), 1);
    let error = error.unwrap();
    assert_eq!(error.message, format!("cannot read file `{}` as csv", bad.display()));
    assert!(error.source.unwrap().to_string().contains("names column `x` twice"));
}

#[tokio::test]
async fn a_line_that_is_too_long_is_a_record_that_fails() {
    let folder = folder();
    write(&folder, "f", format!("1\n{}\n2\n", "x".repeat(1000)));
    let spec = Spec { max_record_bytes: Some(ByteSize::new(10)), ..paths(&["f"]) };
    let (seen, error) = read_all(folder.path(), spec, 64, &[]).await;
    assert!(error.is_none());
    let all = all_payloads(&seen);
    assert_eq!((all.len(), &*all[0], &*all[2]), (3, "1", "2"));
    assert_eq!(seen.iter().map(|batch| batch.broken.len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn the_start_can_be_the_end() {
    for (format, expected) in [("lines", "later"), ("csv", r#"{"a":"later"}"#)] {
        let folder = folder();
        let path = write(&folder, "f", format!("a\n{}\n\nunfinished", "x".repeat(200_000)));
        let spec = Spec { format: format.into(), start_at: "end".into(), ..paths(&["f"]) };
        let (seen, _) = read_all(folder.path(), spec.clone(), 1 << 16, &[]).await;
        let unfinished = if format == "csv" { r#"{"a":"unfinished"}"# } else { "unfinished" };
        assert_eq!(all_payloads(&seen), [unfinished]);
        // A position that is stored wins.
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"\nlater\n");
        std::fs::write(&path, text).unwrap();
        let positions = &seen[0].positions;
        let (seen, _) = read_all(folder.path(), spec, 1 << 16, positions).await;
        assert_eq!(all_payloads(&seen).last().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_source_that_is_dropped_ends_its_thread() {
    let folder = folder();
    write(&folder, "f", "x\n".repeat(100_000));
    for follow in [false, true] {
        let source = open(folder.path(), Spec { follow, ..lines(&["f"]) }, 64, &[]).await;
        let tasks = source.tasks().clone();
        drop(source);
        while !tasks.running().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn every_problem_of_a_spec_is_reported() {
    let mut report = Report::new();
    let spec = Spec {
        paths: vec!["".into(), "a[".into(), "***".into(), "a\0".into(), "ok/*".into()],
        format: "json".into(),
        start_at: "middle".into(),
        compression: "lz4".into(),
        csv: Some(CsvBlock { delimiter: "::".into(), header: None }),
        max_record_bytes: Some(ByteSize::new(0)),
        poll_interval: Some(Duration::ZERO.into()),
        follow: true,
    };
    spec.check(&FieldPath::field("file"), &mut report);
    let problems: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "file.paths[0]: Required value: a path or pattern is required",
            "file.paths[1]: Invalid value: \"a[\": is not a pattern: invalid range pattern at character 1",
            "file.paths[2]: Invalid value: \"***\": is not a pattern: wildcards are either regular `*` or recursive `**` at character 2",
            "file.paths[3]: Invalid value: \"a\\u0000\": must not contain NUL",
            "file.format: Unsupported value: \"json\": supported values: \"ndjson\", \"csv\", \"lines\"",
            "file.csv.delimiter: Invalid value: \"::\": must be one ASCII character, neither a quote nor a line end",
            "file.startAt: Unsupported value: \"middle\": supported values: \"beginning\", \"end\"",
            "file.compression: Unsupported value: \"lz4\": supported values: \"auto\", \"none\", \"gzip\", \"zstd\"",
            "file.maxRecordBytes: Invalid value: \"0B\": must be at least 1 byte and at most 1GiB",
            "file.pollInterval: Invalid value: \"0s\": must be greater than zero",
        ]
    );
    let mut report = Report::new();
    Spec::default().check(&FieldPath::field("file"), &mut report);
    assert_eq!(
        report.problems()[0].to_string(),
        "file.paths: Required value: at least one path or pattern is required"
    );
}
