use super::*;

/// (text, canonical text; nothing where the text is canonical)
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT value FROM cpu", ""),
    ("select \"value\" from \"cpu\"", "SELECT value FROM cpu"),
    (
        "SELECT MEAN(\"value\") AS \"m\", max(x) AS \"a b\" FROM cpu",
        "SELECT mean(value) AS m, max(x) AS \"a b\" FROM cpu",
    ),
    ("SELECT * FROM db.rp.cpu", ""),
    ("SELECT *::tag, *::field FROM \"my db\"..cpu", ""),
    (
        "SELECT v::float, w::INTEGER, \"duration\"::tag, x::field FROM m",
        "SELECT v::float, w::integer, \"duration\"::tag, x::field FROM m",
    ),
    ("SELECT DISTINCT v FROM m", ""),
    (
        "SELECT DISTINCT(v), count(distinct(v)), count(DISTINCT v) FROM m",
        "SELECT distinct(v), count(distinct(v)), count(DISTINCT v) FROM m",
    ),
    ("SELECT /^cpu/ FROM /a\\/b.*/, rp./x/, db.rp./y/", ""),
    ("SELECT mean(/v.*/) FROM m", ""),
    ("SELECT a+b*(c-2)/3.50%d&e|f^g FROM m", "SELECT a + b * (c - 2) / 3.5 % d & e | f ^ g FROM m"),
    (
        "SELECT -v, a / -b, -(1), -5, - 2.5, +3, a - -1 FROM m",
        "SELECT -1 * v, a / (-1 * b), -1 * (1), -5, -2.5, 3, a - -1 FROM m",
    ),
    ("SELECT a.b.c, \"d\".e FROM m", "SELECT \"a.b.c\", \"d.e\" FROM m"),
    ("SELECT v FROM (SELECT mean(v) AS v FROM m GROUP BY time(1m)), n", ""),
    ("SELECT v INTO db.rp.:MEASUREMENT FROM m", ""),
    ("SELECT v INTO rp.n FROM m", ""),
    ("SELECT v INTO :x FROM m", "E found :, expected identifier at line 1, char 15"),
    (
        "SELECT v FROM m WHERE a <> 'it\\'s' AND b =~ /x\\/y/ OR c !~ /z/",
        "SELECT v FROM m WHERE a != 'it\\'s' AND b =~ /x\\/y/ OR c !~ /z/",
    ),
    (
        "SELECT v FROM m WHERE a = TRUE AND (b <= 1 OR c >= 18446744073709551615) AND d = -9223372036854775808",
        "SELECT v FROM m WHERE a = true AND (b <= 1 OR c >= 18446744073709551615) AND d = -9223372036854775808",
    ),
    (
        "SELECT v FROM m WHERE time > now() - 1h30m AND time < 1500000000000ns",
        "SELECT v FROM m WHERE time > now() - 90m AND time < 25m",
    ),
    (
        "SELECT v FROM m GROUP BY time(60s, -1m), host, /r.*/, * fill(previous)",
        "SELECT v FROM m GROUP BY time(1m, -1m), host, /r.*/, * fill(previous)",
    ),
    ("SELECT v FROM m fill(NULL)", "E expected number argument in fill()"),
    ("SELECT v FROM m fill(null)", "SELECT v FROM m"),
    ("SELECT v FROM m FILL(1.50)", "SELECT v FROM m fill(1.5)"),
    ("SELECT v FROM m ORDER BY time", "SELECT v FROM m ORDER BY time ASC"),
    (
        "SELECT v FROM m ORDER BY DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 tz('Asia/Tokyo')",
        "SELECT v FROM m ORDER BY DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 TZ('Asia/Tokyo')",
    ),
    ("SELECT v -- the value\nFROM /* of */ m", "SELECT v FROM m"),
    ("SHOW   databases", "SHOW DATABASES"),
    ("show tag keys on \"db\" from cpu, \"a b\"", "SHOW TAG KEYS ON db FROM cpu, \"a b\""),
    (
        "CREATE USER jo WITH PASSWORD 'secret' WITH ALL PRIVILEGES",
        "CREATE USER jo WITH PASSWORD [REDACTED] WITH ALL PRIVILEGES",
    ),
    ("SET PASSWORD FOR \"jo\" = 'secret'", "SET PASSWORD FOR jo = [REDACTED]"),
    ("EXPLAIN SELECT mean(v) FROM m", ""),
    ("KILL QUERY 36", ""),
    ("", "E 0 statements"),
    ("SELECT", "E found EOF, expected identifier, string, number, bool at line 1, char 8"),
    (
        "SELECT FROM WHERE \"blue\" = true",
        "E found FROM, expected identifier, string, number, bool at line 1, char 8",
    ),
    ("SELECT field1 X", "E found X, expected FROM at line 1, char 15"),
    (
        "SELECT field1 FROM \"series\" WHERE X +;",
        "E found ;, expected identifier, string, number, bool at line 1, char 38",
    ),
    ("SELECT field1 FROM myseries GROUP", "E found EOF, expected BY at line 1, char 35"),
    ("SELECT field1 FROM myseries LIMIT", "E found EOF, expected integer at line 1, char 35"),
    ("SELECT field1 FROM myseries LIMIT 10.5", "E found 10.5, expected integer at line 1, char 35"),
    (
        "SELECT v FROM m LIMIT 99999999999999999999",
        "E strconv.Atoi: parsing \"99999999999999999999\": value out of range at line 1, char 23",
    ),
    ("SELECT v\nFROM\n  12", "E found 12, expected identifier at line 3, char 3"),
    ("SELECT v FROM m WHERE a =~ 'x'", "E found x, expected regex at line 1, char 27"),
    ("SELECT v FROM 'm'", "E found m, expected identifier at line 1, char 14"),
    ("SELECT v FROM m WHERE (a = 1", "E found EOF, expected ) at line 1, char 29"),
    ("SELECT v FROM a.b.c.d", "E too many segments in \"a\".\"b\".\"c\".\"d\" at line 1, char 1"),
    ("SELECT v FROM m n", "E found n, expected ;, EOF at line 1, char 17"),
    (
        "SELECT v > 1 FROM m",
        "E invalid operator > in SELECT clause at line 1, char 8; operator is intended for WHERE clause",
    ),
    (
        "SELECT f(a AND b) FROM m",
        "E invalid operator AND in SELECT clause at line 1, char 8; operator is intended for WHERE clause",
    ),
    (
        "SELECT v::x FROM m",
        "E found x, expected float, integer, unsigned, string, boolean, field, tag at line 1, char 11",
    ),
    ("SELECT *::x FROM m", "E found x, expected field, tag at line 1, char 11"),
    ("SELECT distinct FROM m", "E found FROM, expected identifier at line 1, char 17"),
    (
        "SELECT v FROM m WHERE x = - 'a'",
        "E found a, expected identifier, number, duration, ( at line 1, char 28",
    ),
    (
        "SELECT v FROM m WHERE x = -9223372036854775809",
        "E constant -9223372036854775809 underflows int64",
    ),
    (
        "SELECT v FROM m WHERE x = 99999999999999999999",
        "E unable to parse integer at line 1, char 27",
    ),
    ("SELECT v FROM m WHERE t > 1y", "E invalid duration"),
    (
        "SELECT v FROM m WHERE x =~ /a(/",
        "E error parsing regexp: missing closing ): `a(` at line 1, char 28",
    ),
    ("SELECT v FROM m WHERE x =~ /*/", "E found ILLEGAL, expected regex at line 1, char 28"),
    ("SELECT v FROM m WHERE x = $y", "E missing parameter: y"),
    ("SELECT v FROM m ORDER BY host", "E only ORDER BY time supported at this time"),
    ("SELECT v FROM m ORDER BY time, host", "E only ORDER BY time supported at this time"),
    (
        "SELECT v FROM m fill()",
        "E fill requires an argument, e.g.: 0, null, none, previous, linear",
    ),
    ("SELECT v FROM m tz('Mars/Base')", "E unable to find time zone Mars/Base"),
    ("SELECT v FROM m tz(5)", "E expected string argument in tz()"),
    (
        "drop measurement measurement_with_quote\"",
        "E found BADSTRING, expected ;, EOF at line 1, char 39",
    ),
    (
        "FOO",
        "E found FOO, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL at line 1, char 1",
    ),
    (
        "DROP SELECT",
        "E found SELECT, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, SUBSCRIPTION, USER at line 1, char 6",
    ),
];

