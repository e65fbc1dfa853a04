use std::sync::Arc;

use levada_condition::condition::{DEPTH_MAX, REGEX_COUNT_MAX, TEXT_MAX};
use levada_condition::{Condition, Input};
use levada_model::{Meta, Timestamp, Value};

use crate::Document;

fn meta() -> Meta {
    let mut meta = Meta::new();
    meta.set("topic", "orders".into());
    meta.set("partition", Value::Int(3));
    meta.set("a.b", "dotted".into());
    meta.set("none", Value::Null);
    meta.set("at", Value::Time(Timestamp(1_770_460_200_500_000_000)));
    meta.set("bytes", Value::Bytes(Arc::from(&b"raw"[..])));
    meta.set("ratio", Value::Float(0.5));
    meta.set("big", Value::UInt(u64::MAX));
    meta.set("list", Value::List(vec![Value::Int(1)]));
    meta
}

fn eval(json: &str, condition: &str) -> bool {
    let document = Document::new(json);
    let compiled = Condition::compile(condition);
    let compiled = compiled.unwrap_or_else(|error| panic!("{condition}: {error}"));
    assert_eq!(compiled.to_string(), condition);
    compiled.eval(Input {
        text: &document.text,
        tree: &document.tree,
        root: Some(document.root),
        meta: Some(&meta()),
    })
}

fn check(json: &str, cases: &[(&str, bool)]) {
    for (condition, expected) in cases {
        assert_eq!(eval(json, condition), *expected, "{condition} over {json}");
    }
}

