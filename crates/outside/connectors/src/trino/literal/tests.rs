#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn literal(declared: &str, json: &str) -> Result<String, Problem> {
    let mut tree = Tree::default();
    let root = tree.parse(json.as_bytes(), 0, json.len() as u32).unwrap();
    let document = Document { tree: &tree, text: json.as_bytes() };
    let mut out = Vec::new();
    Column::new("c".into(), declared.into()).push(document, root, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn check(declared: &str, json: &str, expected: &str) {
    assert_eq!(literal(declared, json).as_deref(), Ok(expected), "{declared} {json}");
}

#[track_caller]
fn refused(declared: &str, json: &str, expected: &str) {
    assert_eq!(literal(declared, json), Err(expected.to_owned()), "{declared} {json}");
}

#[test]
fn whole_numbers_are_exact() {
    check("bigint", "12", "12");
    check("bigint", "\"12\"", "12");
    check("bigint", "12.0", "12");
    check("bigint", "-9223372036854775808", "-9223372036854775808");
    check("tinyint", "127", "127");
    check("bigint", "null", "NULL");
    refused("tinyint", "128", "128 is out of the range of tinyint");
    refused("smallint", "-32769", "-32769 is out of the range of smallint");
    refused("integer", "2147483648", "2147483648 is out of the range of integer");
    refused("bigint", "1e19", "`1e19` is no bigint without loss");
    refused("bigint", "1.5", "`1.5` is no bigint without loss");
    refused("bigint", "\"\"", "`` is no bigint without loss");
    refused("bigint", "true", "boolean, which a column of type bigint cannot take");
    refused("bigint", "[1]", "array, which a column of type bigint cannot take");
    refused("bigint", "\"1); DROP TABLE t\"", "`1); DROP TABLE t` is no bigint without loss");
}

#[test]
fn floats_are_finite_unless_they_say_otherwise() {
    check("double", "1.5", "DOUBLE '1.5'");
    check("double", "\"-1E5\"", "DOUBLE '-1E5'");
    check("real", "0.0", "REAL '0.0'");
    check("double", "\"NaN\"", "nan()");
    check("real", "\"-Infinity\"", "CAST(-infinity() AS real)");
    refused("double", "1e309", "1e309 is out of the range of double");
    refused("real", "1e39", "1e39 is out of the range of real");
    refused("real", "1e-60", "1e-60 is out of the range of real");
    refused("double", "\"inf\"", "`inf` is no number");
    refused("double", "\"1'\"", "`1'` is no number");
    refused("double", "false", "boolean, which a column of type double cannot take");
}

#[test]
fn decimals_lose_no_digit() {
    check("decimal(10,2)", "1.5", "DECIMAL '1.50'");
    check("decimal(10,2)", "\"-0.10\"", "DECIMAL '-0.10'");
    check("decimal(2,2)", "0.12", "DECIMAL '0.12'");
    check("decimal(38,0)", "99999999999999999999999999999999999999", {
        "DECIMAL '99999999999999999999999999999999999999'"
    });
    refused("decimal(10,2)", "1.005", "1.005 has more digits than decimal(10,2) holds");
    refused("decimal(3,2)", "10", "10 is out of the range of decimal(3,2)");
    refused("decimal(3,2)", "\"x\"", "`x` is no number");
}

#[test]
fn text_is_quoted_and_fits() {
    check("varchar", "\"it's\"", "'it''s'");
    check("varchar(5)", "\"ééééé\"", "'ééééé'");
    check("varchar", "{\"a\": \"it's\"}", "'{\"a\": \"it''s\"}'");
    check("varchar", "12.50", "'12.50'");
    check("varchar", "true", "'true'");
    check("char(2)", "\"ab   \"", "'ab   '");
    check("varchar", "\"\\u0000\\ud83d\\ude00\"", "'\0😀'");
    refused("varchar(5)", "\"éééééé\"", "text of 6 characters, and varchar(5) holds 5");
    refused("char(2)", "\"abc\"", "text of 3 characters, and char(2) holds 2");
}

#[test]
fn the_other_scalars() {
    check("boolean", "true", "true");
    check("boolean", "\"false\"", "false");
    refused("boolean", "1", "number, which a column of type boolean cannot take");
    refused("boolean", "\"yes\"", "string, which a column of type boolean cannot take");
    check("varbinary", "\"AP8=\"", "X'00FF'");
    check("varbinary", "\"\"", "X''");
    refused("varbinary", "\"AP8'\"", {
        "text that is no base64, which a column of type varbinary takes"
    });
    check("date", "\"2024-02-29\"", "DATE '2024-02-29'");
    refused("date", "\"2024-02-30\"", "`2024-02-30` is no date");
    refused("date", "1", "number, which a column of type date cannot take");
    check("time(6)", "\"10:11:12.1234567\"", "TIME '10:11:12.123456'");
    check("time(3) with time zone", "\"10:11:12+02:00\"", "TIME '10:11:12+02:00'");
    check("timestamp(3)", "\"2024-01-01T00:00:00+02:00\"", "TIMESTAMP '2023-12-31 22:00:00'");
    check("timestamp(6) with time zone", "\"2024-01-01T00:00:00.5Z\"", {
        "TIMESTAMP '2024-01-01 00:00:00.5 UTC'"
    });
    check("timestamp(3)", "1700000000123", "TIMESTAMP '2023-11-14 22:13:20.123'");
    refused("timestamp(3)", "\"x' OR 1=1\"", "`x' OR 1=1` is no timestamp");
    refused("timestamp(3)", "1e30", "1e30 is no time that a timestamp can hold");
    check("interval day to second", "\"-1 02:03:04.567\"", {
        "INTERVAL '-1 02:03:04.567' DAY TO SECOND"
    });
    refused("interval day to second", "\"1 day\"", "`1 day` is no interval day to second");
    check("interval year to month", "\"1-2\"", "INTERVAL '1-2' YEAR TO MONTH");
    refused("interval year to month", "\"1\"", "`1` is no interval year to month");
    let uuid = "12151fd2-7586-11e9-8f9e-2a86e4085a59";
    check("uuid", &format!("\"{uuid}\""), &format!("UUID '{uuid}'"));
    refused("uuid", "\"12151fd2\"", "`12151fd2` is no UUID");
    check("ipaddress", "\"2001:db8::1\"", "IPADDRESS '2001:db8::1'");
    refused("ipaddress", "\"localhost\"", "`localhost` is no IP address");
    check("json", "{\"a\":[1.0,\"it's\"]}", "JSON '{\"a\":[1.0,\"it''s\"]}'");
    check("json", "\"a\\\"b\"", "JSON '\"a\\\"b\"'");
    check("json", "null", "NULL");
    check("json", "99999999999999999999999", "JSON '99999999999999999999999'");
    refused("json", "{\"a\":[1e999]}", "1e999 is out of the range of numbers in json");
    check("hyperloglog", "null", "NULL");
    refused("hyperloglog", "\"x\"", "string, which a column of type hyperloglog cannot take");
}

#[test]
fn nested_values_say_their_type_once() {
    check("array(integer)", "[1,null]", "CAST(ARRAY[1,NULL] AS array(integer))");
    check("array(varchar)", "[]", "CAST(ARRAY[] AS array(varchar))");
    refused("array(integer)", "[1,\"x\"]", "[1]: `x` is no integer without loss");
    refused("array(integer)", "{}", "object and no array");
    check("map(varchar, bigint)", "{\"a\":1,\"b\":2,\"a\":3}", {
        "CAST(MAP(ARRAY['a','b'],ARRAY[3,2]) AS map(varchar, bigint))"
    });
    check("map(varchar, bigint)", "{}", "CAST(MAP() AS map(varchar, bigint))");
    check("map(bigint, boolean)", "{\"7\":true}", {
        "CAST(MAP(ARRAY[7],ARRAY[true]) AS map(bigint, boolean))"
    });
    refused("map(bigint, boolean)", "{\"x\":true}", "key `x`: `x` is no bigint without loss");
    let row = "row(x bigint, Y array(varchar))";
    check(row, "{\"y\":[\"z\"],\"x\":1}", {
        "CAST(ROW(1,ARRAY['z']) AS row(x bigint, Y array(varchar)))"
    });
    check(row, "[1,null]", "CAST(ROW(1,NULL) AS row(x bigint, Y array(varchar)))");
    check(row, "{}", "CAST(ROW(NULL,NULL) AS row(x bigint, Y array(varchar)))");
    check(row, "null", "NULL");
    refused(row, "{\"q\":1}", "the row has no field `q`");
    refused(row, "[1]", "1 elements and not 2");
    refused(row, "{\"x\":1.5}", "`x`: `1.5` is no bigint without loss");
}

proptest::proptest! {
    #[test]
    fn no_text_ends_its_literal(text in ".*") {
        let mut out = Vec::new();
        push_text(&mut out, &text);
        let inner = std::str::from_utf8(&out[1..out.len() - 1]).unwrap();
        proptest::prop_assert_eq!(inner.replace("''", "'"), text);
        proptest::prop_assert_eq!(inner.matches('\'').count() % 2, 0);
    }

    #[test]
    fn no_value_panics(json in "[0-9eE+.-]{0,12}|\"[0-9T :.Z+-]{0,30}\"", ty in 0usize..8) {
        let types = ["bigint", "real", "decimal(5,2)", "timestamp(3)", "date", "time(6)", "json", "interval day to second"];
        let mut tree = Tree::default();
        if let Ok(root) = tree.parse(json.as_bytes(), 0, json.len() as u32) {
            let document = Document { tree: &tree, text: json.as_bytes() };
            let column = Column::new("c".into(), types[ty].into());
            let written = column.push(document, root, &mut Vec::new());
            proptest::prop_assert!(written.is_ok() || written.is_err_and(|text| !text.is_empty()));
        }
    }
}
