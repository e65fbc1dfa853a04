use levada_condition::path::{QUERY_DEPTH_MAX, STEPS_MAX, TEXT_MAX};
use levada_condition::{Found, Path};

use crate::Document;

const PEOPLE: &str = r#"{
  "name": {"first": "Tom", "last": "A"}, "age": 37, "kids": ["Sara","Alex","Jack"], "fav.movie": "Deer",
  "friends": [
    {"first": "Dale", "last": "Murphy", "age": 44, "nets": ["ig","fb","tw"], "ok": true},
    {"first": "Roger", "last": "Craig", "age": 68, "nets": ["fb","tw"], "ok": false},
    {"first": "Jane", "last": "Murphy", "age": 47, "nets": ["ig"], "x": null}
  ]
}"#;

fn check(json: &str, path: &str, expected: &str) {
    assert_eq!(Document::new(json).read(path), expected, "{path} of {json}");
}

/// The rows of the path table, read side.
#[test]
fn every_form_reads() {
    let json = r#"{"a":{"b":{"c":1}},"a.b":2,"l":[{"b":1,"x":"1"},{"x":"2"},{"b":3,"x":"1"}]}"#;
    for (path, expected) in [
        ("a.b.c", "1"),
        (r"a\.b", "2"),
        ("['a.b']", "2"),
        ("$['a']['b'].c", "1"),
        (r#"a["b"]['c']"#, "1"),
        ("l.0.b", "1"),
        ("l[0].b", "1"),
        ("$.l[2].b", "3"),
        ("l.3.b", ""),
        ("l.-1", ""),
        ("l.#", "3"),
        ("$.l.#", "3"),
        ("l.#.b", "[1,3]"),
        (r#"l.#(x=="1").b"#, "1"),
        (r#"l.#(x=="1")#.b"#, "[1,3]"),
        (r#"l.#(x=="2").b"#, ""),
        (r#"l.#(x=="9")#.b"#, "[]"),
        ("a.*", r#"{"c":1}"#),
        ("a.?", r#"{"c":1}"#),
        ("a.*.c", "1"),
        ("l.*", ""),
        ("a.b.@this", r#"{"c":1}"#),
        ("a.b.@values", "[1]"),
        ("a|b|c", "1"),
        ("l.#.b|@reverse", "[3,1]"),
        ("a.0", ""),
        ("a.b.c.d", ""),
        ("$.missing", ""),
    ] {
        check(json, path, expected);
    }
    check(json, "$", json);
    check(json, "@this", json);
}

#[test]
fn a_leading_dollar_means_nothing_but_a_key_may_begin_with_one() {
    let json = r#"{"$ref":1,"$":2,"a":3,"0":4,"list":[5]}"#;
    check(json, "$ref", "1");
    check(json, "$.$ref", "1");
    check(json, "$.$", "2");
    check(json, "$.a", "3");
    check(json, "$.0", "4");
    check(json, "0", "4");
    check(json, "[0]", "4");
    check(json, "$[0]", "4");
    check(json, "['list'].0", "5");
    check("[7,8]", "$[1]", "8");
    check("[7,8]", "1", "8");
    check("[7,8]", "['1']", "");
}

#[test]
fn the_last_of_duplicate_keys_is_read() {
    check(r#"{"a":1,"a":{"b":2},"ab":3,"ab":4}"#, "a.b", "2");
    check(r#"{"ab":3,"ab":4}"#, "a*", "4");
}

#[test]
fn queries_choose_elements() {
    for (path, expected) in [
        ("kids.#", "3"),
        ("friends.#.age", "[44,68,47]"),
        (r#"friends.#(last=="Murphy").first"#, r#""Dale""#),
        (r#"friends.#(last="Murphy")#.first"#, r#"["Dale","Jane"]"#),
        (r#"friends.#(last=='Murphy')#.first"#, r#"["Dale","Jane"]"#),
        ("friends.#(last==Murphy)#.first", r#"["Dale","Jane"]"#),
        ("friends.#(age>45)#.last", r#"["Craig","Murphy"]"#),
        ("friends.#( age >= 47 )#.first", r#"["Roger","Jane"]"#),
        ("friends.#(age<=44)#.first", r#"["Dale"]"#),
        ("friends.#(age<\"44.5\")#.first", r#"["Dale"]"#),
        ("friends.#(age!=44)#.first", r#"["Roger","Jane"]"#),
        (r#"friends.#(first%"D*").last"#, r#""Murphy""#),
        (r#"friends.#(first!%"D*").last"#, r#""Craig""#),
        ("friends.#(ok==true)#.first", r#"["Dale"]"#),
        ("friends.#(ok!=true)#.first", r#"["Roger"]"#),
        ("friends.#(ok<true)#.first", r#"["Roger"]"#),
        ("friends.#(x)#.first", r#"["Jane"]"#),
        ("friends.#(x==\"\")#.first", "[]"),
        (r#"kids.#(!%"*a*")"#, r#""Alex""#),
        (r#"kids.#(%"*a*")#"#, r#"["Sara","Jack"]"#),
        (r#"kids.#(=="Alex")"#, r#""Alex""#),
        (r#"friends.#(nets.#(=="fb"))#.first"#, r#"["Dale","Roger"]"#),
        ("friends.#(nets.#>1)#.first", r#"["Dale","Roger"]"#),
        (r#"friends.#(last=="Murphy")#|first"#, ""),
        (r#"friends.#(last=="Murphy")#.0"#, "[]"),
        (r#"friends.#(last=="Murphy")#|0.first"#, r#""Dale""#),
        (r#"friends.#(last=="Murphy")#|1|age"#, "47"),
        (r#"friends.#(last=="Murphy")#.#"#, "[]"),
        (r#"friends.#(last=="Murphy")#|#"#, "2"),
        ("friends.#.nets.#", "[3,2,1]"),
        ("friends.#.nets.0", r#"["ig","fb","ig"]"#),
        ("friends.#.nets|1", r#"["fb","tw"]"#),
        ("friends.#.nets.@reverse|0", r#"["tw","fb","ig"]"#),
        ("friends.#.nets|@flatten|#", "6"),
        (r"fav\.movie", r#""Deer""#),
        ("k?ds.0", r#""Sara""#),
        ("fri*.1.first", r#""Roger""#),
        ("age.#", ""),
        ("name.#", ""),
        ("missing.#.x", ""),
    ] {
        check(PEOPLE, path, expected);
    }
    check(r##"{"#":{"b":7}}"##, "#.b", "7");
    check(r##"{"#tag":1,"a=b":2}"##, "#tag", "1");
    check(r#"[{"k =":1},{"a b":2}]"#, r"#(k\ \===1).k \=", "1");
    check(r#"[{"a b":2}]"#, "#(a b == 2).a b", "2");
    check(r#"[{"v":"it's"},{"v":"a)b"}]"#, r"#(v=='it\'s').v", r#""it's""#);
    check(r#"[{"v":"it's"},{"v":"a)b"}]"#, r#"#(v=="a)b").v"#, r#""a)b""#);
}

#[test]
fn modifiers_change_what_was_found() {
    let json = r#"{"o":{"a":1,"b\n":[2]},"l":[1,[2,[3]],"x"],"s":"q\"","@timestamp":9}"#;
    for (path, expected) in [
        ("o.@values", "[1,[2]]"),
        ("o.@keys", r#"["a","b\n"]"#),
        ("o.@keys.0", r#""a""#),
        ("o.@reverse", r#"{"b\n":[2],"a":1}"#),
        ("o.@reverse.a", "1"),
        ("o.@reverse|@reverse|@keys|#", "2"),
        ("l.@reverse", r#"["x",[2,[3]],1]"#),
        ("l.@flatten", r#"[1,2,[3],"x"]"#),
        (r#"l.@flatten:{"deep":true}"#, r#"[1,2,3,"x"]"#),
        ("l.@tostr", r#""[1,[2,[3]],\"x\"]""#),
        ("s.@flatten", r#""q\"""#),
        ("s.@keys", ""),
        ("missing.@keys", ""),
        ("@timestamp", "9"),
        ("$.@timestamp", "9"),
        ("@keys.#", "4"),
    ] {
        check(json, path, expected);
    }
    check(r#"{"@keys":1}"#, r"\@keys", "1");
}

#[test]
fn found_values_have_a_text_and_a_truth() {
    let json = r#"{"t":true,"f":false,"n":null,"s":"é\n","e":"","fs":"false","z":-0.0e5,"num":12.50,
        "o":{},"l":[ ],"one":[0,1]}"#;
    let document = Document::new(json);
    for (path, text, truthy) in [
        ("t", "true", true),
        ("f", "false", false),
        ("n", "", false),
        ("s", "é\n", true),
        ("e", "", false),
        ("fs", "false", false),
        ("z", "-0.0e5", false),
        ("num", "12.50", true),
        ("o", "{}", true),
        ("l", "[ ]", true),
        ("l.#", "0", false),
        ("one.#", "2", true),
        ("one.#(>0)#", "[1]", true),
        ("one.#(>5)#", "[]", true),
        ("o.@reverse", "{}", true),
        ("o.@tostr", "{}", true),
        ("missing", "", false),
    ] {
        let path = Path::compile(path).unwrap();
        let found = path.find(&document.text, &document.tree, document.root);
        assert_eq!(found.compare_text(&document.text, &document.tree), text, "{path}");
        assert_eq!(found.is_truthy(&document.text, &document.tree), truthy, "{path}");
        assert_eq!(found.exists(), path.to_string() != "missing");
    }
}

fn check_error(path: &str, expected: &str) {
    let error = Path::compile(path).unwrap_err();
    assert_eq!(error.to_string(), format!("syntax error at column {expected}"), "{path}");
}

#[test]
fn errors_say_where_and_what_to_write() {
    const EMPTY: &str = "a key is expected; `..` is not supported; write `['']` for the empty key";
    check_error("", "1: a path is required; write `@this` for the whole document");
    check_error(" ", "1: a path is required; write `@this` for the whole document");
    check_error("$..x", &format!("3: {EMPTY}"));
    check_error("$.", &format!("3: {EMPTY}"));
    check_error("é.", &format!("3: {EMPTY}"));
    check_error("a..b", &format!("3: {EMPTY}"));
    check_error(".a", &format!("1: {EMPTY}"));
    check_error("a|", &format!("3: {EMPTY}"));
    let bracket = "`[` takes an index or a quoted key; write `#.` for every element, `#(…)` for a query, `\\[` for a key with a bracket in it";
    check_error("a[*]", &format!("2: {bracket}"));
    check_error("a[?(@.x)]", &format!("2: {bracket}"));
    check_error("a[1:2]", &format!("2: {bracket}"));
    check_error("a[", &format!("2: {bracket}"));
    check_error("a[1", "4: `]` is expected");
    check_error("a['x", "3: the quote is not closed");
    check_error("a['x'", "6: `]` is expected");
    check_error("a[0]b", "5: `.` or the end of the path is expected");
    check_error("a\\", "2: a character is expected after the backslash");
    check_error("a.#(x==1", "9: `)` is expected");
    check_error("a.#()", "4: the query is empty; write `#` for the length, `#.` for every element");
    check_error("a.#(x==)", "8: a value is expected; write `\"\"` for the empty text");
    check_error(
        "a.#(x==~true)",
        "8: `~` is not supported in queries; put a value that begins with it in quotes",
    );
    check_error(
        "a.#[x==1]",
        "4: `[` after `#` is not supported; write `#.0` for the first of every element, `#(…)` for a query",
    );
    check_error(
        "{a,b}",
        "1: a step cannot begin with `{`; write `\\{` for a key that begins with it; documents made of several paths are not supported",
    );
    check_error(
        "a.@pretty",
        "3: modifier `@pretty` is not supported; known: `@this`, `@values`, `@keys`, `@reverse`, `@flatten`, `@tostr`; write `\\@pretty` for a key of that name",
    );
    check_error(
        "a.@keys:1",
        "8: this modifier takes no such argument; only `@flatten:{\"deep\":true}` takes one",
    );
}

#[test]
fn bounds_are_kept() {
    assert!(Path::compile(&"a".repeat(TEXT_MAX)).is_ok());
    assert!(Path::compile(&"a".repeat(TEXT_MAX + 1)).is_err());
    let steps = |count: usize| vec!["a"; count].join(".");
    assert!(Path::compile(&steps(STEPS_MAX)).is_ok());
    assert!(Path::compile(&steps(STEPS_MAX + 1)).is_err());
    let nested = |depth: usize| format!("{}x{}", "#(".repeat(depth), ")".repeat(depth));
    assert!(Path::compile(&nested(QUERY_DEPTH_MAX)).is_ok());
    let error = Path::compile(&nested(QUERY_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(error.message, "queries are nested deeper than 32 levels");
    assert!(Path::compile(&nested(20_000)).is_err());
    assert!(Path::compile(&format!("#(a{}b)", " ".repeat(60_000))).is_ok());
}

#[test]
fn paths_tell_what_they_are() {
    for (path, last, top, simple, plain) in [
        ("a", "a", Some("a"), true, true),
        ("$.user.name", "name", Some("user"), true, true),
        (r"x.a\.b", "a.b", Some("x"), true, true),
        ("x['a.b']", "a.b", Some("x"), true, true),
        ("items.#.sku", "sku", Some("items"), false, false),
        ("items.0", "0", Some("items"), true, true),
        ("items.-1", "-1", Some("items"), false, true),
        ("items.#", "#", Some("items"), false, false),
        ("#(x==1)", "#(x==1)", None, false, false),
        ("a.#(x==1).*", "*", Some("a"), false, false),
        ("$", "$", None, true, true),
    ] {
        let compiled = Path::compile(path).unwrap();
        assert_eq!(compiled.to_string(), path);
        assert_eq!(compiled.last_key(), last, "{path}");
        assert_eq!(compiled.top_key(), top, "{path}");
        assert_eq!(compiled.is_simple(), simple, "{path}");
        assert_eq!(compiled.is_plain(), plain, "{path}");
    }
    for (one, other, expected) in [
        ("a", "a.b", true),
        ("$.a", "a", true),
        ("a.b", "a", false),
        ("a", "ab", false),
        ("a.0", "a[0].x", true),
        ("$", "a", true),
        ("a.#", "a.#.b", false),
    ] {
        let (one, other) = (Path::compile(one).unwrap(), Path::compile(other).unwrap());
        assert_eq!(one.is_prefix_of(&other), expected, "{one} {other}");
    }
}

#[test]
fn evaluation_survives_the_deepest_documents() {
    let depth = levada_model::tree::MAX_DEPTH;
    let document = Document::new(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let path = Path::compile(&"#.".repeat(STEPS_MAX - 1).add("@this")).unwrap();
    assert!(path.find(&document.text, &document.tree, document.root).exists());
    let path = Path::compile("@flatten:{\"deep\":true}").unwrap();
    let found = path.find(&document.text, &document.tree, document.root);
    assert_eq!(found, Found::Many(Vec::new()));
}

trait Add {
    fn add(self, tail: &str) -> String;
}

impl Add for String {
    fn add(mut self, tail: &str) -> String {
        self.push_str(tail);
        self
    }
}
