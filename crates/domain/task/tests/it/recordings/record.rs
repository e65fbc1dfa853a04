//! What is recorded.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use levada_clients::influxdb::{Client, Clusters, Config, InfluxDb, Query, WriteTarget};
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use levada_task::recording::files;
use levada_task::recordings::{
    RecordBatch, RecordQuery, RecordStream, RecordingType, RecordingsError, Status,
};
use levada_testkit::services;

use super::world::{Fake, NOW, World, pass, seconds};

const CPU: (&str, &str) = ("cpu", "stream|from().measurement('cpu')|log()");
const BATCH: (&str, &str) = (
    "batch",
    "batch|query('SELECT mean(v) FROM db.rp.cpu').period(10s).every(10s).groupBy('host')|log()",
);
const ANSWER: &str = r#"{"results":[{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","mean"],"values":[["1970-01-01T00:00:01Z",2]]}]}]}"#;

fn stream(id: &str, stop: i64) -> RecordStream {
    RecordStream { id: id.into(), task: "cpu".into(), stop: seconds(stop) }
}

fn batch(id: &str, start: i64, stop: i64) -> RecordBatch {
    let (start, stop) = (Some(seconds(start)), Some(seconds(stop)));
    RecordBatch { id: id.into(), task: "batch".into(), start, stop }
}

