//! Bindings, bounds, warnings.

use super::*;
use crate::lambda::evaluator::BINDINGS_MAX;
use crate::lambda::program::{DEPTH_MAX, NODES_MAX, Names};
use crate::lambda::{CompileError, functions::TEXT_MAX};
use crate::syntax::{Kind, Operator};

#[test]
fn results_shadow_inputs() {
    let names: [Str; 3] = ["value".into(), "x".into(), "value".into()];
    let program = program("\"value\" * 2.0");
    let mut evaluator = Evaluator::with_earlier(program, &names);
    let input = point("value=10 #x=a");
    let mut next = |earlier: &[Value]| {
        evaluator.value(&input, earlier, &env(), &mut State::default()).map(|value| show(&value))
    };
    let results = [Value::Float(1.0), Value::Int(2), Value::Float(11.0)];
    assert_eq!(next(&results).unwrap(), "float 22");
    assert_eq!(
        next(&results[..1]).unwrap_err().to_string(),
        "invalid math operator * for type missing"
    );
    let program = super::program("string(\"x\")");
    let mut evaluator = Evaluator::with_earlier(program, &names[..2]);
    let text = evaluator.value(&input, &results[..2], &env(), &mut State::default()).unwrap();
    assert_eq!(show(&text), "string 2");
}

