use proptest::prelude::*;

use super::*;

const ANSWER: &str = r#"{"results":[
    {"statement_id":0,"series":[
        {"name":"cpu","tags":{"region":"b","host":"a"},"columns":["time","n","t","b"],"values":[
            ["2026-02-07T10:30:00.5Z", 3, "x\"y", true],
            ["2026-02-07T12:30:01+02:00", 1.5, null, null],
            ["2026-02-07T10:30:02Z", null, null, null]
        ]},
        {"name":"empty","columns":["time","v"],"values":[["2026-02-07T10:30:00Z", null]]}
    ]},
    {"error":"timeout"},
    {"statement_id":2,"series":null}
]}"#;

fn float(number: f64) -> FieldValue {
    FieldValue::Float(number)
}

fn text(text: &str) -> FieldValue {
    FieldValue::Str(text.into())
}

#[test]
fn an_answer_becomes_rows() {
    let results = decode(ANSWER, Options::default()).unwrap();
    assert_eq!(results.len(), 3);
    let series = results[0].as_ref().unwrap();
    assert_eq!(&*series[0].name, "cpu");
    let tags: Vec<_> = series[0].tags.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(tags, [("host", "a"), ("region", "b")]);
    let columns: Vec<_> = series[0].columns.iter().map(|column| &**column).collect();
    assert_eq!(columns, ["n", "t", "b"]);
    let rows: Vec<_> = series[0].rows.iter().map(|row| row.time.rfc3339_nano()).collect();
    assert_eq!(rows, ["2026-02-07T10:30:00.5Z", "2026-02-07T10:30:01Z"]);
    let first = &series[0].rows[0].values;
    assert_eq!(first.as_slice(), [float(3.0), text("x\"y"), FieldValue::Bool(true)]);
    let second: Vec<_> = series[0].fields(&series[0].rows[1]).collect();
    assert_eq!(second, [(&Str::from("n"), &float(1.5))]);
    assert_eq!(series[0].time_max(), Some(series[0].rows[1].time));
    // A series whose rows are all empty is still there.
    assert_eq!((&*series[1].name, series[1].rows.len()), ("empty", 0));
    assert_eq!(results[1], Err(DecodeError::Server("timeout".into())));
    assert_eq!(results[2], Ok(Vec::new()));
}

fn one(time: &str, value: &str, options: Options) -> Result<Row, DecodeError> {
    let answer = format!(
        r#"{{"results":[{{"series":[{{"name":"m","columns":["v","time"],"values":[[{value},{time}]]}}]}}]}}"#
    );
    let mut results = decode(&answer, options)?;
    let mut series = results.remove(0)?;
    Ok(series.remove(0).rows.remove(0))
}

#[test]
fn numbers_are_floats_unless_asked() {
    let keep = Options { keep_integers: true, ..Options::default() };
    for (written, plain, kept) in [
        ("3", float(3.0), FieldValue::Int(3)),
        ("-3", float(-3.0), FieldValue::Int(-3)),
        ("3.0", float(3.0), float(3.0)),
        ("1e2", float(100.0), float(100.0)),
        ("18446744073709551615", float(18446744073709551615.0), FieldValue::UInt(u64::MAX)),
        ("9007199254740993", float(9007199254740992.0), FieldValue::Int(9007199254740993)),
    ] {
        let time = "\"1970-01-01T00:00:00Z\"";
        assert_eq!(one(time, written, Options::default()).unwrap().values[0], plain);
        assert_eq!(one(time, written, keep).unwrap().values[0], kept);
    }
}

#[test]
fn times_are_texts_or_steps() {
    let millis = Options { epoch_unit: Some(1_000_000), ..Options::default() };
    assert_eq!(one("1500", "1", millis).unwrap().time, Timestamp(1_500_000_000));
    assert_eq!(one("\"1970-01-01T00:00:01Z\"", "1", millis).unwrap().time.0, 1_000_000_000);
    for (time, options, message) in [
        ("1500", Options::default(), "unexpected time value: 1500"),
        ("null", millis, "unexpected time value: <nil>"),
        ("true", millis, "unexpected time value: true"),
        ("99999999999999", millis, "unexpected time value: 99999999999999"),
    ] {
        assert_eq!(one(time, "1", options).unwrap_err().to_string(), message);
    }
    for time in ["\"x\"", "\"1970-01-01\"", "\"1970-01-01 00:00:00Z\"", "\"9999-01-01T00:00:00Z\""]
    {
        let error = one(time, "1", millis).unwrap_err().to_string();
        assert!(error.starts_with("unexpected time format: parsing time"), "{error}");
    }
}

#[test]
fn what_is_no_answer() {
    assert_eq!(decode(r#"{"results":null}"#, Options::default()), Ok(Vec::new()));
    assert!(matches!(decode("", Options::default()), Err(DecodeError::Json(_))));
    assert!(matches!(decode("{\"results\":[]} x", Options::default()), Err(DecodeError::Json(_))));
    assert_eq!(
        decode(r#"{"error":"database not found"}"#, Options::default()),
        Err(DecodeError::Server("database not found".into()))
    );
    let ragged = r#"{"results":[{"series":[{"columns":["time"],"values":[["x","y"]]}]}]}"#;
    assert!(matches!(decode(ragged, Options::default()).unwrap()[0], Err(DecodeError::Row(_))));
    assert!(matches!(
        one("\"1970-01-01T00:00:00Z\"", "[1]", Options::default()),
        Err(DecodeError::Row(_))
    ));
}

#[test]
fn the_number_of_cells_is_bounded() {
    // The first series has 12 cells, the second 2.
    let fits = Options { cells_max: 14, ..Options::default() };
    assert!(decode(ANSWER, fits).is_ok());
    let over = Options { cells_max: 13, ..Options::default() };
    assert_eq!(decode(ANSWER, over), Err(DecodeError::TooLarge { max: 13 }));
}

proptest! {
    #[test]
    fn no_body_panics(cut in 0..ANSWER.len(), insert in ".{0,6}") {
        let mut body = ANSWER.to_string();
        body.insert_str(cut, &insert);
        decode(&body, Options::default()).ok();
        decode(&body[..cut], Options::default()).ok();
    }
}