/// The worked table of the condition language.
#[test]
fn the_compatible_subset() {
    let json = r#"{"status":"active","count":5,"enabled":true,"empty":"","zero":0}"#;
    check(
        json,
        &[
            ("$.status", true),
            ("empty", false),
            ("zero", false),
            ("missing", false),
            ("$.count == 5", true),
            ("$.status=='active'", true),
            ("$.missing || $.status == 'active' && $.enabled", true),
            (r#"$.status == "a && b""#, false),
            ("$.status != 'deleted'", true),
            ("$.missing != 'x'", false),
            ("metadata.partition == 3", true),
            ("!$.empty && $.enabled", true),
            ("($.status == 'x' || $.count) && $.zero", false),
            ("$.status == active", true),
            ("$.status == 'active'", true),
            ("$.status == \"active\"", true),
            ("!$.status == 'x'", true),
            ("!$.status == 'active'", false),
            ("!$.missing == 'x'", true),
            ("!!$.status", true),
            ("! ( $.zero )", true),
            ("$.count == '5'", true),
            ("$.enabled == 'true'", true),
            ("$.enabled == true", true),
            ("$.empty == ''", true),
            ("$.missing == ''", false),
            ("metadata.topic == 'orders'", true),
            ("metadata.topic", true),
            ("metadata.missing != 'x'", false),
            ("metadata.none", false),
            ("metadata.none == ''", false),
            ("metadata.a.b == 'dotted'", true),
            ("metadata.at == '2026-02-07T10:30:00.5Z'", true),
            ("metadata.bytes == raw", true),
            ("metadata.ratio == 0.5", true),
            ("metadata.big == 18446744073709551615", true),
            ("metadata.list == '[1]'", true),
            ("$.zero&&$.status||$.enabled", true),
            ("$.status == active&&$.enabled", true),
            ("$.zero || $.zero || $.enabled", true),
            ("$.enabled && $.status && $.zero", false),
        ],
    );
    assert!(Condition::compile("").unwrap_err().is_blank());
    assert!(Condition::compile(" \t\n").unwrap_err().is_blank());
    assert_eq!(Condition::compile("").unwrap_err().to_string(), "condition is required");
}

#[test]
fn texts_compare_as_upstream_compares_them() {
    let json = r#"{"n":null,"f":12.50,"i":5.0,"e":1e3,"o":{"a": 1},"l":[],"q":"it's","u":"caf\u00e9 \"x\"","metadata":{"x":7},"b":"a\\b"}"#;
    check(
        json,
        &[
            ("$.n == ''", true),
            ("$.n != ''", false),
            ("$.n == null", false),
            ("$.n", false),
            ("$.f == '12.5'", true),
            ("$.f == '12.50'", true),
            ("$.f == '12.500'", false),
            ("$.f == 12.500", true),
            ("$.i == 5", true),
            ("$.i == '5'", true),
            ("$.i == '5.0'", true),
            ("$.e == 1000", true),
            ("$.e == '1000'", true),
            ("$.e == '1e3'", true),
            ("$.o == '{\"a\": 1}'", true),
            ("$.o", true),
            ("$.l", true),
            (r"$.q == 'it\'s'", true),
            ("$.q == \"it's\"", true),
            (r#"$.u == 'café "x"'"#, true),
            (r#"$.u != 'café "y"'"#, true),
            (r"$.b == 'a\b'", true),
            (r"$.b == 'a\\b'", true),
            ("$.metadata.x == 7", true),
            ("metadata.x == 7", false),
            ("$.metadata", true),
        ],
    );
}

#[test]
fn numbers_order_by_value_and_texts_by_bytes() {
    let json = r#"{"status":404,"price":9.99,"big":9007199254740993,"name":"bob","ten":"10","n":null,"t":true}"#;
    check(
        json,
        &[
            ("status < 500", true),
            ("status <= 404", true),
            ("status >= 404.0", true),
            ("status > 404", false),
            ("status > -1", true),
            ("price < 10", true),
            ("price >= 9.990", true),
            ("big == 9007199254740992", false),
            ("big > 9007199254740992", true),
            ("big == 9007199254740993", true),
            ("big != 9007199254740993", false),
            ("name > 'alice'", true),
            ("name < alice", false),
            ("ten < '9'", true),
            ("status < '5'", true),
            ("n < 5", false),
            ("n >= ''", false),
            ("missing < 5", false),
            ("missing >= 5", false),
            ("metadata.partition >= 3", true),
            ("metadata.partition > 10", false),
            ("t >= true", true),
            ("status<\"5\"", true),
        ],
    );
}

#[test]
fn lists_regexes_and_existence() {
    let json = r#"{"s":"beta-12","n":5.0,"z":null,"l":[{"s":"a","v":1},{"s":"b","v":2}],"logged in":1,"inn":2,"exists":3,"p":"C:\\x"}"#;
    check(
        json,
        &[
            ("n in (1, 5)", true),
            ("n in('5')", true),
            ("s in (a, 'beta-12', 5)", true),
            ("s in (a,b)", false),
            ("s not in (a,b)", true),
            ("s not  in  (a,'beta-12')", false),
            ("missing in (a)", false),
            ("missing not in (a)", false),
            ("z in ('')", true),
            (r"s =~ '^beta-\d+$'", true),
            (r#"s =~ "gamma""#, false),
            ("s !~ 'gamma'", true),
            ("missing !~ 'x'", false),
            (r"p =~ '^C:\\x$'", true),
            (r"n =~ '^5\.'", true),
            ("exists(s)", true),
            ("exists( $.z )", true),
            ("exists(missing)", false),
            ("!exists(missing) && exists (s)", true),
            ("exists(metadata.topic)", true),
            ("exists(metadata.none)", false),
            ("exists(l.#(s==\"b\"))", true),
            ("exists", true),
            ("exists == 3", true),
            ("logged in == 1", true),
            ("logged in in (1)", true),
            ("inn in (2)", true),
            ("l.#(s==\"b\").v == 2", true),
            ("$.l.#(s=='a').v == 2", false),
            ("l.#(s==\"a\" ) && s", true),
            ("l.# == 2", true),
            ("l.# > 1", true),
            ("l.#.v == '[1,2]'", true),
            ("l.#(v>5)#", true),
            ("l[1].v == 2", true),
            ("$['logged in'] == 1", true),
            ("l|@reverse|0.v == 2", true),
            ("(exists(s))", true),
        ],
    );
}

#[test]
fn a_payload_that_is_not_json_has_no_values() {
    let tree = levada_model::Tree::default();
    let meta = meta();
    for (condition, expected) in [
        ("$.a", false),
        ("$.a != 'x'", false),
        ("exists($)", false),
        ("!$.a", true),
        ("metadata.topic == orders", true),
    ] {
        let compiled = Condition::compile(condition).unwrap();
        let input = Input { text: b"plain", tree: &tree, root: None, meta: Some(&meta) };
        assert_eq!(compiled.eval(input), expected, "{condition}");
        let input = Input { meta: None, ..input };
        assert!(!compiled.eval(input) || condition.starts_with('!'));
    }
}

#[test]
fn conditions_tell_whether_they_read_the_payload() {
    for (condition, expected) in [
        ("metadata.topic == 'x' && !metadata.y", false),
        ("metadata.topic == 'x' || !$.y", true),
        ("exists(a)", true),
    ] {
        assert_eq!(Condition::compile(condition).unwrap().reads_payload(), expected);
    }
}

fn check_error(condition: &str, expected: &str) {
    let error = Condition::compile(condition).expect_err(condition);
    assert_eq!(error.to_string(), format!("syntax error at column {expected}"), "{condition}");
}

#[test]
fn errors_say_where_and_what_to_write() {
    const MORE: &str = "`&&`, `||` or the end is expected; put a value that holds blanks in quotes";
    check_error(
        "a==5",
        "2: `==` needs a blank or a quote behind it; put blanks around `==`, or write a backslash before it when it is part of a key",
    );
    check_error(
        "a ==5",
        "3: `==` needs a blank or a quote behind it; put blanks around `==`, or write a backslash before it when it is part of a key",
    );
    check_error(
        "a<5",
        "2: `<` needs a blank or a quote behind it; put blanks around `<`, or write a backslash before it when it is part of a key",
    );
    check_error("a = 'x'", "3: `=` is not an operator; write `==`");
    check_error("a ==", "5: a value is expected after `==`; write `''` for the empty text");
    check_error("a == ", "6: a value is expected after `==`; write `''` for the empty text");
    check_error("a == && b", "6: a value is expected after `==`; write `''` for the empty text");
    check_error("a == b c", &format!("8: {MORE}"));
    check_error("a == 'b'c", &format!("9: {MORE}"));
    check_error("a == 1 == 2", &format!("8: {MORE}"));
    check_error("(a", "1: `(` is not closed");
    check_error("(a) b", &format!("5: {MORE}"));
    check_error("a)", "2: `)` without `(`");
    check_error("()", "2: a path is expected");
    check_error("a &&", "5: a path is expected");
    check_error("|| a", "1: a path is expected");
    check_error("a && && b", "6: a path is expected");
    check_error("!", "2: a path is expected");
    check_error("== 5", "1: a path is expected");
    check_error(
        "'x' == a",
        "1: a path is expected before a quote; write the path on the left: `$.status == 'active'`",
    );
    check_error("a == 'x", "6: the quote is not closed");
    check_error(
        "it's == 1",
        "3: the quote is not closed; write a backslash before a quote that is part of a key",
    );
    check_error(
        "a == $.b",
        "6: the right side is a value, not a path; write '$.b' in quotes if it is a text",
    );
    check_error(
        "é == 1 && b..c",
        "13: a key is expected; `..` is not supported; write `['']` for the empty key",
    );
    check_error(
        "metadata. == 1",
        "1: a key is expected after `metadata.`; a payload member called `metadata` is `$.metadata`",
    );
    check_error("a in ()", "7: a value is expected after `in`; write `''` for the empty text");
    check_error("a in (1 2)", "9: `,` or `)` is expected; put a value that holds blanks in quotes");
    check_error("a in (1", "6: `(` is not closed");
    check_error("a =~ x", "6: a regex in quotes is expected after `=~`");
    check_error("a =~ '('", "6: the regex is not valid: unclosed group");
    check_error("exists(a == 1)", "10: `exists` takes a path and no comparison");
    check_error("exists(a", "7: `(` is not closed");
    check_error("exists()", "8: a path is expected");
    check_error("exists(a) == 1", &format!("11: {MORE}"));
    check_error("l.#(s==\"a\"", "4: `(` is not closed");
}

#[test]
fn operators_inside_keys_can_be_escaped() {
    check(
        r#"{"a==5":1,"x<y":2,"it's":3,"wow!":4,"k=v":5,"(p)":6}"#,
        &[
            (r"a\=\=5 == 1", true),
            (r"x\<y == 2", true),
            (r"it\'s == 3", true),
            ("wow! == 4", true),
            ("k=v == 5", true),
            (r"\(p\) == 6", true),
        ],
    );
}

#[test]
fn bounds_are_kept() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Condition::compile(&nested(DEPTH_MAX - 1)).is_ok());
    let error = Condition::compile(&nested(DEPTH_MAX)).unwrap_err();
    assert_eq!(error.message, "the condition is nested deeper than 64 levels");
    assert!(Condition::compile(&nested(30_000)).is_err());
    assert!(Condition::compile(&format!("{}a", "!".repeat(DEPTH_MAX - 1))).is_ok());
    assert!(Condition::compile(&format!("{}a", "!".repeat(60_000))).is_err());
    assert!(Condition::compile(&"a".repeat(TEXT_MAX)).is_ok());
    assert!(Condition::compile(&"a".repeat(TEXT_MAX + 1)).is_err());
    let regexes = |count: usize| vec!["a =~ 'x'"; count].join(" || ");
    assert!(Condition::compile(&regexes(REGEX_COUNT_MAX)).is_ok());
    assert!(Condition::compile(&regexes(REGEX_COUNT_MAX + 1)).is_err());
    assert!(Condition::compile(r"a =~ '(\w{1000}){1000}'").is_err());
    let many = vec!["a"; 10_000].join(" || ");
    assert!(eval(r#"{"a":1}"#, &many));
}