#[test]
fn statements_are_printed_and_mistakes_are_told() {
    for (text, expected) in STATEMENTS {
        let result = match parse(text) {
            Ok(statements) => match statements.as_slice() {
                [statement] => statement.to_string(),
                other => format!("E {} statements", other.len()),
            },
            Err(error) => format!("E {error}"),
        };
        let expected = if expected.is_empty() { text } else { expected };
        assert_eq!(result, *expected, "{text}");
    }
}

#[test]
fn long_rows_are_no_deep_trees() {
    let row = vec!["host = 'a'"; 20_000].join(" OR ");
    let text = format!("SELECT v FROM m WHERE {row}");
    let statements = parse(&text).unwrap();
    assert_eq!(statements[0].to_string(), text);
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |levels: usize, open: &str, close: &str| {
        let (open, close) = (open.repeat(levels), close.repeat(levels));
        parse(&format!("SELECT v FROM m WHERE {open}x{close} = 1")).map(|_| ())
    };
    for (open, close) in [("(", ")"), ("f(", ")"), ("-(", ")")] {
        let levels = if open == "-(" { DEPTH_MAX / 2 } else { DEPTH_MAX };
        assert_eq!(nested(levels, open, close), Ok(()));
        let error = nested(levels + 1, open, close).unwrap_err().to_string();
        assert!(
            error.starts_with("the query is nested deeper than 100 levels at line 1"),
            "{error}"
        );
        assert!(nested(100_000, open, close).is_err());
    }
    let sub = |levels: usize| {
        parse(&format!("{}m{}", "SELECT v FROM (".repeat(levels), ")".repeat(levels)))
    };
    assert!(sub(100_000 / 8).is_err());
    let blank = " ".repeat(TEXT_MAX - 15);
    assert!(parse(&format!("SELECT v FROM m{blank}")).is_ok());
    assert!(parse(&format!("SELECT v FROM m{blank} ")).is_err());
}
