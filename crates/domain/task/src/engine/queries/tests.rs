#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering as Order;

use levada_clients::influxdb::InfluxDb;
use levada_influxql::{Dimension, Fill, Query, Schedule};
use levada_model::{FieldValue, Timestamp};
use levada_runtime::VirtualClock;

use super::*;
use crate::engine::input::{Input, OwnedBatch};
use crate::engine::side::testing::{
    FakeInflux, Kept, deps_at, refused, settle, unreachable, until,
};
use crate::nodes::query::plan::{QueryKind, QueryPlan};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const START: Timestamp = Timestamp(90 * SECOND);

fn influxql(schedule: Schedule) -> QueryPlan {
    QueryPlan {
        kind: QueryKind::InfluxQl {
            query: Box::new(Query::prepare("SELECT v FROM db.rp.m").unwrap()),
            dimensions: vec![],
            fill: Fill::Null,
            align_group: false,
            by_name: false,
        },
        schedule,
        period: 30 * SECOND,
        offset: 0,
        cluster: String::new(),
    }
}

fn every(nanos: i64, align: bool) -> Schedule {
    Schedule::Every { every: nanos, align }
}

fn planned(place: usize, plan: QueryPlan) -> PlannedQuery {
    PlannedQuery {
        node: crate::pipeline::NodeIndex(place),
        name: format!("query{place}").into(),
        place,
        plan,
    }
}

fn dbrps() -> Vec<(Str, Str)> {
    vec![("db".into(), "rp".into())]
}

fn clusters(influx: &Arc<FakeInflux>) -> Clusters {
    let client: Arc<dyn InfluxDb> = influx.clone();
    Clusters::new("default", [("default".to_owned(), client)])
}

struct Bench {
    queries: Queries,
    influx: Arc<FakeInflux>,
    kept: Arc<Kept>,
    clock: Arc<VirtualClock>,
}

// === impl Bench ===

impl Bench {
    fn new(
        plan: QueryPlan,
        settings: &QuerySettings,
        answers: Vec<Result<String, levada_clients::ClientError>>,
    ) -> Self {
        let (deps, kept, clock) = deps_at(START);
        let influx = FakeInflux::new(answers);
        let clusters = clusters(&influx);
        let plans = vec![planned(2, plan)];
        let queries =
            Queries::start(&deps, &"t".into(), plans, &dbrps(), &clusters, settings).unwrap();
        Bench { queries, influx, kept, clock }
    }

    fn simple(schedule: Schedule) -> Self {
        Bench::new(influxql(schedule), &QuerySettings::default(), vec![])
    }

    async fn advance(&self, nanos: i64) {
        settle().await;
        self.clock.advance(Duration::from_nanos(nanos as u64));
        settle().await;
    }

    /// Gives the ends of the ranges that were asked for.
    fn stops(&self) -> Vec<String> {
        let stop = |text: &String| text.rsplit('\'').nth(1).unwrap().to_owned();
        self.influx.queries().iter().map(stop).collect()
    }

    fn statistics(&self) -> QueryStatistics {
        self.queries.statistics(2).unwrap()
    }

    fn failures(&self) -> Vec<(String, String)> {
        let failure = |input| match input {
            Input::QueryFailed { place: 2, message, cause } => {
                (message.to_string(), cause.to_string())
            }
            other => panic!("{other:?}"),
        };
        self.kept.take().into_iter().map(failure).collect()
    }

    async fn batches(&self) -> Vec<OwnedBatch> {
        self.kept.count(1).await;
        match self.kept.take().pop() {
            Some(Input::Batches { place: 2, batches }) => batches,
            other => panic!("{other:?}"),
        }
    }
}

fn at(text: &str) -> String {
    format!("1970-01-01T00:{text}Z")
}

