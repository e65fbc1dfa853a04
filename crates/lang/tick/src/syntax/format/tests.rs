#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::syntax::{from_json, parse_lambda, to_json};

/// Formats, and checks that formatting again and the way over JSON change nothing.
fn check(script: &str, expected: &str) {
    let formatted = format(script).unwrap_or_else(|error| panic!("{script:?}: {error}"));
    assert_eq!(formatted, expected, "{script:?}");
    let again = format(&formatted).unwrap_or_else(|error| panic!("{formatted:?}: {error}"));
    assert_eq!(again, formatted, "formatted twice");
    let json = to_json(&parse(script).unwrap());
    let read = from_json(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(format_node(&read), formatted, "through {json}");
}

#[test]
fn chains_have_a_line_per_step() {
    check(
        "var x=stream|from().measurement('cpu').groupBy(*)|window().period(10s)@udf().a(1)   x|log()",
        "var x = stream\n    |from()\n        .measurement('cpu')\n        .groupBy(*)\n    |window()\n        .period(10s)\n    @udf()\n        .a(1)\n\nx\n    |log()\n",
    );
    check("a.b", "a\n        .b\n");
    check("", "");
    check("  \n", "");
}

#[test]
fn chains_inside_of_calls_stand_deeper() {
    check(
        "a|join(stream|from().x(1), b).as('a','b')",
        "a\n    |join(\n        stream\n            |from()\n                .x(1),\n        b\n    )\n        .as('a', 'b')\n",
    );
}

#[test]
fn what_spanned_lines_spans_lines() {
    check(
        "a|eval(lambda: \"a\",\nlambda: \"b\").as('a',\n'b')|x(\n)",
        "a\n    |eval(\n        lambda: \"a\",\n        lambda: \"b\"\n    )\n        .as(\n            'a',\n            'b'\n        )\n    |x()\n",
    );
    check(
        "var x = lambda: \"a\" > 1 AND\n\"b\" > 2 OR\n(\"c\" < 3\n AND TRUE)",
        "var x = lambda: \"a\" > 1 AND\n    \"b\" > 2 OR\n    (\"c\" < 3 AND\n        TRUE)\n",
    );
    // Also where the operator leads the line.
    check(
        "var x = lambda: \"a\" > 1\nAND \"b\" > 2\nOR \"c\" < 3",
        "var x = lambda: \"a\" > 1 AND\n    \"b\" > 2 OR\n    \"c\" < 3\n",
    );
    check(
        "a|where(lambda: \"a\" > 1 // one\n AND \"b\" < 2)",
        "a\n    |where(\n        lambda:\n        // one\n        \"a\" > 1 AND\n            \"b\" < 2\n    )\n",
    );
}

#[test]
fn literals_keep_their_form() {
    check(
        "var a = 0600 var b = 1. var c = .5 var d = 120m var e = '''it's''' var f = 'it\\'s' var g = /a\\/b\\d/ var h = 10000000000000000000000.0 var i=1µ",
        "var a = 0600\n\nvar b = 1.0\n\nvar c = 0.5\n\nvar d = 120m\n\nvar e = '''it's'''\n\nvar f = 'it\\'s'\n\nvar g = /a\\/b\\d/\n\nvar h = 10000000000000000000000.0\n\nvar i = 1µ\n",
    );
    check("var l=['a',b,*,]var t int", "var l = ['a', b, *]\n\nvar t int\n");
    check("dbrp \"a\".\"b\\\"\"", "dbrp \"a\".\"b\\\"\"\n");
    check("var x = '\n'", "var x = '\n'\n");
}

#[test]
fn only_parentheses_around_operators_stay() {
    check(
        "var x = lambda: ((\"a\")) + ((1 * 2)) - (f((1), (2+3))) AND !(\"x\" > 1) OR -(-(1)) > 2",
        "var x = lambda: \"a\" + (1 * 2) - f(1, (2 + 3)) AND !(\"x\" > 1) OR --1 > 2\n",
    );
}

#[test]
fn parentheses_stay_where_the_lexer_needs_them() {
    check("lambda: (/a/) == 1", "lambda: (/a/) == 1\n");
    check("lambda: (*)", "lambda: (*)\n");
    check("lambda: ((/a/) == 1)", "lambda: ((/a/) == 1)\n");
    check("var x = 1 + (/a/) + -(*) + 2 OR (*)", "var x = 1 + (/a/) + -(*) + 2 OR *\n");
    check(
        "var x = lambda: (1 * /a/) + 2 AND /a/ OR /a/ - 1",
        "var x = lambda: (1 * /a/) + 2 AND /a/ OR /a/ - 1\n",
    );
    check("'a' (-1)", "'a'\n\n(-1)\n");
    check("'a' (-1 + 2) (-1) + 2", "'a'\n\n(-1 + 2)\n\n(-1) + 2\n");
    check("a|b() (*) (/x/)", "a\n    |b()\n\n(*)\n\n(/x/)\n");
    check("a|b() -1", "a\n    |b()\n\n-1\n");
    check("a.b -1", "a\n        .b\n\n-1\n");
    check("var x int (*)", "var x int\n\n(*)\n");
    check("a // c\n *", "a\n\n// c\n*\n");
    check("var x = //c\n/a/", "var x =\n    // c\n    /a/\n");
}

#[test]
fn comments_stay_before_what_they_are_about() {
    check(
        "//head\n//   more\n\n// about x\nvar x = stream // trailing\n  // before from\n  |from() // after from\n  .where(lambda: /* */ 1)".replace("/* */", "").as_str(),
        "// head\n//   more\n\n// about x\nvar x = stream\n    // trailing\n    // before from\n    |from()\n        // after from\n        .where(lambda: 1)\n",
    );
    check("a|b() // last\n\n// of all", "a\n    |b()\n\n// last\n\n// of all\n");
    check("// only\n//\n", "// only\n//\n");
    check(
        "a|f(1, // one\n 2 // two\n)",
        "a\n    // two\n    |f(\n        1,\n        // one\n        2\n    )\n",
    );
    check(
        "var x = lambda: \"a\" // first\n AND // second\n \"b\" + ( // third\n 1)",
        "var x = lambda:\n// first\n\"a\" AND\n    // second\n    \"b\" +\n        // third\n        1\n",
    );
    check("var // n\n x = // e\n 5", "// n\nvar x =\n    // e\n    5\n");
    check("var x // t\n int", "// t\nvar x int\n");
    check(
        "dbrp // d\n \"a\" // e\n . // f\n \"b\" // g",
        "// d\n\n// e\n\n// f\ndbrp \"a\".\"b\"\n\n// g\n",
    );
    check(
        "var l = ['a', // b\n 'b' // c\n]",
        "var l =\n    // c\n    ['a',\n        // b\n        'b']\n",
    );
}

#[test]
fn lambdas_from_variables_stand_in_parentheses() {
    let inner = parse_lambda("\"x\" > 1").unwrap();
    let mut outer = parse_lambda("f AND TRUE").unwrap();
    if let Kind::Binary { left, .. } = &mut outer.kind {
        left.kind = Kind::Lambda(inner.into());
    }
    let node = Node::new(Default::default(), Kind::Lambda(outer.into()));
    assert_eq!(format_node(&node), "lambda: (\"x\" > 1) AND TRUE");
}