#[test]
fn integers_are_what_autoscaling_wants() {
    let names: [Str; 1] = ["currentField".into()];
    let program = program("\"currentField\" / 2 + 1");
    let mut evaluator = Evaluator::with_earlier(program, &names);
    let mut state = State::default();
    let input = point("v=1.5");
    let mut next = |value: Value| {
        evaluator.integer(&input, &[value], &env(), &mut state).map_err(|error| error.to_string())
    };
    assert_eq!(next(Value::Int(9)), Ok(5));
    let message = format!("mismatched type to binary operator. got float / int. {SEE}");
    assert_eq!(next(Value::Float(9.0)), Err(message));
    // One wrong type spoils nothing (U-17).
    assert_eq!(next(Value::Int(4)), Ok(3));
    let integer = |text: &str| {
        let program = super::program(text);
        program
            .evaluator()
            .integer(&input, &[], &env(), &mut State::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        integer("\"v\""),
        "TypeGuard: expression returned unexpected type float, expected int"
    );
    assert_eq!(integer("\"v\" + 1.0"), "expression returned unexpected type float64");
    assert_eq!(integer("\"x\" + 1"), "left reference value \"x\" is missing value");
}

#[test]
fn types_that_expressions_do_not_know_are_missing() {
    check(
        predicate,
        &[
            ("isPresent(\"u\")", "u=3u", "false"),
            ("isPresent(\"b\")", "b=bytes", "false"),
            ("\"u\" > 1", "u=3u", "left reference value \"u\" is missing value"),
            ("\"d\" > 1s", "d=2s", "true"),
        ],
    );
}

#[test]
fn bindings_follow_the_shape_of_each_point() {
    let program = program("\"v\" > 1");
    let mut evaluator = program.evaluator();
    let points: Vec<Point> = (0..BINDINGS_MAX * 2)
        .map(|index| {
            point(&format!("{}v={}i", "a=1 ".repeat(usize::from(index % 3 == 1)), index % 2 * 5))
        })
        .collect();
    for _ in 0..3 {
        for (index, point) in points.iter().enumerate() {
            let is = evaluator.predicate(point, &env(), &mut State::default()).unwrap();
            assert_eq!(is, index % 2 == 1, "{index}");
            let again = evaluator.predicate(&points[0], &env(), &mut State::default());
            assert_eq!(again, Ok(false));
        }
    }
}

#[test]
fn other_nodes_are_refused() {
    for (text, message) in [
        ("x > 1", "Failed to handle left node: name \"x\" is undefined. Names in scope: "),
        ("if(x, 1, 2)", "Failed to handle 1 argument: name \"x\" is undefined. Names in scope: "),
    ] {
        assert_eq!(Program::compile(&node(text)).unwrap_err().to_string(), message);
    }
    let mut star = node("1");
    star.kind = Kind::Star;
    let error = Program::compile(&star).unwrap_err();
    assert_eq!(error.to_string(), "invalid lambda expression: `*` is not a value");
}

#[test]
fn matches_of_handlers_have_names_of_their_own() {
    let names = Names { functions: &["changed", "level"], constants: &[("OK", 0), ("WARNING", 2)] };
    let expression = node("changed() == TRUE AND level() >= WARNING AND \"host\" =~ /^db/");
    let program = Arc::new(Program::compile_with(&expression, names).unwrap());
    assert_eq!(
        program.references().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["changed()", "level()", "host"]
    );
    let mut evaluator = Evaluator::with_earlier(
        Arc::clone(&program),
        &["changed()".into(), "level()".into(), "host".into()],
    );
    let mut is = |changed, level, host: &str| {
        let values = [Value::Bool(changed), Value::Int(level), Value::Str(host.into())];
        evaluator.predicate_of(&values, &env(), &mut State::default()).unwrap()
    };
    assert!(is(true, 3, "db1"));
    assert!(!is(true, 1, "db1"));
    assert!(!is(true, 3, "web1"));
    assert!(!is(false, 3, "db1"));
    let mut evaluator = Evaluator::with_earlier(program, &["changed()".into(), "level()".into()]);
    let values = [Value::Bool(true), Value::Int(2)];
    let error = evaluator.predicate_of(&values, &env(), &mut State::default()).unwrap_err();
    assert_eq!(error.to_string(), "left reference value \"host\" is missing value");
    let unknown = Program::compile_with(&node("FOO"), names).unwrap_err();
    assert_eq!(unknown, CompileError::Identifier("FOO".into()));
}

#[test]
fn calls_that_cannot_succeed_are_warned_of() {
    let warnings = |text: &str| program(text).warnings().join("; ");
    assert_eq!(warnings("foo(1) > 2 OR foo(2) > 3"), "undefined function: \"foo\"");
    assert_eq!(
        warnings("abs(1) > 2.0"),
        "Cannot call function \"abs\" with args (1: int), available signatures are [(float)]."
    );
    assert_eq!(
        warnings("strIndex(\"a\") > 2"),
        "Cannot call function \"strIndex\" with args (\"a\": any), available signatures are [(string,string)]."
    );
    assert_eq!(warnings("strReplace('a','b','c',1,2) == ''"), "too many arguments provided");
    assert_eq!(warnings("abs(\"a\") > 2.0 AND if(\"b\", 1, 2) > 1"), "");
}

/// Builds `!!…!TRUE`.
fn deep(levels: usize) -> crate::syntax::Node {
    (0..levels).fold(node("\"a\""), |inner, _| {
        let mut outer = node("TRUE");
        outer.kind = Kind::Unary { operator: Operator::Not, operand: Box::new(inner) };
        outer
    })
}

#[test]
fn depth_and_length_are_bounded() {
    let run = || {
        let error = Program::compile(&deep(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expression is nested too deeply: at most 1000 levels are allowed"
        );
        let program = Arc::new(Program::compile(&deep(DEPTH_MAX)).unwrap());
        let result = program.evaluator().predicate(&point("a=true"), &env(), &mut State::default());
        assert_eq!(result, Ok(true));

        let sum = vec!["\"a\""; 990].join(" + ");
        assert_eq!(value(&sum, "a=1i"), "int 990");
        assert_eq!(predicate(&format!("{sum} > 3"), "a=1.5"), "true");
        let calls = format!("{}\"a\"{}", "int(".repeat(150), ")".repeat(150));
        assert_eq!(value(&calls, "a=1.5"), "int 1");
        // Variables in variables nest calls deeper than a text can.
        for (innermost, fields, expected) in
            [("\"a\"", "a=1i", "int 1"), ("count()", "", "int 1"), ("foo()", "", "undefined")]
        {
            let calls = (0..DEPTH_MAX).fold(node(innermost), |inner, _| {
                let mut outer = node("int(1)");
                let Kind::Call(call) = &mut outer.kind else { panic!() };
                call.args = vec![inner];
                outer
            });
            let program = Arc::new(Program::compile(&calls).unwrap());
            let mut state = program.state(1);
            let result = program.evaluator().value(&point(fields), &[], &env(), &mut state);
            let text = result.map_or_else(|error| error.to_string(), |value| show(&value));
            assert!(text.contains(expected), "{text}");
        }
        let chain = vec!["\"a\" == 'x'"; 990].join(" OR ");
        assert_eq!(predicate(&chain, "a='y'"), "false");
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    // A chain of one logical operator may be as long as it likes, up to the number of nodes.
    let chain = |count: usize| {
        (1..count).fold(node("\"a\""), |left, _| {
            let mut outer = node("TRUE");
            outer.kind = Kind::Binary {
                operator: Operator::And,
                left: Box::new(left),
                right: Box::new(node("\"a\"")),
                in_parens: false,
                is_multi_line: false,
            };
            outer
        })
    };
    let run = move || {
        let long = chain(NODES_MAX - 1);
        let program = Arc::new(Program::compile(&long).unwrap());
        let result = program.evaluator().predicate(&point("a=true"), &env(), &mut State::default());
        assert_eq!(result, Ok(true));
        let error = Program::compile(&chain(NODES_MAX)).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "expression is too long: at most 65536 operands and operators are allowed"
            ),
            "{error}"
        );
    };
    // The tree itself is dropped by recursion; the parser never makes one that deep.
    std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn texts_are_bounded() {
    let half: Str = "x".repeat(TEXT_MAX / 2).into();
    let page: Str = "x".repeat(4096).into();
    let names: [Str; 2] = ["half".into(), "page".into()];
    let earlier = [Value::Str(half), Value::Str(page)];
    let run = |text: &str| {
        Evaluator::with_earlier(program(text), &names)
            .value(&point(""), &earlier, &env(), &mut State::default())
            .map(|value| format_value(&value).len())
            .map_err(|error| error.to_string())
    };
    let too_long = |bytes: usize| format!("text of {bytes} bytes is longer than {TEXT_MAX}");
    assert_eq!(run("\"half\" + \"half\""), Ok(TEXT_MAX));
    assert_eq!(run("\"half\" + \"half\" + 'y'"), Err(too_long(TEXT_MAX + 1)));
    assert_eq!(run("strReplace(\"page\", 'x', \"page\", -1)"), Ok(TEXT_MAX));
    let expected = format!("error calling \"strReplace\": {}", too_long(TEXT_MAX + 4096));
    assert_eq!(run("strReplace(\"page\", 'x', \"page\" + 'y', -1)"), Err(expected));
    assert_eq!(run("regexReplace(/x/, \"page\", \"page\")"), Ok(TEXT_MAX));
    let expected = format!("error calling \"regexReplace\": {}", too_long(TEXT_MAX + 1));
    assert_eq!(run("regexReplace(/x/, \"page\" + 'y', \"page\")"), Err(expected));
}

#[test]
fn programs_are_shared_and_errors_are_small() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&program("count() > 1"));
    assert!(size_of::<Result<Value, crate::lambda::EvalError>>() <= 32);
    assert_eq!(program("\"a\" > 1 AND \"b\" > \"a\"").references().len(), 2);
}

#[test]
fn a_sign_before_the_wrong_constant_fails_when_it_is_evaluated() {
    check(
        predicate,
        &[
            ("FALSE AND -TRUE", "", "invalid math operator - for type boolean"),
            ("-'a' == 'a'", "", "invalid math operator - for type string"),
            ("!1", "", "TypeGuard: expression returned unexpected type int, expected boolean"),
            ("!(1 + 1)", "", "expression returned unexpected type int64"),
            ("-1s < 0s", "", "true"),
        ],
    );
}