#[tokio::test]
async fn ticks_follow_the_start_or_the_multiples() {
    for (schedule, steps, expected) in [
        (every(MINUTE, false), [59 * SECOND, SECOND, MINUTE], vec![at("02:30"), at("03:30")]),
        (every(MINUTE, true), [29 * SECOND, SECOND, MINUTE], vec![at("02:00"), at("03:00")]),
        (
            Schedule::new(0, false, "*/2 * * * *").unwrap(),
            [29 * SECOND, SECOND, 2 * MINUTE],
            vec![at("02:00"), at("04:00")],
        ),
    ] {
        let bench = Bench::simple(schedule);
        bench.advance(steps[0]).await;
        assert_eq!(bench.stops(), [""; 0]);
        bench.advance(steps[1]).await;
        bench.advance(steps[2]).await;
        assert_eq!(bench.stops(), expected);
    }
}

#[tokio::test]
async fn the_text_is_that_of_the_range_before_the_tick() {
    let plan = QueryPlan { offset: 10 * SECOND, ..influxql(every(MINUTE, true)) };
    let bench = Bench::new(plan, &QuerySettings::default(), vec![]);
    bench.advance(30 * SECOND).await;
    assert_eq!(
        bench.influx.queries(),
        [
            "SELECT v FROM db.rp.m WHERE time >= '1970-01-01T00:01:20Z' AND time < '1970-01-01T00:01:50Z'"
        ]
    );
}

#[tokio::test]
async fn ticks_during_a_query_wait_late_with_their_own_time_and_others_are_lost() {
    let late = |text: &[&str]| text.iter().map(|text| at(text)).collect::<Vec<_>>();
    let all = QuerySettings { catch_up: CatchUp::All(3), ..Default::default() };
    for (schedule, settings, first, expected, lost) in [
        (
            every(MINUTE, false),
            QuerySettings::default(),
            MINUTE,
            late(&["02:30", "03:30", "08:30"]),
            4,
        ),
        (
            every(MINUTE, true),
            QuerySettings::default(),
            30 * SECOND,
            late(&["02:00", "03:00", "04:00", "08:00"]),
            3,
        ),
        (
            every(MINUTE, true),
            all.clone(),
            30 * SECOND,
            late(&["02:00", "03:00", "04:00", "05:00", "08:00"]),
            2,
        ),
        (
            Schedule::new(0, false, "* * * * *").unwrap(),
            QuerySettings::default(),
            30 * SECOND,
            late(&["02:00", "03:00", "08:00"]),
            4,
        ),
    ] {
        let bench = Bench::new(influxql(schedule), &settings, vec![]);
        bench.influx.shut();
        bench.advance(first).await;
        assert!(bench.statistics().is_running);
        // Five more ticks; the query takes all that time.
        for _ in 0..5 {
            bench.advance(MINUTE).await;
        }
        assert_eq!(bench.stops().len(), 1, "one at a time");
        bench.influx.gate.add_permits(1_000);
        until("all asked", || bench.stops().len() == expected.len() - 1).await;
        settle().await;
        assert_eq!(bench.statistics().ticks_lost, lost);
        assert!(!bench.statistics().is_running);
        bench.advance(MINUTE).await;
        assert_eq!(bench.stops(), expected);
        assert_eq!(bench.statistics().ticks_lost, lost);
    }
}

#[tokio::test]
async fn a_leap_of_the_clock_does_not_run_through_every_tick() {
    let hours = 100 * 24 * 60 * MINUTE;
    for schedule in [every(1, false), every(1, true)] {
        let bench = Bench::simple(schedule);
        bench.influx.shut();
        bench.advance(hours).await;
        bench.influx.gate.add_permits(2);
        until("asked again", || bench.stops().len() >= 2).await;
        bench.queries.stop().await;
        assert!(bench.statistics().ticks_lost > hours as u64 - 10);
    }
    let bench = Bench::simple(Schedule::new(0, false, "* * * * * * *").unwrap());
    bench.influx.shut();
    bench.advance(hours).await;
    bench.influx.gate.add_permits(1_000);
    until("asked", || bench.stops().len() == 2).await;
    settle().await;
    assert_eq!(bench.statistics().ticks_lost, 10_001);
}

