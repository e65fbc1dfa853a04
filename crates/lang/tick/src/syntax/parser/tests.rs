#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const LIST: &str = r#""number","string","duration","identifier","TRUE","FALSE","==","(","-","!""#;

fn error(script: &str) -> String {
    parse(script).expect_err(script).to_string()
}

#[test]
fn mistakes_have_the_texts_of_the_original() {
    let cases = [
        ("a\n\n\nvar b = ", format!("unexpected EOF line 4 char 9 in \"var b = \". expected: {LIST}")),
        (
            "a\n\n\nvar b = stream.window()var period)\n\nvar x = 1",
            "unexpected ) line 4 char 34 in \"var period)\". expected: \"identifier\"".into(),
        ),
        (
            "a\n\n\nvar b = stream.window(\nb.period(10s)",
            "unexpected EOF line 5 char 14 in \"eriod(10s)\". expected: \")\"".into(),
        ),
        ("stream|from", "unexpected EOF line 1 char 12 in \"tream|from\". expected: \"(\"".into()),
        (
            "stream||from()",
            "unexpected | line 1 char 8 in \"stream||from()\". expected: \"identifier\"".into(),
        ),
        (
            "stream|from(')",
            format!("unexpected unterminated string line 1 char 13 in \"ream|from(')\". expected: {LIST}"),
        ),
        (
            "var _x = 1",
            "unexpected unknown state, last char: '_' line 1 char 5 in \"var _x = 1\". expected: \"identifier\"".into(),
        ),
        (
            "stream|from()|where(lambda: \"a\" = 1)",
            "unexpected = line 1 char 33 in \"mbda: \"a\" = 1)\". expected: \")\"".into(),
        ),
        (
            "stream|from().groupBy([)",
            "unexpected ) line 1 char 24 in \".groupBy([)\". expected: \"identifier\",\"string\",\"*\"".into(),
        ),
        (
            "dbrp 'db'.'rp'",
            "unexpected string line 1 char 6 in \"dbrp 'db'.'rp'\". expected: \"reference\"".into(),
        ),
        (
            "var l = [1, 2]",
            "unexpected number line 1 char 10 in \"var l = [1, 2]\". expected: \"identifier\",\"string\",\"*\"".into(),
        ),
        ("08", "illegal number syntax: \"08\"".into()),
        ("99999999999999999999", "illegal number syntax: \"99999999999999999999\"".into()),
        ("99999999999999999999s", "invalid duration".into()),
        ("99999999w", "overflowed duration 99999999w: choose a smaller duration or INF".into()),
        ("var x = /x(/", "error parsing regexp: missing closing ): `x(`".into()),
        ("1.2.3", format!("unexpected multiple decimals in number line 1 char 1 in \"1.2.3\". expected: {LIST}")),
        ("lambda: *", format!("unexpected * line 1 char 9 in \"lambda: *\". expected: {LIST}")),
        ("('a').x()", format!("unexpected . line 1 char 6 in \"('a').x()\". expected: {LIST}")),
        ("a = \"", "unexpected".into()),
        ("lambda : 1", "unexpected".into()),
        ("\"a", "unexpected unterminated field reference line 1 char 1".into()),
        ("/a", "unexpected unterminated regex line 1 char 1".into()),
    ];
    for (script, expected) in cases {
        let found = error(script);
        assert!(found.starts_with(&format!("parser: {expected}")), "{script:?}: {found}");
    }
}

#[test]
fn a_call_that_is_never_closed_is_named() {
    for (text, place) in [
        ("stream|from(", "line 1 char 12"),
        ("x|eval(lambda: \"a\",", "line 1 char 7"),
        ("var x = (1 +", "line 1 char 9"),
    ] {
        let hint = parse(text).unwrap_err().hint.unwrap_or_default();
        assert_eq!(hint, format!("what opens at {place} is never closed"), "{text}");
    }
}

#[test]
fn a_mistake_is_shown_with_a_mark_and_a_hint() {
    let script = "stream\n\t|from()\n\t|where(lambda: \"a\" = 1)\n";
    let found = parse(script).expect_err("an assignment in a lambda");
    assert_eq!((found.position.offset, found.position.line, found.position.column), (36, 3, 21));
    let expected = "  |\n3 | \t|where(lambda: \"a\" = 1)\n  | \t                   ^\n  = hint: `==` compares; `=` stands only behind `var name`";
    assert_eq!(found.caret(script), expected);
}

#[test]
fn accepted_scripts() {
    for script in [
        "",
        "foo",
        "var s = *",
        "stream|from().groupBy(*)",
        "stream|from() var x = 1",
        "stream|from().measurement 'a'",
        "1e3",
        "var x int",
        "var f = lambda: \"a\" =~ /a\\/b/ AND !\"c\" OR -\"d\" > 1.",
        "var r = /\\d+/",
        "var x = // why\n 5",
        "var l = ['a', b, *,]",
        "a@udf.x@udf(1,)",
        "dbrp \"db\".\"rp\" var x = 'it\\'s' var y = '''a'b''' var z = ''",
        "var µs = 1µ var é1 = 1u",
        "foo(1) + 2 a.b",
        ".5 1. -1",
        "var x = /a/ /b/",
    ] {
        if let Err(error) = parse(script) {
            panic!("{script:?}: {error}");
        }
    }
}

