use levada_model::Timestamp;

use super::*;

const MINUTE: i64 = 60_000_000_000;

fn range(start_minute: i64, stop_minute: i64) -> Range {
    Range { start: Timestamp(start_minute * MINUTE), stop: Timestamp(stop_minute * MINUTE) }
}

fn time(every: i64, offset: i64) -> Dimension {
    Dimension::Time { every, offset }
}

fn tag(name: &str) -> Dimension {
    Dimension::Tag(name.into())
}

const SCRIPT: &str =
    r#"SELECT mean("value") FROM "db"."rp"."cpu" WHERE "host" = 'a' OR "x" > 1 GROUP BY foo"#;

#[test]
fn the_text_of_the_original_and_its_repair() {
    let dimensions = [time(MINUTE, 0), tag("host")];
    let literal = Query::prepare_literal(SCRIPT).unwrap();
    assert_eq!(
        literal.at(range(5, 10), &dimensions, Fill::Int(0), false),
        "SELECT mean(value) FROM db.rp.cpu WHERE host = 'a' OR x > 1 AND time >= '1970-01-01T00:05:00Z' AND time < '1970-01-01T00:10:00Z' GROUP BY time(1m, 0s), host fill(0)"
    );
    let query = Query::prepare(SCRIPT).unwrap();
    assert_eq!(
        query.at(range(-55, -50), &dimensions, Fill::Int(0), false),
        "SELECT mean(value) FROM db.rp.cpu WHERE (host = 'a' OR x > 1) AND time >= '1969-12-31T23:05:00Z' AND time < '1969-12-31T23:10:00Z' GROUP BY time(1m, 0s), host fill(0)"
    );
}

/// (text, what stands around the range)
const TEXTS: &[(&str, &str)] = &[
    ("SELECT * FROM db.rp.m", "SELECT * FROM db.rp.m WHERE {}"),
    ("select v from db..m where x = 1", "SELECT v FROM db..m WHERE x = 1 AND {}"),
    (
        "SELECT v FROM db.rp.m WHERE (a = 1 OR b = 2) AND time > now() - 1h GROUP BY time(1m) fill(none)",
        "SELECT v FROM db.rp.m WHERE (a = 1 OR b = 2) AND time > now() - 1h AND {}",
    ),
    (
        "SELECT v FROM db.rp.m, db.rp.n ORDER BY time DESC LIMIT 5 tz('Europe/Berlin')",
        "SELECT v FROM db.rp.m, db.rp.n WHERE {} ORDER BY time DESC LIMIT 5 TZ('Europe/Berlin')",
    ),
];

#[test]
fn the_range_is_added() {
    const RANGE: &str = "time >= '1970-01-01T00:00:00Z' AND time < '1970-01-01T00:01:00Z'";
    for (text, expected) in TEXTS {
        let query = Query::prepare(text).unwrap();
        assert_eq!(query.at(range(0, 1), &[], Fill::Null, false), expected.replace("{}", RANGE));
    }
}

#[test]
fn times_have_the_digits_they_need() {
    let query = Query::prepare("SELECT v FROM db.rp.m").unwrap();
    let range = Range { start: Timestamp(1), stop: Timestamp(1_500_000_000) };
    let text = query.at(range, &[], Fill::Null, false);
    assert!(
        text.ends_with(
            "time >= '1970-01-01T00:00:00.000000001Z' AND time < '1970-01-01T00:00:01.5Z'"
        )
    );
}

#[test]
fn fill_options() {
    let query = Query::prepare("SELECT v FROM db.rp.m").unwrap();
    for (fill, ending) in [
        (Fill::Null, "Z'"),
        (Fill::None, "Z' fill(none)"),
        (Fill::Previous, "Z' fill(previous)"),
        (Fill::Linear, "Z' fill(linear)"),
        (Fill::Int(-3), "Z' fill(-3)"),
        (Fill::Float(1.5), "Z' fill(1.5)"),
    ] {
        assert!(query.at(range(0, 1), &[], fill, false).ends_with(ending), "{ending}");
    }
    assert_eq!(Fill::from_name("linear"), Ok(Fill::Linear));
    assert_eq!(Fill::from_name("foo").unwrap_err().to_string(), "unexpected fill option foo");
}

#[test]
fn dimensions_are_printed_in_their_order() {
    let query = Query::prepare("SELECT v FROM db.rp.m").unwrap();
    for (dimensions, align, ending) in [
        (vec![Dimension::Wildcard], false, " GROUP BY *"),
        (
            vec![tag("a b"), time(90_000_000_000, -MINUTE)],
            false,
            " GROUP BY \"a b\", time(90s, -1m)",
        ),
        (vec![tag("*")], false, " GROUP BY \"*\""),
        // The range starts at minute 7.
        (vec![time(5 * MINUTE, MINUTE)], true, " GROUP BY time(5m, 2m)"),
        (vec![time(7 * MINUTE, MINUTE)], true, " GROUP BY time(7m, 0s)"),
        (vec![time(0, MINUTE)], true, " GROUP BY time(0s, 1m)"),
    ] {
        let text = query.at(range(7, 12), &dimensions, Fill::Null, align);
        assert!(text.ends_with(ending), "{text}");
    }
    let text = query.at(range(-7, 12), &[time(5 * MINUTE, 0)], Fill::Null, true);
    assert!(text.ends_with("time(5m, 3m)"), "{text}");
    assert!(Dimension::check_all(&[time(1, 0), tag("a")]).is_ok());
    assert_eq!(
        Dimension::check_all(&[time(1, 0), time(2, 0)]).unwrap_err().to_string(),
        "groupBy cannot have more than one time dimension"
    );
}

#[test]
fn what_a_task_refuses() {
    for (text, message) in [
        ("", "query must be a single select statement, got 0 statements"),
        (
            "SELECT v FROM m; SELECT v FROM n",
            "query must be a single select statement, got 2 statements",
        ),
        ("show databases", r#"query is not a select statement "SHOW DATABASES""#),
        (
            "DROP SERIES FROM \"a b\" WHERE x = 'y'",
            r#"query is not a select statement "DROP SERIES FROM \"a b\" WHERE x = 'y'""#,
        ),
        ("SELECT v FROM (SELECT v FROM m)", "unknown query source *influxql.SubQuery"),
        ("SELECT v", "failed to parse InfluxQL query: found EOF, expected FROM at line 1, char 10"),
    ] {
        assert_eq!(Query::prepare(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn sources_are_compared_literally() {
    let query = Query::prepare("SELECT v FROM x.rp.m, x..n, o, db.rp./cpu.*/").unwrap();
    let sources: Vec<_> = query.sources().collect();
    assert_eq!(sources, [("x", "rp"), ("x", ""), ("", ""), ("db", "rp")]);
    let error = query.check_sources(|database, _| database != "x").unwrap_err();
    assert_eq!(error.to_string(), r#"batch query is not allowed to request data from "x"."rp""#);
    assert!(query.check_sources(|_, _| true).is_ok());
}