#[tokio::test]
async fn answers_become_batches() {
    let answer = r#"{"results":[{"series":[
        {"name":"m","tags":{"host":"a","b":"c"},"columns":["time","v","w"],"values":[
            ["1970-01-01T00:01:40Z",1,null],["1970-01-01T00:01:35Z",2.5,"x"],["1970-01-01T00:01:45Z",null,null]]},
        {"name":"n","columns":["time","v"],"values":[["1970-01-01T00:01:30Z",null]]}]}]}"#;
    let timed = |plan: QueryPlan| match plan.kind {
        QueryKind::InfluxQl { query, fill, align_group, .. } => {
            let dimensions = vec![Dimension::Time { every: SECOND, offset: 0 }];
            let kind = QueryKind::InfluxQl { query, dimensions, fill, align_group, by_name: true };
            QueryPlan { kind, ..plan }
        }
        QueryKind::Flux { .. } => plan,
    };
    let plan = influxql(every(MINUTE, true));
    for (plan, keep_integers, time, by_name) in
        [(plan.clone(), false, 120, false), (timed(plan), true, 100, true)]
    {
        let settings = QuerySettings { keep_integers, ..Default::default() };
        let bench = Bench::new(plan, &settings, vec![Ok(answer.to_owned())]);
        bench.advance(30 * SECOND).await;
        let batches = bench.batches().await;
        assert_eq!(batches.len(), 2);
        let first = &batches[0];
        assert_eq!((&*first.name, first.time), ("m", Timestamp(time * SECOND)));
        assert_eq!(first.key.name.as_deref(), by_name.then_some("m"));
        let tags: Vec<(&str, &str)> = first.key.tags().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(tags, [("b", "c"), ("host", "a")]);
        let one = if keep_integers { FieldValue::Int(1) } else { FieldValue::Float(1.0) };
        let points: Vec<(i64, Vec<(&str, FieldValue)>)> = first
            .points
            .iter()
            .map(|point| {
                let fields = point.fields().map(|(name, value)| (&**name, value.clone()));
                (point.time.0 / SECOND, fields.collect())
            })
            .collect();
        assert_eq!(
            points,
            [
                (100, vec![("v", one)]),
                (95, vec![("v", FieldValue::Float(2.5)), ("w", FieldValue::Str("x".into()))]),
            ]
        );
        // Without points the end of the range is the time, grouped by time or not.
        assert_eq!((batches[1].points.len(), batches[1].time), (0, Timestamp(120 * SECOND)));
        let statistics = bench.statistics();
        assert_eq!((statistics.batches, statistics.points, statistics.answered), (2, 2, 1));
    }
}

