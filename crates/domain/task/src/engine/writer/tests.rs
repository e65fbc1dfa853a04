#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use levada_clients::influxdb::WriteTarget;
use levada_model::{FieldValue, Point, Series, Shape, Str, Timestamp};
use levada_runtime::VirtualClock;

use super::*;
use crate::effect::Answer;
use crate::engine::input::Input;
use crate::engine::side::testing::{FakeInflux, Kept, deps, refused, settle, unreachable, until};

const SECOND: Duration = Duration::from_secs(1);

fn node(index: usize) -> NodeName {
    NodeName { name: format!("influxdb_out{index}").into(), index }
}

fn out(buffer: usize) -> InfluxdbOut {
    InfluxdbOut {
        task: "t".into(),
        node: node(3),
        cluster: String::new(),
        database: "d".into(),
        retention: String::new(),
        buffer,
        flush_interval: 10 * SECOND,
        creates: false,
    }
}

fn point(value: i64) -> Point {
    let none = Str::default();
    Point {
        series: Series::new(none.clone(), none, "m".into(), vec![]),
        shape: Shape::new(["f".into()].into()),
        values: [FieldValue::Int(value)].into_iter().collect(),
        time: Timestamp(value * 1_000_000_000),
    }
}

fn to<'p>(database: &'p str, point: &'p Point) -> Write<'p> {
    Write { cluster: "", database, retention: "r", consistency: "one", precision: "s", point }
}

struct Bench {
    writers: Writers,
    influx: Arc<FakeInflux>,
    kept: Arc<Kept>,
    clock: Arc<VirtualClock>,
}

// === impl Bench ===

impl Bench {
    fn new(
        out: &InfluxdbOut,
        limits: WriterLimits,
        answers: Vec<Result<String, levada_clients::ClientError>>,
    ) -> Self {
        let (deps, kept, clock) = deps();
        let influx = FakeInflux::new(answers);
        let writers = Writers::new(deps, limits);
        writers.open(out, influx.clone());
        Bench { writers, influx, kept, clock }
    }

    fn write(&self, database: &str, values: std::ops::Range<i64>) {
        for value in values {
            self.writers.write(&node(3), &to(database, &point(value))).unwrap();
        }
    }

    async fn requests(&self, count: usize) -> Vec<String> {
        until(&format!("{count} requests"), || self.influx.writes().len() >= count).await;
        self.influx.writes().into_iter().map(|(_, lines)| lines).collect()
    }

    fn statistics(&self) -> WriterStatistics {
        self.writers.statistics(3).unwrap()
    }

    /// Gives the reports: points and cause.
    fn reports(&self) -> Vec<(u64, String)> {
        let report = |input| match input {
            Input::Answer { place: 3, token, answer: Answer::Failed(cause) } => {
                (token, cause.to_string())
            }
            other => panic!("{other:?}"),
        };
        self.kept.take().into_iter().map(report).collect()
    }
}

#[tokio::test]
async fn a_full_buffer_is_sent_at_once_and_each_target_has_its_own() {
    let bench = Bench::new(&out(2), WriterLimits::default(), vec![]);
    bench.write("a", 1..2);
    bench.write("b", 2..3);
    settle().await;
    assert_eq!(bench.influx.writes(), []);
    bench.write("b", 3..4);
    bench.write("a", 4..5);
    assert_eq!(bench.requests(2).await, ["m f=2i 2\nm f=3i 3\n", "m f=1i 1\nm f=4i 4\n"]);
    let target = |database: &str| WriteTarget {
        database: database.into(),
        retention: "r".into(),
        precision: "s".into(),
        consistency: "one".into(),
    };
    let targets: Vec<_> = bench.influx.writes().into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, [target("b"), target("a")]);
    until("written", || bench.statistics().points_written == 4).await;
    assert_eq!(bench.statistics(), WriterStatistics { points_written: 4, ..Default::default() });
    assert_eq!(bench.reports(), []);
}

#[tokio::test]
async fn a_point_waits_no_longer_than_the_flush_interval() {
    let bench = Bench::new(&out(100), WriterLimits::default(), vec![]);
    settle().await;
    bench.write("d", 1..2);
    bench.clock.advance(6 * SECOND);
    settle().await;
    bench.write("d", 2..3);
    bench.clock.advance(Duration::from_millis(3_999));
    settle().await;
    assert_eq!(bench.influx.writes(), []);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.requests(1).await, ["m f=1i 1\nm f=2i 2\n"]);
    // The next buffer has an interval of its own.
    bench.write("d", 3..4);
    bench.clock.advance(9 * SECOND);
    settle().await;
    assert_eq!(bench.influx.writes().len(), 1);
    bench.clock.advance(SECOND);
    assert_eq!(bench.requests(2).await[1], "m f=3i 3\n");
}

