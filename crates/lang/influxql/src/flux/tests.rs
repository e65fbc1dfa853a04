use proptest::prelude::*;

use super::*;

const ANSWER: &str = "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string\r\n\
#group,false,false,true,true,false,false,true,true,true\r\n\
#default,_result,,,,,,,,\r\n\
,result,table,_start,_stop,_time,_value,_field,_measurement,host\r\n\
,,0,2026-01-01T00:00:00Z,2026-01-01T00:05:00Z,2026-01-01T00:01:00Z,1.5,usage,cpu,\"a,\"\"b\"\"\"\r\n\
,,0,2026-01-01T00:00:00Z,2026-01-01T00:05:00Z,2026-01-01T00:02:00Z,-2,usage,cpu,\"a,\"\"b\"\"\"\r\n\
,,1,2026-01-01T00:00:00Z,2026-01-01T00:05:00Z,2026-01-01T00:01:00Z,3,usage,mem,c\r\n\
\r\n\
#datatype,string,long,dateTime:RFC3339,long,unsignedLong,boolean,string,dateTime:RFC3339\r\n\
#group,false,false,false,false,false,false,false,false\r\n\
#default,_result,,,,,,dflt,\r\n\
,result,table,_time,n,u,b,s,seen\r\n\
,,0,2026-01-01T00:01:00Z,7,18446744073709551615,yes,,2026-01-01T00:00:00Z\r\n";

fn tags(table: &Table) -> Vec<(&str, &str)> {
    table.tags.iter().map(|(key, value)| (&**key, &**value)).collect()
}

#[test]
fn an_answer_becomes_tables() {
    let tables = decode(ANSWER, Options::default()).unwrap();
    assert_eq!(tables.len(), 3);
    assert_eq!(&*tables[0].name, "cpu");
    assert_eq!(tags(&tables[0]), [("_field", "usage"), ("host", "a,\"b\"")]);
    assert_eq!(tables[0].columns.as_ref(), [Str::from("_value")]);
    let times: Vec<_> = tables[0].rows.iter().map(|row| row.time.unwrap().rfc3339_nano()).collect();
    assert_eq!(times, ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]);
    assert_eq!(tables[0].rows[1].cells.as_ref(), [Cell::Float(-2.0)]);
    assert_eq!((&*tables[1].name, tables[1].rows.len()), ("mem", 1));
    // The second block starts a table of its own, though its number is 0 as well.
    let new_year = parse_time("2026-01-01T00:00:00Z").unwrap();
    assert_eq!((&*tables[2].name, tables[2].tags.len()), ("", 0));
    assert_eq!(
        tables[2].rows[0].cells.as_ref(),
        [
            Cell::Int(7),
            Cell::UInt(u64::MAX),
            Cell::Bool(true),
            Cell::Str("dflt".into()),
            Cell::Time(new_year)
        ]
    );
}

fn one(datatype: &str, value: &str, options: Options) -> Result<Cell, DecodeError> {
    let text = format!(
        "#datatype,string,long,string,string,{datatype}\n#group,false,false,true,true,false\n#default,,,,,\n,result,table,_measurement,host,v\n,,0,m,a,{value}\n"
    );
    let mut tables = decode(&text, options)?;
    Ok(tables.remove(0).rows.remove(0).cells[0].clone())
}

#[test]
fn cells_have_the_type_of_their_column() {
    for (datatype, value, expected) in [
        ("string", "", Ok(Cell::Str("".into()))),
        ("double", "1e3", Ok(Cell::Float(1000.0))),
        ("double", "+Inf", Ok(Cell::Float(f64::INFINITY))),
        ("double", "", Err("strconv.ParseFloat: parsing \"\": invalid syntax")),
        ("long", "-7", Ok(Cell::Int(-7))),
        ("long", "1.5", Err("strconv.ParseInt: parsing \"1.5\": invalid syntax")),
        (
            "long",
            "9223372036854775808",
            Err("strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
        ),
        ("unsignedLong", "-1", Err("strconv.ParseUint: parsing \"-1\": invalid syntax")),
        ("boolean", "false", Ok(Cell::Bool(false))),
        ("boolean", "", Ok(Cell::Bool(true))),
        ("duration", "5s", Err("5s has unknown data type duration")),
    ] {
        let result = one(datatype, value, Options::default()).map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(String::from), "{datatype} {value}");
    }
    let skip = Options { skip_empty: true, ..Options::default() };
    assert_eq!(one("double", "", skip), Ok(Cell::Null));
    assert_eq!(one("dateTime:RFC3339", "", skip), Ok(Cell::Null));
    assert!(matches!(one("dateTime:RFC3339", "x", skip), Err(DecodeError::TimeFormat(_))));
}

#[test]
fn errors_are_tables_too() {
    for text in [
        "#datatype,string,long\n#group,true,true\n#default,,\n,error,reference\n,compilation failed,897\n",
        "error,reference\ncompilation failed,897\n",
    ] {
        let error = decode(text, Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "flux query error: compilation failed");
    }
    // One that comes after tables.
    let text =
        format!("{ANSWER}\r\n#datatype,string,string\r\n,error,reference\r\n,\"a \"\"b\"\"\",\r\n");
    let error = decode(&text, Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "flux query error: a \"b\"");
    let error = decode("a,b,c,d,e\n", Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "Unexpectedly few columns -- a,b,c,d,e");
    for text in ["\"open", "\"a\"b,c", "\"a\"\r,b"] {
        assert!(matches!(decode(text, Options::default()), Err(DecodeError::Row(_))), "{text}");
    }
    assert_eq!(decode("\r\n\r\n", Options::default()), Ok(Vec::new()));
}

#[test]
fn the_number_of_cells_is_bounded() {
    let cells = 7 * 10 + 5 * 9;
    let fits = Options { cells_max: cells, ..Options::default() };
    assert!(decode(ANSWER, fits).is_ok());
    let over = Options { cells_max: cells - 1, ..Options::default() };
    assert_eq!(decode(ANSWER, over), Err(DecodeError::TooLarge { max: cells - 1 }));
}

#[test]
fn requests() {
    let body = request_body("from(bucket: \"a\")\n", parse_time("2026-01-01T00:05:00Z").unwrap());
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"type":"flux","now":"2026-01-01T00:05:00Z","query":"from(bucket: \"a\")\n","dialect":{"annotations":["datatype","default","group"],"delimiter":",","header":true}}"#
    );
    assert_eq!(request_path("", ""), "/api/v2/query");
    assert_eq!(request_path("my org&", ""), "/api/v2/query?org=my+org%26");
    assert_eq!(request_path("a", "0f"), "/api/v2/query?org=a&orgID=0f");
}

proptest! {
    #[test]
    fn no_body_panics(cut in 0..ANSWER.len(), insert in "[\",\r\n#a0-9é]{0,8}") {
        let mut body = ANSWER.to_string();
        body.insert_str(cut, &insert);
        decode(&body, Options::default()).ok();
        decode(&body[..cut], Options::default()).ok();
    }

    #[test]
    fn quoted_cells_read_back(cells in proptest::collection::vec("[\",\r\nab]{0,5}", 6..9)) {
        let written: Vec<_> =
            cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
        let text = format!("{}\r\n", written.join(","));
        let mut row = Vec::new();
        let mut rows = csv::Rows::new(&text);
        prop_assert!(rows.next(&mut row).unwrap());
        prop_assert_eq!(&row, &cells);
        prop_assert!(!rows.next(&mut row).unwrap());
    }
}