#[tokio::test]
async fn equal_series_and_shapes_are_the_same_from_answer_to_answer() {
    let answer = |hosts: &[&str]| {
        let series = hosts.iter().map(|host| {
            format!(
                r#"{{"name":"m","tags":{{"host":"{host}"}},"columns":["time","v"],"values":[["1970-01-01T00:01:40Z",1]]}}"#
            )
        });
        let series: Vec<String> = series.collect();
        Ok(format!(r#"{{"results":[{{"series":[{}]}}]}}"#, series.join(",")))
    };
    let answers = vec![answer(&["a"]), answer(&["b", "a"]), answer(&["b"]), answer(&["a", "b"])];
    let bench = Bench::new(influxql(every(SECOND, false)), &QuerySettings::default(), answers);
    let mut seen = Vec::new();
    for _ in 0..4 {
        bench.advance(SECOND).await;
        seen.push(bench.batches().await);
    }
    let series = |answer: usize, at: usize| seen[answer][at].points[0].series.clone();
    assert_eq!(series(0, 0).id, series(1, 1).id);
    assert_eq!(series(1, 0).id, series(2, 0).id);
    assert_eq!(series(2, 0).id, series(3, 1).id);
    assert_ne!(series(1, 1).id, series(3, 0).id, "what an answer does not have is forgotten");
    let keys = [series(0, 0), series(1, 0), series(3, 0)].map(|series| series.keys.id);
    assert_eq!(keys, [keys[0]; 3]);
    let shapes: Vec<u64> = seen.iter().flatten().map(|batch| batch.points[0].shape.id).collect();
    assert!(shapes.iter().all(|id| *id == shapes[0]));
}

#[tokio::test]
async fn failures_are_told_with_the_texts_of_the_original_and_nothing_is_asked_again() {
    let answers = vec![
        refused(500, "timeout"),
        unreachable(),
        Ok("no JSON".to_owned()),
        Ok(r#"{"error":"whole"}"#.to_owned()),
        Ok(r#"{"results":[{"error":"database not found: db"},{"series":[{"columns":["time"],"values":[[true]]}]}]}"#.to_owned()),
        Ok(r#"{"results":[{}]}"#.to_owned()),
    ];
    let bench = Bench::new(influxql(every(SECOND, false)), &QuerySettings::default(), answers);
    for _ in 0..6 {
        bench.advance(SECOND).await;
    }
    bench.kept.count(6).await;
    let failures = bench.failures();
    let executing = |cause: &str| ("error executing query".to_owned(), cause.to_owned());
    let understanding =
        |cause: &str| ("failed to understand query result".to_owned(), cause.to_owned());
    assert_eq!(failures[..2], [executing("timeout"), executing("nobody there")]);
    assert!(failures[2].1.starts_with("failed to decode query result: "), "{failures:?}");
    assert_eq!(
        failures[3..],
        [
            executing("whole"),
            understanding("database not found: db"),
            understanding("unexpected time value: true"),
        ]
    );
    assert_eq!(bench.influx.queries().len(), 6);
    let expected =
        QueryStatistics { answered: 2, failed: 4, results_failed: 2, ..Default::default() };
    assert_eq!(bench.statistics(), expected);
}

#[tokio::test]
async fn a_full_queue_loses_the_answer_and_says_so() {
    let answer = r#"{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[["1970-01-01T00:01:40Z",1]]}]}]}"#;
    let answers = vec![Ok(answer.to_owned())];
    let bench = Bench::new(influxql(every(SECOND, false)), &QuerySettings::default(), answers);
    bench.kept.is_full.store(true, Order::SeqCst);
    bench.advance(SECOND).await;
    bench.kept.count(1).await;
    let cause = "the queue of the task has no room for 1 points";
    assert_eq!(bench.failures(), [("failed to hand in query result".to_owned(), cause.to_owned())]);
    assert_eq!((bench.statistics().batches_lost, bench.statistics().batches), (1, 0));
}

#[tokio::test]
async fn answers_larger_than_the_bound_are_refused_at_the_edge() {
    let answer = r#"{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[["1970-01-01T00:01:40Z",1]]}]}]}"#;
    for (cells_max, is_taken) in [(2, true), (1, false)] {
        let settings = QuerySettings { cells_max, ..Default::default() };
        let answers = vec![Ok(answer.to_owned())];
        let bench = Bench::new(influxql(every(SECOND, false)), &settings, answers);
        bench.advance(SECOND).await;
        bench.kept.count(1).await;
        assert_eq!(bench.statistics().answered, u64::from(is_taken));
    }
}

#[tokio::test]
async fn stopping_interrupts_a_query() {
    let bench = Bench::simple(every(SECOND, true));
    bench.influx.shut();
    bench.advance(SECOND).await;
    assert_eq!(bench.influx.under_way(), 1);
    bench.queries.stop().await;
    assert_eq!(bench.influx.under_way(), 0);
    assert!(bench.queries.is_done());
    assert_eq!(bench.kept.len(), 0);
}

#[tokio::test]
async fn a_schedule_that_never_comes_ends_with_its_task_too() {
    let bench = Bench::simple(Schedule::new(0, false, "0 0 30 2 *").unwrap());
    bench.advance(MINUTE).await;
    assert_eq!(bench.stops(), [""; 0]);
    bench.queries.stop().await;
    assert!(bench.queries.is_done());
}

#[tokio::test]
async fn flux_is_asked_with_its_time_and_its_tables_are_batches() {
    let plan = QueryPlan {
        kind: QueryKind::Flux {
            text: "from(bucket: \"b\")".into(),
            org: "o".into(),
            org_id: String::new(),
        },
        offset: 10 * SECOND,
        ..influxql(every(MINUTE, true))
    };
    let csv = "#datatype,string,long,dateTime:RFC3339,double,string,string\r\n\
        #group,false,false,false,false,true,true\r\n\
        #default,_result,,,,,\r\n\
        ,result,table,_time,_value,_measurement,host\r\n\
        ,,0,1970-01-01T00:01:40Z,1.5,cpu,a\r\n";
    let error = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,broken,1\r\n";
    let answers = vec![Ok(csv.to_owned()), Ok(error.to_owned())];
    let bench = Bench::new(plan, &QuerySettings::default(), answers);
    bench.advance(30 * SECOND).await;
    assert_eq!(bench.influx.queries(), ["1970-01-01T00:01:50Z|o|from(bucket: \"b\")"]);
    let batches = bench.batches().await;
    assert_eq!((&*batches[0].name, batches[0].time), ("cpu", Timestamp(100 * SECOND)));
    assert_eq!(batches[0].key.tag("host").map(|host| &**host), Some("a"));
    bench.advance(MINUTE).await;
    bench.kept.count(1).await;
    let expected = ("error executing query".to_owned(), "flux query error: broken".to_owned());
    assert_eq!(bench.failures(), [expected]);
}

#[tokio::test]
async fn what_a_task_may_not_read_or_cannot_reach_does_not_start() {
    let (deps, _, _) = deps_at(START);
    let influx = FakeInflux::new(vec![]);
    let start = |plan: QueryPlan, dbrps: &[(Str, Str)], clusters: &Clusters| {
        let plans = vec![planned(0, plan)];
        let settings = QuerySettings::default();
        Queries::start(&deps, &"t".into(), plans, dbrps, clusters, &settings).map(|_| ())
    };
    let plan = influxql(every(SECOND, false));
    let other = [("db".into(), "other".into())];
    assert_eq!(
        start(plan.clone(), &other, &clusters(&influx)).unwrap_err(),
        r#"batch query is not allowed to request data from "db"."rp""#
    );
    assert_eq!(
        start(plan.clone(), &dbrps(), &Clusters::default()).unwrap_err(),
        "InfluxDB not configured, cannot query InfluxDB for batch query"
    );
    let elsewhere = QueryPlan { cluster: "x".into(), ..plan.clone() };
    assert_eq!(
        start(elsewhere, &dbrps(), &clusters(&influx)).unwrap_err(),
        "failed to get InfluxDB client: no such InfluxDB config x"
    );
    assert!(start(plan, &dbrps(), &clusters(&influx)).is_ok());
    until("the end of what was dropped", || deps.tasks.running().is_empty()).await;
}

#[tokio::test]
async fn one_answer_can_be_asked_for() {
    let influx = FakeInflux::new(vec![refused(500, "no")]);
    let plan = influxql(every(SECOND, false));
    let settings = QuerySettings::default();
    let error = ask(&plan, START, &*influx, &settings).await.unwrap_err();
    assert_eq!(error, "no");
    influx.answers.lock().unwrap().push_back(Ok(r#"{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[["1970-01-01T00:01:00Z",1]]}]}]}"#.into()));
    let asked = ask(&plan, START, &*influx, &settings).await.unwrap();
    assert_eq!((asked.batches.len(), asked.batches[0].time), (1, START));
}
