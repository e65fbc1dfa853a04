//! What is replayed.

use std::time::Duration;

use levada_model::ErrorKind;
use levada_runtime::TaskKind;
use levada_task::engine::{Subscription, Tap};
use levada_task::pipeline::dot::DotView;
use levada_task::recordings::{
    RecordStream, RecordingsSettings, ReplayBatch, ReplayClock, ReplayOptions, ReplayQuery,
    ReplayRecording, SideEffects, Status,
};

use super::world::{Fake, NOW, World, pass, seconds};

const ALERT: (&str, &str) = (
    "cpu",
    "stream|from().measurement('cpu')|alert().id('{{ index .Tags \"n\" }}').message('{{ .ID }} {{ .Time.Unix }}').crit(lambda: \"v\" > 1).topic('out')|httpPost('http://x/y')|influxDBOut().database('d').retentionPolicy('r')",
);
const BATCH: (&str, &str) =
    ("batch", "batch|query('SELECT v FROM db.rp.cpu').period(10s).every(10s)|log()");
/// Three points, ten seconds in all, one of them of another database.
const FILE: &[u8] = b"db\nrp\ncpu,n=a v=2 1000000000\nother\nrp\ncpu,n=b v=2 3000000000\ndb\nrp\ncpu,n=c v=2 11000000000\n";
const BATCHES: &[u8] = br#"{"name":"cpu","tmax":"1970-01-01T00:00:05Z","points":[{"fields":{"v":1},"time":"1970-01-01T00:00:01Z"}]}
"#;

fn options(id: &str, task: &str) -> ReplayOptions {
    ReplayOptions { id: id.into(), task: task.into(), ..ReplayOptions::default() }
}

fn of(options: ReplayOptions) -> ReplayRecording {
    ReplayRecording { options, recording: "r".into() }
}