fn query(kind: RecordingType, text: &str) -> RecordQuery {
    RecordQuery { id: "q".into(), kind, query: text.into(), cluster: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_points_of_a_task_are_recorded_until_a_later_one_comes() {
    let mut world = World::new(&[CPU]).await;
    let begun = world.recordings.record_stream(stream("r", 100)).await.unwrap();
    assert_eq!((begun.status, begun.progress, &*begun.error), (Status::Running, 0.0, ""));
    world.write("cpu v=1 1\nmem v=1 2\ncpu v=1 100");
    world.write("cpu v=1 3\ncpu v=1 101\ncpu v=1 4");
    let ended = world.ended("r").await;
    assert_eq!((ended.status, ended.progress, &*ended.error), (Status::Finished, 1.0, ""));
    assert_eq!(world.recorded("r"), ["db.rp cpu 1", "db.rp cpu 100", "db.rp cpu 3"]);
    let size = std::fs::metadata(world.folder.path().join("r.srpl")).unwrap().len();
    assert_eq!((ended.size, ended.date), (size, seconds(NOW)));
    assert_eq!(world.partial_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_ends_on_the_clock_when_no_later_point_comes() {
    let mut world = World::new(&[CPU]).await;
    world.recordings.record_stream(stream("r", NOW + 10)).await.unwrap();
    world.write("cpu v=1 1");
    pass(&world.clock, 4);
    for round in 0.. {
        let progress = world.recordings.recording("r").await.unwrap().progress;
        if progress == 0.4 {
            break;
        }
        assert!(round < 500, "{progress}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pass(&world.clock, 35);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let running = world.recordings.recording("r").await.unwrap();
    assert_eq!((running.status, running.progress), (Status::Running, 0.99));
    pass(&world.clock, 2);
    assert_eq!(world.ended("r").await.status, Status::Finished);
    assert_eq!(world.recorded("r"), ["db.rp cpu 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_refused_with_the_texts_of_upstream() {
    let world = World::new(&[CPU, BATCH, ("bad", "stream|nothing()")]).await;
    let refused = |error: RecordingsError| (error.kind(), error.to_string());
    let recordings = &world.recordings;
    let error = recordings.record_stream(stream("a/b", 1)).await.unwrap_err();
    let text = "recording ID must contain only letters, numbers, '-', '.' and '_'. \"a/b\"";
    assert_eq!(refused(error), (ErrorKind::Invalid, text.to_owned()));
    let unknown = RecordStream { task: "x".into(), ..stream("r", 1) };
    let error = recordings.record_stream(unknown).await.unwrap_err();
    assert_eq!(refused(error), (ErrorKind::NotFound, "no task exists".to_owned()));
    let error = recordings.record_batch(RecordBatch { start: None, ..batch("r", 0, 0) }).await;
    assert_eq!(error.unwrap_err().to_string(), "must provide start time");
    let error = recordings.record_query(query(RecordingType::Stream, "")).await.unwrap_err();
    assert_eq!(error.to_string(), "must provide query");
    let long = "x".repeat(241);
    assert_eq!(
        recordings.record_stream(stream(&long, 1)).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    recordings.record_stream(stream(&long[1..], NOW)).await.unwrap();
    let bad = RecordStream { task: "bad".into(), ..stream("r", 1) };
    assert_eq!(recordings.record_stream(bad).await.unwrap_err().kind(), ErrorKind::Internal);
    recordings.record_stream(stream("r", NOW)).await.unwrap();
    let error = recordings.record_stream(stream("r", NOW)).await.unwrap_err();
    assert_eq!(error.to_string(), "recording already exists");
    let error = recordings.recording("nothing").await.unwrap_err();
    assert_eq!(refused(error), (ErrorKind::NotFound, "no recording exists".to_owned()));
    let made = recordings.record_stream(stream("", NOW)).await.unwrap();
    assert_eq!(made.id.len(), 36);
    recordings.close().await;
    let error = recordings.record_stream(stream("s", NOW)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_allowed_are_under_way() {
    let world = World::with(&[CPU], |settings| settings.recordings_max = 2).await;
    for id in ["a", "b"] {
        world.recordings.record_stream(stream(id, NOW)).await.unwrap();
    }
    let error = world.recordings.record_stream(stream("c", NOW)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    world.recordings.recording_delete("a").await.unwrap();
    world.recordings.record_stream(stream("c", NOW)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_recording_ends_and_its_id_is_free() {
    let mut world = World::new(&[CPU]).await;
    world.recordings.record_stream(stream("r", NOW)).await.unwrap();
    world.write("cpu v=1 1");
    world.recordings.recording_delete("r").await.unwrap();
    assert_eq!(world.recordings.running(), 0);
    assert_eq!(world.recordings.recording("r").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.partial_files(), 0);
    world.recordings.record_stream(stream("r", 1)).await.unwrap();
    world.write("cpu v=1 2");
    assert_eq!(world.ended("r").await.status, Status::Finished);
    assert_eq!(world.recorded("r"), [""; 0]);
    world.recordings.recording_delete("r").await.unwrap();
    assert!(!world.folder.path().join("r.srpl").exists());
    world.recordings.recording_delete("r").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_grows_too_large_fails_and_leaves_nothing() {
    let mut world = World::with(&[CPU], |settings| settings.file_bytes_max = 100).await;
    world.recordings.record_stream(stream("r", NOW)).await.unwrap();
    // What does not compress.
    let number = |index: i64| index.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_mul(index | 1);
    let lines: String = (0..40_000)
        .map(|index| format!("cpu,t={:x} v={}i {index}\n", number(index + 7), number(index)))
        .collect();
    world.write(&lines);
    // Small files reach their bound when they are closed.
    world.write(&format!("cpu v=1 {}", NOW + 1));
    let ended = world.ended("r").await;
    assert_eq!(ended.status, Status::Failed);
    assert_eq!(ended.error, "the recording is larger than 100 bytes");
    world.cleared().await;
    assert!(!world.folder.path().join("r.srpl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_a_task_are_recorded() {
    let world = World::around(&[BATCH], Fake::answering(&[ANSWER, ANSWER]), |_| {}).await;
    world.recordings.record_batch(batch("b", 100, 120)).await.unwrap();
    let ended = world.ended("b").await;
    assert_eq!((ended.status, &*ended.error, ended.kind.word()), (Status::Finished, "", "batch"));
    let asked = world.influx.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].contains("time >= '1970-01-01T00:01:40Z' AND time < '1970-01-01T00:01:50Z'"));
    let mut files = files::open(&world.folder.path().join("b.brpl")).unwrap();
    let mut text = String::new();
    files.remove(0).read_to_string(&mut text).unwrap();
    assert_eq!((files.len(), text.lines().count()), (0, 2));
    let line = r#"{"name":"cpu","tmax":"1970-01-01T00:01:50Z","group":"host=a","tags":{"host":"a"},"points":[{"fields":{"mean":2},"tags":{"host":"a"},"time":"1970-01-01T00:00:01Z"}]}"#;
    assert_eq!(text.lines().next(), Some(line));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_queries_cannot_be_recorded_is_said() {
    let world = World::with(&[CPU, BATCH], |settings| settings.executions_max = 3).await;
    let on_stream = RecordBatch { task: "cpu".into(), ..batch("s", 0, 10) };
    world.recordings.record_batch(on_stream).await.unwrap();
    assert_eq!(world.ended("s").await.error, "wrong task type");
    world.influx.answers.lock().unwrap().extend(std::iter::repeat_n(ANSWER.to_owned(), 9));
    world.recordings.record_batch(batch("m", 0, 100)).await.unwrap();
    assert_eq!(world.ended("m").await.error, "the queries would be asked more than 3 times");
    world.recordings.record_batch(batch("e", 0, 30)).await.unwrap();
    assert_eq!(world.ended("e").await.status, Status::Finished, "three are allowed");
    let refusal = r#"{"results":[{"error":"no such thing"}]}"#;
    *world.influx.answers.lock().unwrap() = [refusal.to_owned()].into();
    world.recordings.record_batch(batch("r", 0, 10)).await.unwrap();
    let ended = world.ended("r").await;
    assert_eq!((ended.status, &*ended.error), (Status::Failed, "no such thing"));
    world.cleared().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_becomes_points_by_time_or_batches() {
    let answer = r#"{"results":[{"series":[
        {"name":"cpu","tags":{"host":"a"},"columns":["time","v"],"values":[["1970-01-01T00:00:03Z",1],["1970-01-01T00:00:05Z",2]]},
        {"name":"cpu","tags":{"host":"b"},"columns":["time","v"],"values":[["1970-01-01T00:00:04Z",3]]}]}]}"#;
    let world = World::around(&[], Fake::answering(&[answer, answer]), |_| {}).await;
    let text = "SELECT v FROM \"db\".\"rp\".cpu GROUP BY *";
    world.recordings.record_query(query(RecordingType::Stream, text)).await.unwrap();
    assert_eq!(world.ended("q").await.error, "");
    assert_eq!(world.recorded("q"), ["db.rp cpu 3", "db.rp cpu 4", "db.rp cpu 5"]);
    assert_eq!(world.influx.asked(), [text]);
    let again = RecordQuery { id: "b".into(), ..query(RecordingType::Batch, text) };
    world.recordings.record_query(again).await.unwrap();
    assert_eq!(world.ended("b").await.status, Status::Finished);
    let unqualified =
        "could not determine database and retention policy. Is the query fully qualified?";
    for (id, text) in [("u", "SELECT v FROM cpu"), ("w", "SELECT v FROM d.r.a, d.r.b")] {
        let request = RecordQuery { id: id.into(), ..query(RecordingType::Stream, text) };
        world.recordings.record_query(request).await.unwrap();
        assert_eq!(world.ended(id).await.error, unqualified);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_under_way_ends_when_it_is_deleted() {
    let influx = Fake { hangs: true, ..Fake::default() };
    let world = World::around(&[BATCH], influx, |_| {}).await;
    world.recordings.record_batch(batch("b", 0, 100)).await.unwrap();
    while world.influx.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.recordings.recording_delete("b").await.unwrap();
    assert_eq!(world.recordings.running(), 0);
    world.recordings.record_batch(batch("c", 0, 100)).await.unwrap();
    world.recordings.close().await;
    let closed = world.recordings.recording("c").await.unwrap();
    assert_eq!((closed.status, &*closed.error), (Status::Failed, "unexpected Kapacitor shutdown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_the_newest_first() {
    let world = World::new(&[CPU]).await;
    for id in ["a1", "b", "a2"] {
        world.recordings.record_stream(stream(id, NOW)).await.unwrap();
        pass(&world.clock, 1);
    }
    let found = world.recordings.recordings().await.unwrap();
    let ids: Vec<_> = found.iter().map(|recording| &*recording.id).collect();
    assert_eq!(ids, ["a2", "b", "a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_a_real_server_are_recorded() {
    let Some(address) = services::INFLUXDB.address("recordings of queries") else { return };
    let tasks = Tasks::new();
    let config = Config::of(format!("http://{address}"));
    let client: Arc<dyn InfluxDb> = Arc::new(Client::new(&config, &tasks).await.unwrap());
    let database = "levada recordings";
    let drop = Query { text: format!("DROP DATABASE \"{database}\""), ..Query::default() };
    client.query(&drop).await.unwrap();
    client.create_database(database, "rp").await.unwrap();
    let target = WriteTarget {
        database: database.to_owned(),
        retention: "rp".to_owned(),
        precision: "s".to_owned(),
        ..WriteTarget::default()
    };
    let lines = "m,host=a v=1 60\nm,host=b v=10 61\nm,host=a v=3 75\nm,host=a v=5 130";
    client.write(&target, lines.into()).await.unwrap();
    let script = format!(
        "batch|query('SELECT mean(v) FROM \"{database}\".rp.m').period(1m).every(1m).groupBy('host')|log()"
    );
    let mut world = World::new(&[("t", &script)]).await;
    world.deps.clusters = Clusters::new("main", [("main".to_owned(), client)]);
    world.reopen().await.unwrap();
    let text = format!("SELECT v FROM \"{database}\".rp.m GROUP BY host");
    world.recordings.record_query(query(RecordingType::Stream, &text)).await.unwrap();
    assert_eq!(world.ended("q").await.error, "");
    let point = |second: i64| format!("{database}.rp m {second}");
    assert_eq!(world.recorded("q"), [60, 61, 75, 130].map(point));
    let request = RecordBatch { task: "t".into(), ..batch("b", 60, 180) };
    world.recordings.record_batch(request).await.unwrap();
    assert_eq!(world.ended("b").await.error, "");
    let file = files::open(&world.folder.path().join("b.brpl")).unwrap().remove(0);
    let text = std::io::read_to_string(file).unwrap();
    let means: Vec<_> = text.lines().filter_map(|line| line.split("\"mean\":").nth(1)).collect();
    let means: Vec<_> = means.iter().filter_map(|rest| rest.split('}').next()).collect();
    assert_eq!(means, ["2", "10", "5"], "{text}");
}