#[tokio::test]
async fn stopping_sends_what_is_buffered() {
    let bench = Bench::new(&out(100), WriterLimits::default(), vec![]);
    bench.write("d", 1..4);
    assert_eq!(bench.writers.stop(SECOND).await, 0);
    assert_eq!(bench.requests(1).await, ["m f=1i 1\nm f=2i 2\nm f=3i 3\n"]);
    let error = bench.writers.write(&node(3), &to("d", &point(4))).unwrap_err();
    assert_eq!(&*error, "points are not taken any more");
    assert!(bench.writers.write(&node(9), &to("d", &point(4))).is_err());
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_and_keeps_the_order() {
    let answers = vec![unreachable(), refused(503, "busy"), refused(500, "timeout")];
    let bench = Bench::new(&out(1), WriterLimits::default(), answers);
    bench.write("d", 1..3);
    for tries in 1..=3 {
        bench.requests(tries).await;
        settle().await;
        // Half of the longest first delays is not enough, the whole is.
        bench.clock.advance(Duration::from_millis(500 << (tries - 1)));
    }
    let line = "m f=1i 1\n";
    assert_eq!(bench.requests(5).await, [line, line, line, line, "m f=2i 2\n"]);
    until("written", || bench.statistics().points_written == 2).await;
    let expected = WriterStatistics { points_written: 2, retries: 3, ..Default::default() };
    assert_eq!(bench.statistics(), expected);
    assert_eq!(bench.reports(), []);
}

#[tokio::test]
async fn refused_points_are_lost_counted_and_reported_once_in_a_while() {
    let answers = vec![
        refused(400, "first"),
        refused(404, "second"),
        refused(400, "partial write: x dropped=1"),
        refused(413, "fourth"),
    ];
    let bench = Bench::new(&out(2), WriterLimits::default(), answers);
    bench.write("d", 1..9);
    bench.requests(4).await;
    until("all failed", || bench.statistics().write_errors == 4).await;
    let expected = WriterStatistics {
        points_written: 1,
        points_lost: 7,
        write_errors: 4,
        ..Default::default()
    };
    assert_eq!(bench.statistics(), expected);
    settle().await;
    assert_eq!(bench.reports(), [(2, "first".to_owned())]);
    bench.clock.advance(REPORT_INTERVAL - Duration::from_nanos(1));
    settle().await;
    assert_eq!(bench.reports(), []);
    bench.clock.advance(Duration::from_nanos(1));
    bench.kept.count(1).await;
    assert_eq!(bench.reports(), [(5, "second".to_owned())]);
}

#[tokio::test]
async fn points_without_room_are_lost_at_the_edge_and_reported_while_the_server_is_away() {
    let line = "m f=1i 1\n".len();
    for (limits, cause) in [
        (WriterLimits { target_points: 3, ..Default::default() }, "3 points wait already"),
        (WriterLimits { node_bytes: 3 * line, ..Default::default() }, "27 bytes wait already"),
    ] {
        let bench = Bench::new(&out(1), limits, vec![]);
        bench.influx.shut();
        bench.write("d", 1..4);
        assert_eq!(bench.statistics().points_lost, 0);
        assert_eq!(bench.statistics().bytes_held, 3 * line as u64);
        bench.write("d", 4..6);
        assert_eq!(bench.statistics().points_lost, 2);
        bench.kept.count(1).await;
        let lost: u64 = bench
            .reports()
            .iter()
            .map(|(points, text)| {
                assert_eq!(text, &format!("no room for points to \"d\".\"r\": {cause}"));
                points
            })
            .sum();
        assert_eq!(lost, 2);
        // There is room again when the server is there again.
        bench.influx.gate.add_permits(100);
        until("written", || bench.statistics().points_written == 3).await;
        bench.write("d", 6..7);
        until("written", || bench.statistics().points_written == 4).await;
        assert_eq!((bench.statistics().points_held, bench.statistics().bytes_held), (0, 0));
    }
}

#[tokio::test]
async fn requests_are_no_longer_than_the_bound_but_for_one_line() {
    let line = "m f=1i 1\n".len();
    for (chunk_bytes, expected) in [
        (2 * line, vec![2, 2, 1]),
        (2 * line - 1, vec![1, 1, 1, 1, 1]),
        (1, vec![1, 1, 1, 1, 1]),
        (100 * line, vec![5]),
    ] {
        let limits = WriterLimits { chunk_bytes, ..Default::default() };
        let bench = Bench::new(&out(100), limits, vec![]);
        bench.write("d", 1..6);
        assert_eq!(bench.writers.stop(SECOND).await, 0);
        let requests = bench.requests(expected.len()).await;
        let lines: Vec<usize> = requests.iter().map(|body| body.lines().count()).collect();
        assert_eq!(lines, expected, "{chunk_bytes}");
        assert_eq!(bench.statistics().points_written, 5);
    }
}

#[tokio::test]
async fn targets_are_bounded_and_idle_ones_make_room() {
    let limits = WriterLimits { targets: 2, ..Default::default() };
    let bench = Bench::new(&out(100), limits, vec![]);
    bench.write("a", 1..2);
    bench.write("b", 1..2);
    let error = bench.writers.write(&node(3), &to("c", &point(1))).unwrap_err();
    assert_eq!(&*error, "points go to more than 2 databases and retention policies");
    settle().await;
    bench.clock.advance(10 * SECOND);
    until("written", || bench.statistics().points_written == 2).await;
    bench.write("c", 1..2);
    assert_eq!(bench.writers.stop(SECOND).await, 0);
    assert_eq!(bench.statistics().points_written, 3);
}

#[tokio::test]
async fn time_to_finish_is_bounded_also_for_a_server_that_says_nothing() {
    let bench = Bench::new(&out(2), WriterLimits::default(), vec![]);
    bench.influx.shut();
    bench.write("d", 1..6);
    bench.requests(1).await;
    bench.writers.close(5 * SECOND);
    settle().await;
    bench.clock.advance(Duration::from_millis(4_999));
    settle().await;
    assert!(!bench.writers.is_done());
    bench.clock.advance(Duration::from_millis(1));
    until("done", || bench.writers.is_done()).await;
    let statistics = bench.statistics();
    assert_eq!((statistics.points_lost, statistics.points_held), (5, 0));
    assert_eq!(
        bench.reports(),
        [(5, "the task was stopped before the points were written".into())]
    );
    assert_eq!(bench.influx.under_way(), 0);
}

#[tokio::test]
async fn a_retry_waits_no_longer_than_the_time_to_finish() {
    let answers = (0..20).map(|_| unreachable()).collect();
    let bench = Bench::new(&out(1), WriterLimits::default(), answers);
    bench.write("d", 1..2);
    bench.requests(1).await;
    bench.writers.close(Duration::from_millis(100));
    settle().await;
    bench.clock.advance(Duration::from_millis(100));
    until("done", || bench.writers.is_done()).await;
    assert_eq!(bench.statistics().points_lost, 1);
}

#[tokio::test]
async fn databases_are_created_at_the_start_and_when_they_are_gone() {
    let spec = InfluxdbOut { creates: true, retention: "r".into(), ..out(1) };
    let answers =
        vec![refused(500, "not now"), refused(404, "database not found"), Ok(String::new())];
    let bench = Bench::new(&spec, WriterLimits::default(), answers);
    bench.write("d", 1..2);
    until("written", || bench.statistics().points_written == 1).await;
    let created = bench.influx.created.lock().unwrap().clone();
    assert_eq!(created, [("d".to_owned(), "r".to_owned()), ("d".to_owned(), "r".to_owned())]);
    assert_eq!(bench.influx.writes().len(), 2);
}

#[tokio::test]
async fn a_database_that_stays_away_is_created_once_per_request() {
    let spec = InfluxdbOut { creates: true, ..out(1) };
    let not_found = || refused(404, "database not found");
    let answers = vec![Ok(String::new()), not_found(), Ok(String::new()), not_found()];
    let bench = Bench::new(&spec, WriterLimits::default(), answers);
    bench.write("d", 1..2);
    bench.kept.count(1).await;
    assert_eq!(bench.reports(), [(1, "database not found".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_a_line_is_an_error_of_its_point() {
    let bench = Bench::new(&out(1), WriterLimits::default(), vec![]);
    let mut bad = point(1);
    bad.values = [FieldValue::Float(f64::NAN)].into_iter().collect();
    assert!(bench.writers.write(&node(3), &to("d", &bad)).is_err());
    bench.write("d", 1..2);
    assert_eq!(bench.requests(1).await, ["m f=1i 1\n"]);
}

#[tokio::test]
async fn senders_end_when_nobody_holds_them() {
    let (deps, _, _) = deps();
    let tasks = deps.tasks.clone();
    let influx = FakeInflux::new(vec![]);
    influx.shut();
    let writers = Writers::new(deps, WriterLimits::default());
    writers.open(&out(1), influx.clone());
    writers.write(&node(3), &to("d", &point(1))).unwrap();
    until("a request", || influx.under_way() == 1).await;
    drop(writers);
    until("the end", || tasks.running().is_empty()).await;
}