async fn with_file(scripts: &[(&str, &str)], name: &str, content: &[u8]) -> World {
    let mut world = World::new(scripts).await;
    world.put(name, content).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replay_would_do_is_captured_and_not_done() {
    let world = with_file(&[ALERT], "r.srpl", FILE).await;
    let recorded = ReplayOptions { recording_time: true, ..options("p", "cpu") };
    let begun = world.recordings.replay_recording(of(recorded)).await.unwrap();
    assert_eq!((begun.status, &*begun.recording, begun.progress), (Status::Running, "r", 0.0));
    let ended = world.replayed("p").await;
    assert_eq!((ended.status, ended.progress, &*ended.error), (Status::Finished, 1.0, ""));
    let effects = world.effects("p").await;
    let kinds: Vec<_> =
        effects.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["alert", "httpPost", "influxDBOut"].repeat(2));
    assert_eq!(effects[3]["data"]["message"], "c 11");
    let nodes = &ended.stats["node-stats"];
    assert_eq!(nodes["stream0"]["collected"], 2, "{nodes}");
    assert_eq!(nodes["alert2"]["crits_triggered"], 2, "{nodes}");
    assert_eq!(world.heard.lock().unwrap().len(), 0);
    assert_eq!((world.post.asked().len(), world.influx.asked().len()), (0, 0));
    assert_eq!(world.topics.event_state("out", "a"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_begin_now_unless_they_are_to_stay() {
    let world = with_file(&[ALERT], "r.srpl", FILE).await;
    world.recordings.replay_recording(of(options("p", "cpu"))).await.unwrap();
    world.replayed("p").await;
    let effects = world.effects("p").await;
    let messages: Vec<_> =
        [0, 3].map(|at| effects[at]["data"]["message"].as_str().unwrap().to_owned()).into();
    assert_eq!(messages, [format!("a {NOW}"), format!("c {}", NOW + 10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_performs_its_effects_does_so() {
    let world = with_file(&[ALERT], "r.srpl", FILE).await;
    let performed = ReplayOptions { effects: SideEffects::Performed, ..options("p", "cpu") };
    world.recordings.replay_recording(of(performed)).await.unwrap();
    let ended = world.replayed("p").await;
    assert_eq!((ended.status, &*ended.error), (Status::Finished, ""));
    assert_eq!(world.recordings.replay_effects("p").await.unwrap(), None);
    for _ in 0..500 {
        if world.heard.lock().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(*world.heard.lock().unwrap(), [format!("a {NOW}"), format!("c {}", NOW + 10)]);
    assert_eq!(world.post.asked(), ["http://x/y"; 2]);
    let written = world.influx.asked().join("");
    assert_eq!(written.matches("cpu,n=").count(), 2, "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_loop_back_do_not_reach_the_tasks_that_run() {
    let script =
        "stream|from().measurement('a')|kapacitorLoopback().database('x').retentionPolicy('y')";
    let file = b"db\nrp\na v=1 1\n";
    let world = with_file(&[("loop", script)], "r.srpl", file).await;
    let tap = std::sync::Arc::new(Tap::new(10));
    let dbrps = vec![("x".into(), "y".into())];
    world.deps.routes.tap(Subscription { dbrps, ..Subscription::default() }, &tap);
    for (id, effects) in [("c", SideEffects::Captured), ("p", SideEffects::Performed)] {
        let options = ReplayOptions { effects, ..options(id, "loop") };
        world.recordings.replay_recording(of(options)).await.unwrap();
        assert_eq!(world.replayed(id).await.status, Status::Finished);
    }
    assert_eq!(world.effects("c").await[0]["kind"], "kapacitorLoopback");
    assert!(tap.take(Duration::ZERO).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_real_time_a_replay_takes_as_long_as_the_recording() {
    let script = "stream|from()|stats(4s)|log()";
    let world = with_file(&[("s", script)], "r.srpl", FILE).await;
    let real = ReplayOptions { clock: ReplayClock::Real, ..options("p", "s") };
    world.recordings.replay_recording(of(real)).await.unwrap();
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert_eq!(world.recordings.replay("p").await.unwrap().status, Status::Running);
        pass(&world.clock, 1);
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(world.recordings.replay("p").await.unwrap().status, Status::Running);
    pass(&world.clock, 2);
    assert_eq!(world.replayed("p").await.status, Status::Finished);
    assert_eq!(world.effects("p").await.len(), 2, "a tick each four seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_how_far_it_is_and_what_its_task_has_done() {
    let world = with_file(&[("s", "stream|from()|log()")], "r.srpl", FILE).await;
    let executing = |id: &'static str| world.recordings.executing(id, DotView::Labels);
    assert_eq!(executing("p").await.unwrap(), None);
    let real = ReplayOptions { clock: ReplayClock::Real, ..options("p", "s") };
    world.recordings.replay_recording(of(real)).await.unwrap();
    let mut progress = Vec::new();
    for round in 0..500 {
        assert!(round < 499, "the second point never came: {progress:?}");
        let replay = world.recordings.replay("p").await.unwrap();
        progress.push(replay.progress);
        let seen = executing("p").await.unwrap().unwrap();
        assert_eq!(seen.task, "s");
        if seen.nodes.get("from1").is_some_and(|node| node["collected"] == 1) {
            assert!(seen.dot.contains("from1 [xlabel=") && seen.dot.contains("processed=1"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pass(&world.clock, 3);
    let replay = world.recordings.replay("p").await.unwrap();
    assert!((0.3..1.0).contains(&replay.progress), "{}", replay.progress);
    assert_eq!(world.recordings.replays().await.unwrap()[0].status, Status::Running);
    assert!(progress.is_sorted(), "{progress:?}");
    pass(&world.clock, 20);
    assert_eq!(world.replayed("p").await.progress, 1.0);
    assert_eq!(executing("p").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_replayed_to_their_query_nodes() {
    let world = with_file(&[BATCH], "r.brpl", BATCHES).await;
    world.recordings.replay_recording(of(options("p", "batch"))).await.unwrap();
    assert_eq!(world.replayed("p").await.error, "");
    let line = &world.effects("p").await[0]["data"];
    assert_eq!(line["points"][0]["time"], "2026-03-01T00:00:00Z");
    assert_eq!(line["tmax"], "2026-03-01T00:00:04Z", "it moves with the points");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_now_is_replayed_without_a_file() {
    let answer = r#"{"results":[{"series":[{"name":"cpu","columns":["time","v"],"values":[["1970-01-01T00:00:01Z",2]]}]}]}"#;
    let world =
        World::around(&[BATCH, ALERT], Fake::answering(&[answer, answer, answer]), |_| {}).await;
    let (start, stop) = (Some(seconds(100)), Some(seconds(120)));
    let request = ReplayBatch { options: options("p", "batch"), start, stop };
    let begun = world.recordings.replay_batch(request.clone()).await.unwrap();
    assert_eq!(begun.recording, "");
    assert_eq!(world.replayed("p").await.status, Status::Finished);
    assert_eq!(world.effects("p").await.len(), 2);
    let query = "SELECT v FROM db.rp.cpu".to_owned();
    let cluster = String::new();
    let request = ReplayQuery { options: options("q", "cpu"), query, cluster };
    world.recordings.replay_query(request.clone()).await.unwrap();
    assert_eq!(world.replayed("q").await.error, "");
    assert_eq!(world.effects("q").await.len(), 3);
    assert_eq!(world.partial_files(), 0);
    let none = ReplayBatch { options: options("n", "batch"), start: None, stop };
    let error = world.recordings.replay_batch(none).await.unwrap_err();
    assert_eq!(error.to_string(), "must provide start time");
    let other = ReplayBatch { options: options("n", "cpu"), start, stop };
    let error = world.recordings.replay_batch(other).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot replay batch against stream task: cpu");
    let empty = ReplayQuery { query: String::new(), ..request };
    let empty = ReplayQuery { options: options("n", "cpu"), ..empty };
    let error = world.recordings.replay_query(empty).await.unwrap_err();
    assert_eq!(error.to_string(), "must provide query");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let mut packed = levada_codec::compression::compress_all(
        levada_codec::compression::Compression::Gzip,
        &FILE.repeat(100),
    )
    .unwrap();
    packed.truncate(packed.len() - 20);
    let bomb = levada_codec::compression::compress_all(
        levada_codec::compression::Compression::Gzip,
        &vec![b'x'; 70 << 20],
    )
    .unwrap();
    let two = {
        use std::io::Write as _;
        let mut zip = zip_of(std::io::Cursor::new(Vec::new()));
        for name in ["0", "1"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(BATCHES).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let cases: [(&str, &str, &[u8], &str); 7] = [
        (
            "cpu",
            "r.srpl",
            b"db\nrp\n",
            "running replay: line 3: invalid replay file format, expected another line",
        ),
        ("cpu", "r.srpl", b"db\nrp\ncpu v=1 1\ndb\nrp\ncpu v 1\n", "running replay: line 6: "),
        ("cpu", "r.srpl", &packed, "running replay: line "),
        ("cpu", "r.srpl", &bomb, "running replay: line 1: "),
        (
            "batch",
            "r.brpl",
            b"{}\n[1]\n",
            "running replay: line 2: a batch: wanted an object, got [1]",
        ),
        (
            "batch",
            "r.brpl",
            &two,
            "running replay: unexpected number of batch collectors. exp 2 got 1",
        ),
        ("batch", "r.brpl", b"PK\x03\x04", "data source open: not a zip archive"),
    ];
    for (task, name, content, expected) in cases {
        let world = with_file(&[ALERT, BATCH], name, content).await;
        world.recordings.replay_recording(of(options("p", task))).await.unwrap();
        let ended = world.replayed("p").await;
        assert_eq!(ended.status, Status::Failed);
        assert!(ended.error.starts_with(expected), "{}", ended.error);
    }
}

fn zip_of(out: std::io::Cursor<Vec<u8>>) -> zip::ZipWriter<std::io::Cursor<Vec<u8>>> {
    zip::ZipWriter::new(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused() {
    let world = with_file(&[ALERT, BATCH], "r.srpl", FILE).await;
    let recordings = &world.recordings;
    let refused = async |request: ReplayRecording| {
        let error = recordings.replay_recording(request).await.unwrap_err();
        (error.kind(), error.to_string())
    };
    let id = refused(of(options("a b", "cpu"))).await;
    let text = "replay ID must contain only letters, numbers, '-', '.' and '_'. \"a b\"";
    assert_eq!(id, (ErrorKind::Invalid, text.to_owned()));
    let task = refused(of(options("p", "x"))).await;
    assert_eq!(task, (ErrorKind::NotFound, "no task exists".to_owned()));
    let none = ReplayRecording { recording: "x".into(), ..of(options("p", "cpu")) };
    assert_eq!(refused(none).await, (ErrorKind::NotFound, "no recording exists".to_owned()));
    let (_, text) = refused(of(options("p", "batch"))).await;
    assert_eq!(text, "cannot replay stream against batch task: batch");
    let running = RecordStream { id: "u".into(), task: "cpu".into(), stop: seconds(NOW) };
    recordings.record_stream(running).await.unwrap();
    let unfinished = ReplayRecording { recording: "u".into(), ..of(options("p", "cpu")) };
    assert_eq!(refused(unfinished).await.1, "recording u is not finished: running");
    recordings.recording_delete("u").await.unwrap();
    recordings.replay_recording(of(options("p", "cpu"))).await.unwrap();
    world.replayed("p").await;
    assert_eq!(refused(of(options("p", "cpu"))).await.1, "replay already exists");
    let listed = recordings.replays().await.unwrap();
    assert_eq!(listed.len(), 1);
    recordings.replay_delete("p").await.unwrap();
    assert_eq!(recordings.replay("p").await.unwrap_err().to_string(), "no replay exists");
    assert!(!world.folder.path().join(".effects/p.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_wait_for_their_turn_and_can_be_deleted() {
    let mut world = World::new(&[ALERT]).await;
    world.put("r.srpl", FILE).await;
    let settings = RecordingsSettings {
        replays_max: 1,
        replays_waiting_max: 8,
        ..RecordingsSettings::of(world.folder.path())
    };
    world.recordings =
        levada_task::recordings::Recordings::open(world.deps.clone(), settings).await.unwrap();
    let ids: Vec<_> = (1..=8).map(|number| format!("b{number}")).collect();
    let real = |id: &str| of(ReplayOptions { clock: ReplayClock::Real, ..options(id, "cpu") });
    // From a worker of the runtime, which would begin with what was spawned last.
    let (recordings, asked_for) = (world.recordings.clone(), ids.clone());
    let asked = world.deps.spawner.spawn(TaskKind::Task, "asks", async move {
        recordings.replay_recording(real("a")).await.unwrap();
        for id in asked_for {
            recordings.replay_recording(of(options(&id, "cpu"))).await.unwrap();
        }
        let error = recordings.replay_recording(of(options("c", "cpu"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
    });
    asked.await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for id in &ids {
        let waiting = world.recordings.replay(id).await.unwrap();
        assert_eq!(waiting.status, Status::Running, "{id} waits for the one in real time");
    }
    world.recordings.replay_delete("a").await.unwrap();
    for id in &ids {
        assert_eq!(world.replayed(id).await.status, Status::Finished);
    }
    world.recordings.replay_recording(real("a")).await.unwrap();
    world.recordings.close().await;
    let closed = world.recordings.replay("a").await.unwrap();
    assert_eq!((closed.status, &*closed.error), (Status::Failed, "unexpected Kapacitor shutdown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_fails_its_replay_and_keeps_what_was_before() {
    let script = "stream|from()|log()|combine(lambda: TRUE, lambda: TRUE).as('a','b').max(1)";
    let file = b"db\nrp\nm,h=1 v=1 1\ndb\nrp\nm,h=2 v=1 1\ndb\nrp\nm,h=3 v=1 1\ndb\nrp\nm v=1 2\n";
    let world = with_file(&[("t", script)], "r.srpl", file).await;
    world.recordings.replay_recording(of(options("p", "t"))).await.unwrap();
    let ended = world.replayed("p").await;
    assert_eq!(ended.status, Status::Failed);
    assert!(ended.error.starts_with("task run: combine3: "), "{}", ended.error);
    assert!(!world.effects("p").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_captured_is_bounded() {
    let mut world = World::new(&[ALERT]).await;
    world.put("r.srpl", FILE).await;
    let bounds = |bytes| RecordingsSettings {
        effects_bytes_max: bytes,
        ..RecordingsSettings::of(world.folder.path())
    };
    let open = async |bytes| {
        levada_task::recordings::Recordings::open(world.deps.clone(), bounds(bytes)).await.unwrap()
    };
    let all = open(1 << 20).await;
    all.replay_recording(of(options("all", "cpu"))).await.unwrap();
    while all.running() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let path = all.replay_effects("all").await.unwrap().unwrap();
    let size = std::fs::metadata(path).unwrap().len();
    for (id, bytes, lacks) in
        [("edge", size, ""), ("less", size - 1, "1 more effects were not kept")]
    {
        let recordings = open(bytes).await;
        recordings.replay_recording(of(options(id, "cpu"))).await.unwrap();
        while recordings.running() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let replay = recordings.replay(id).await.unwrap();
        assert_eq!((replay.status, &*replay.error), (Status::Finished, lacks));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_compute_in_replays_of_both_kinds() {
    let script = "stream|from().measurement('cpu')@copy()|alert().id('x').message('{{ index .Fields \"seen\" }}').crit(lambda: TRUE).topic('out')";
    let lines: Vec<String> = (0..50).map(|n| format!("db\nrp\ncpu v={n} {n}000000000\n")).collect();
    let world = with_file(&[("cpu", script)], "r.srpl", lines.concat().as_bytes()).await;
    let wanted: Vec<String> = (1..=50).map(|seen: i32| seen.to_string()).collect();
    world.recordings.replay_recording(of(options("captured", "cpu"))).await.unwrap();
    let ended = world.replayed("captured").await;
    assert_eq!((ended.status, &*ended.error), (Status::Finished, ""));
    let effects = world.effects("captured").await;
    let message = |line: &serde_json::Value| line["data"]["message"].as_str().unwrap().to_owned();
    assert_eq!(effects.iter().map(message).collect::<Vec<_>>(), wanted);
    let performed =
        ReplayOptions { effects: SideEffects::Performed, ..options("performed", "cpu") };
    world.recordings.replay_recording(of(performed)).await.unwrap();
    let ended = world.replayed("performed").await;
    assert_eq!((ended.status, &*ended.error), (Status::Finished, ""));
    assert_eq!(*world.heard.lock().unwrap(), wanted);
}