fn binary(text: &str) -> String {
    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Binary { operator, left, right, .. } => {
                format!("({} {} {})", show(left), operator.text(), show(right))
            }
            Kind::Unary { operator, operand } => format!("({}{})", operator.text(), show(operand)),
            Kind::Int { value, .. } => value.to_string(),
            Kind::Reference(name) => name.to_string(),
            other => format!("{other:?}"),
        }
    }
    show(&parse_lambda(text).unwrap())
}

#[test]
fn operators_bind_as_the_table_says() {
    for (text, expected) in [
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("1 OR 2 AND 3 == 4 < 5 + 6 * 7", "(1 OR (2 AND (3 == (4 < (5 + (6 * 7))))))"),
        ("1 * 2 + 3 < 4 == 5 AND 6 OR 7", "((((((1 * 2) + 3) < 4) == 5) AND 6) OR 7)"),
        ("!\"a\" == \"b\"", "((!a) == b)"),
        ("-\"a\" * 2", "((-a) * 2)"),
        ("1 * (2 + 3)", "(1 * (2 + 3))"),
        ("1 + 2 * 3 * 4 + 5", "((1 + ((2 * 3) * 4)) + 5)"),
    ] {
        assert_eq!(binary(text), expected, "{text}");
    }
}

#[test]
fn positions_are_of_operators_names_and_keywords() {
    let program =
        parse("var x = stream\n  |from()\n    .measurement('é') // c\nvar y = 1 + 2").unwrap();
    let Kind::Program(statements) = &program.kind else { panic!() };
    let place = |node: &Node| (node.position.line, node.position.column, node.position.offset);
    assert_eq!(place(&statements[0]), (1, 1, 0));
    let Kind::Declaration { value, .. } = &statements[0].kind else { panic!() };
    assert_eq!(place(value), (3, 5, 29));
    let Kind::Chain { left, right, .. } = &value.kind else { panic!() };
    assert_eq!(place(right), (3, 6, 30));
    assert_eq!(place(left), (2, 3, 17));
    assert_eq!(statements[1].comment.as_ref().unwrap().lines[..], [" c".into()]);
    let Kind::Declaration { value, .. } = &statements[1].kind else { panic!() };
    assert_eq!(place(value).1, 11);
}

#[test]
fn nesting_is_bounded_on_both_sides_of_the_edge() {
    // The outer expression is a level, and every parenthesis another one.
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    let levels = NESTING_MAX as usize;
    assert!(parse(&nested(levels - 2)).is_ok());
    assert!(error(&nested(levels - 1)).starts_with("parser: more than 200 levels line 1 char "));
    for open in ["(", "-", "!", "f(", "lambda: (", "a.b(", "a(lambda: ", "[", "a|b("] {
        assert!(parse(&open.repeat(100_000)).is_err(), "{open}");
    }
}

#[test]
fn chains_and_sums_are_bounded_on_both_sides_of_the_edge() {
    let depth = DEPTH_MAX as usize;
    for (first, more) in [("a", ".b"), ("a", "|b()"), ("1", "+1"), ("a", "@b")] {
        let script = |n: usize| format!("{first}{}", more.repeat(n));
        assert!(parse(&script(depth - 1)).is_ok(), "{more}");
        assert!(error(&script(depth)).starts_with("parser: more than 1000 levels"), "{more}");
    }
    // Chains inside of chains count as a whole.
    let inner = format!("a{}", "|b()".repeat(600));
    assert!(parse(&format!("f({inner}){}", "|b()".repeat(300))).is_ok());
    assert!(parse(&format!("f({inner}){}", "|b()".repeat(600))).is_err());
}

#[test]
fn the_length_of_a_script_is_bounded() {
    assert!(parse(&" ".repeat(SCRIPT_BYTES_MAX)).is_ok());
    assert_eq!(
        error(&" ".repeat(SCRIPT_BYTES_MAX + 1)),
        "parser: script is longer than 1048576 bytes"
    );
}

#[test]
fn the_number_of_patterns_is_bounded() {
    assert!(parse(&"/a/".repeat(PATTERNS_MAX as usize)).is_ok());
    let script = "/a/".repeat(PATTERNS_MAX as usize + 1);
    assert_eq!(error(&script), "parser: more than 1000 patterns");
}

#[test]
fn what_the_parser_accepts_fits_a_small_stack() {
    let run = || {
        let depth = DEPTH_MAX as usize;
        let nested = NESTING_MAX as usize - 2;
        let scripts = [
            format!("a{}", "|b()".repeat(depth - 1)),
            format!("1{}", "+1".repeat(depth - 1)),
            format!("{}1{}", "f(".repeat(nested / 2), ")".repeat(nested / 2)),
            format!("{}1{}", "(".repeat(nested), ")".repeat(nested)),
        ];
        for script in scripts {
            let node = parse(&script).unwrap();
            let other = node.clone();
            drop(node);
            assert_eq!(format!("{other:?}"), format!("{:?}", parse(&script).unwrap()));
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}
