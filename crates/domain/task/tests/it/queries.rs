//! Query nodes: what they ask, and when, and what becomes of the answers.

use levada_influxql::{flux, result};
use levada_model::{BatchRef, FieldValue, Timestamp};
use levada_task::definition::{DefineOptions, define};
use levada_task::nodes::query::answer::{Conversion, of_series, of_table};
use levada_task::pipeline::TaskType;

use crate::notation::Record;
use crate::outputs::{Configured, definition, start_with};

#[test]
fn queries_say_what_they_ask_and_when() {
    let script = "batch|query('SELECT mean(\"value\") FROM \"db\".\"rp\".\"cpu\" WHERE \"host\" = \\'a\\' OR \"x\" > 1 GROUP BY foo')\
        .period(5m).every(10m).groupBy(time(1m), 'host').fill(0)|log()\n\
        batch|stats(1s)|log()\n\
        batch|queryFlux('from(bucket: \"b\")').every(1m).offset(10s).org('o')|log()";
    let definition = definition(script);
    let plans = definition.pipeline.query_plans(false);
    let names: Vec<&str> = plans.iter().map(|plan| &*plan.name).collect();
    assert_eq!(names, ["queryFlux5", "query1"]);
    let plan = &plans[1].plan;
    let tick = Timestamp(600_000_000_000);
    assert_eq!(
        plan.text(plan.range(tick)),
        "SELECT mean(value) FROM db.rp.cpu WHERE (host = 'a' OR x > 1) AND time >= '1970-01-01T00:05:00Z' AND time < '1970-01-01T00:10:00Z' GROUP BY time(1m, 0s), host fill(0)"
    );
    let plain = &definition.pipeline.query_plans(true)[1].plan;
    assert!(plain.text(plain.range(tick)).contains("host = 'a' OR x > 1 AND time"), "U-19");
    assert!(plan.is_grouped_by_time());
    assert_eq!(plan.check_sources(&[("db".into(), "rp".into())]), Ok(()));
    assert_eq!(
        plan.check_sources(&[("db".into(), "x".into())]).unwrap_err(),
        r#"batch query is not allowed to request data from "db"."rp""#
    );
    let (path, body) = plans[0].plan.flux_request(tick).unwrap();
    assert_eq!(path, "/api/v2/query?org=o");
    assert!(String::from_utf8(body).unwrap().contains(r#""now":"1970-01-01T00:09:50Z""#));
    assert_eq!(plans[0].plan.check_sources(&[]), Ok(()));
}

#[test]
fn queries_are_checked_when_they_are_enabled() {
    let select = "SELECT v FROM d.r.m";
    let cases = [
        (select, "", "must define one of 'every' or 'cron'"),
        (select, ".every(1m).cron('* * * * *')", "must not set both 'every' and 'cron' properties"),
        (select, ".every(-1m)", "'every' duration must must non-negative"),
        (select, ".cron('*')", "missing field(s)"),
        (select, ".every(1m).fill('foo')", "unexpected fill option foo"),
        (select, ".every(1m).groupBy(1m, 2m)", "groupBy cannot have more than one time dimension"),
        (
            select,
            ".every(1m).groupBy(1.5)",
            "invalid dimension type:float64, must be string or time.Duration",
        ),
        ("SHOW DATABASES", ".every(1m)", "query is not a select statement \"SHOW DATABASES\""),
        (
            "SELECT v FROM m; SELECT v FROM m",
            ".every(1m)",
            "query must be a single select statement, got 2 statements",
        ),
        (
            "SELECT v FROM (SELECT v FROM m)",
            ".every(1m)",
            "unknown query source *influxql.SubQuery",
        ),
    ];
    for (text, calls, wanted) in cases {
        let definition = definition(&format!("batch|query('{text}'){calls}|log()"));
        let problems = definition.pipeline.check();
        assert_eq!(problems[0].1, wanted, "{text} {calls}");
        let script = format!("batch|query('{text}'){calls}|log()");
        let started = start_with(&script, &Configured::default(), Box::new(Record::default()));
        assert_eq!(started.err().unwrap(), wanted, "{text} {calls}");
        assert!(definition.pipeline.query_plans(false).is_empty());
    }
    let options = DefineOptions { task_type: Some(TaskType::Batch), ..DefineOptions::default() };
    let error = define("batch|query('SELECT v FROM d.r.m').period(-1s).every(1m)|log()", &options)
        .unwrap_err();
    assert_eq!(error.to_string(), "period must not be negative", "U-45");
}

#[test]
fn answers_become_batches() {
    let text = r#"{"results":[{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","n","s"],
        "values":[["1970-01-01T00:00:01Z",1,null],["1970-01-01T00:00:05Z",null,null],["1970-01-01T00:00:03Z",2,"x"]]},
        {"name":"cpu","tags":{"host":"b"},"columns":["time","n"],"values":[["1970-01-01T00:00:01Z",null]]}]}]}"#;
    let series = result::decode(text, result::Options::default()).unwrap().remove(0).unwrap();
    let stop = Timestamp(9_000_000_000);
    let conversion = Conversion { by_name: true, is_grouped_by_time: true, stop };
    let batch = of_series(&series[0], conversion);
    assert_eq!(batch.key.text(), "cpu\nhost=a");
    assert_eq!(batch.points.len(), 2, "a row of nulls is dropped");
    assert_eq!(batch.points[0].field("n"), Some(&FieldValue::Float(1.0)));
    assert_eq!(batch.points[0].field("s"), None);
    assert_eq!(batch.time, Timestamp(3_000_000_000));
    let whole = of_series(&series[0], Conversion { is_grouped_by_time: false, ..conversion });
    assert_eq!(whole.time, stop);
    let empty = of_series(&series[1], conversion);
    assert_eq!((empty.points.len(), empty.time), (0, stop));

    let mut actor = start_with(
        "batch|query('SELECT v FROM d.r.m').every(1m)|log()",
        &Configured::default(),
        Box::new(Record::default()),
    )
    .unwrap();
    let (place, group) = (actor.queries()[0], actor.group(batch.key.clone()).unwrap());
    let given =
        BatchRef { name: &batch.name, group: &group, time: batch.time, points: &batch.points };
    actor.batch(place, given).unwrap();
    let statistics = actor.graph().slots()[place].node.statistics();
    assert_eq!(statistics, [("batches_queried", 1), ("points_queried", 2)]);
}

#[test]
fn flux_tables_become_batches() {
    let table = flux::Table {
        name: "cpu".into(),
        tags: vec![("_field".into(), "v".into()), ("host".into(), "a".into())],
        columns: ["_value".into(), "at".into()].into(),
        rows: vec![flux::Row {
            time: Some(Timestamp(5)),
            cells: [flux::Cell::Int(3), flux::Cell::Time(Timestamp(7))].into(),
        }],
    };
    let batch = of_table(&table, Timestamp(100));
    assert_eq!((batch.key.text().as_str(), batch.time), ("_field=v,host=a", Timestamp(5)));
    assert_eq!(batch.points[0].field("_value"), Some(&FieldValue::Int(3)));
    let empty = flux::Table { rows: Vec::new(), ..table };
    assert_eq!(of_table(&empty, Timestamp(100)).time, Timestamp(100));
}

// autoscale
