#![expect(clippy::unwrap_used, reason = "tests")]

use levada_model::Str;

use super::*;
use crate::syntax::{Kind, Node, Operator, format_lambda, parse};
use crate::vars::{Vars, from_json, to_json};

/// A pipeline of a few nodes that writes down what is called.
#[derive(Default)]
struct Fake {
    types: Vec<&'static str>,
    calls: Vec<String>,
}

/// Properties, chaining methods and the type of the node that each makes.
const PROPERTIES: [&str; 6] = ["measurement", "groupBy", "where", "crit", "period", "log"];
const CHAINS: [(&str, &str); 5] = [
    ("from", "*pipeline.FromNode"),
    ("window", "*pipeline.WindowNode"),
    ("where", "*pipeline.WhereNode"),
    ("alert", "*pipeline.AlertNode"),
    ("join", "*pipeline.JoinNode"),
];

fn lower(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Lambda(body) => format!("lambda: {}", format_lambda(body)),
        Value::List(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Value::Object(object) => format!("#{}", object.0),
        Value::Regex(regex) => format!("/{}/", regex.pattern),
        Value::Str(text) => format!("'{text}'"),
        Value::TimeDimension { length, offset } => format!("time {length} {offset}"),
        other => format!("{other:?}"),
    }
}

impl Fake {
    fn note(&mut self, object: ObjectId, operator: char, name: &str, args: &[Value]) {
        let args: Vec<String> = args.iter().map(shown).collect();
        self.calls.push(format!("{}{operator}{name}({})", object.0, args.join(", ")));
    }
}

impl Objects for Fake {
    fn type_name(&self, object: ObjectId) -> String {
        self.types[object.0 as usize].to_owned()
    }

    fn members(&self, _: ObjectId, name: &str) -> Members {
        let name = lower(name);
        Members {
            property: PROPERTIES.contains(&name.as_str()),
            chain: CHAINS.iter().any(|(known, _)| *known == name),
            dynamic: name == "udf",
        }
    }

    fn chain(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError> {
        if name == "window" && self.types[object.0 as usize] == "*pipeline.WindowNode" {
            return Err(CallError::Call("cannot Window batch edge".into()));
        }
        if let [Value::Nil] = args[..] {
            return Err(CallError::Bare("nothing given".into()));
        }
        self.note(object, '|', name, &args);
        let (_, made) = CHAINS.into_iter().find(|(known, _)| *known == lower(name)).unwrap();
        self.types.push(made);
        Ok(ObjectId(self.types.len() as u32 - 1))
    }

    fn property(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError> {
        match (name, &args[..]) {
            ("measurement", [_, _, ..]) => {
                return Err(CallError::TooManyForField("Measurement".into()));
            }
            ("measurement", [Value::Reference(_)]) => return Err(CallError::ReferenceForString),
            ("measurement", [Value::Str(_)]) => {}
            ("measurement", [other]) => {
                let text = format!(
                    "reflect.Set: value of type {} is not assignable to type string",
                    other.go_type()
                );
                return Err(CallError::Call(text));
            }
            _ => {}
        }
        self.note(object, '.', name, &args);
        Ok(object)
    }

    fn dynamic(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Option<Vec<Value>>,
    ) -> Result<ObjectId, CallError> {
        self.note(object, '@', name, &args.unwrap_or(vec![Value::Nil]));
        Ok(object)
    }

    fn read(&self, object: ObjectId, name: &str) -> Option<Value> {
        PROPERTIES.contains(&name).then(|| Value::Str(format!("{name} of {}", object.0).into()))
    }
}

/// Adds and multiplies integers and joins texts; enough to see that expressions arrive without names.
fn fold(node: &Node) -> Result<Value, String> {
    match &node.kind {
        Kind::Int { value, .. } => Ok(Value::Int(*value)),
        Kind::String { value, .. } => Ok(Value::Str(value.clone())),
        Kind::Binary { operator, left, right, .. } => match (operator, fold(left)?, fold(right)?) {
            (Operator::Plus, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a + b)),
            (Operator::Multiply, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a * b)),
            (Operator::Plus, Value::Str(a), Value::Str(b)) => {
                Ok(Value::Str(format!("{a}{b}").into()))
            }
            _ => Err("no such operator".into()),
        },
        Kind::Reference(name) => Err(format!("name \"{name}\" is undefined. Names in scope: ")),
        other => Err(format!("{other:?}")),
    }
}

struct Run {
    calls: Vec<String>,
    outcome: Result<Outcome, ScriptError>,
}

fn run_with(script: &str, vars: &Vars, is_template: bool) -> Run {
    let program = parse(script).unwrap_or_else(|error| panic!("{script}: {error}"));
    let mut fake = Fake { types: vec!["*pipeline.StreamNode"], calls: Vec::new() };
    let options = Options { source: ("stream", ObjectId(0)), vars, is_template, fold: &fold };
    let outcome = evaluate(&program, &mut fake, &options);
    Run { calls: fake.calls, outcome }
}

fn calls(script: &str) -> Vec<String> {
    let run = run_with(script, &Vars::new(), false);
    run.outcome.unwrap_or_else(|error| panic!("{script}: {error}"));
    run.calls
}

fn error(script: &str) -> String {
    run_with(script, &Vars::new(), false).outcome.expect_err(script).to_string()
}

fn vars(text: &str) -> Vars {
    from_json(&serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn chains_call_objects_from_left_to_right() {
    assert_eq!(
        calls("var a = stream|from().measurement('cpu') a|window().Period(10s)@udf(1)@udf"),
        [
            "0|from()",
            "1.measurement('cpu')",
            "1|window()",
            "2.Period(Duration(10000000000))",
            "2@udf(Int(1))",
            "2@udf(Nil)",
        ]
    );
    assert_eq!(calls("stream|join(stream|from(), stream)"), ["0|from()", "0|join(#1, #0)"]);
}

#[test]
fn arguments_are_values() {
    for (args, expected) in [
        ("'a', *", "'a', Star"),
        ("['a', 'b']", "'a', 'b'"),
        ("l", "'x', Star"),
        ("l, 'y'", "['x' Star], 'y'"),
        ("[s, 'b']", "'text', 'b'"),
        ("-5, -1.5, -10s, !TRUE", "Int(-5), Float(-1.5), Duration(-10000000000), Bool(false)"),
        ("1 + n * 2", "Int(15)"),
        ("s + 'ual'", "'textual'"),
        ("time(10s), time(1m, -5s)", "time 10000000000 0, time 60000000000 -5000000000"),
        ("lambda: \"v\" > n AND \"h\" =~ r", "lambda: \"v\" > 7 AND \"h\" =~ /x\\/y/"),
        ("lambda: f AND f(s, -n)", "lambda: (\"a\" > 7) AND f('text', -7)"),
        ("lambda: \"t\" > d", "lambda: \"t\" > 90s"),
        ("\"ref\"", "Reference(\"ref\")"),
    ] {
        let script = format!(
            "var n = 7 var s = 'text' var l = ['x', *] var r = /x\\/y/ var d = 90s var f = lambda: \"a\" > n stream.groupBy({args})"
        );
        assert_eq!(calls(&script), [format!("0.groupBy({expected})")], "{args}");
    }
}

#[test]
fn mistakes_have_the_texts_of_the_original() {
    for (script, expected) in [
        (
            "stream|from().measurement(1)",
            "line 1 char 15: error calling func \"measurement\" on obj *pipeline.FromNode: reflect.Set: value of type int64 is not assignable to type string",
        ),
        (
            "stream|from().foo('a')",
            "line 1 char 15: no method or property \"foo\" on *pipeline.FromNode",
        ),
        (
            "stream|from()|foo()",
            "line 1 char 15: no method or property \"foo\" on *pipeline.FromNode",
        ),
        (
            "stream|from()\n    @foo()",
            "line 2 char 6: no method or property \"foo\" on *pipeline.FromNode",
        ),
        (
            "stream|from().measurement(\"v\")",
            "line 1 char 15: cannot assign *ast.ReferenceNode to type string, did you use double quotes instead of single quotes?",
        ),
        (
            "stream|from().measurement('a', 'b')",
            "line 1 char 15: too many arguments to set property Measurement on *pipeline.FromNode",
        ),
        (
            "stream|period()",
            "line 1 char 8: no chaining method \"period\" on *pipeline.StreamNode, but property does exist. Use '.' operator instead: 'node.period(..)'.",
        ),
        (
            "stream|udf()",
            "line 1 char 8: no chaining method \"udf\" on *pipeline.StreamNode, but dynamic method does exist. Use '@' operator instead: 'node@udf(..)'.",
        ),
        (
            "stream.from()",
            "line 1 char 8: no property method \"from\" on *pipeline.StreamNode, but chaining method does exist. Use '|' operator instead: 'node|from(..)'.",
        ),
        (
            "stream.udf()",
            "line 1 char 8: no property method \"udf\" on *pipeline.StreamNode, but dynamic method does exist. Use '@' operator instead: 'node@udf(..)'.",
        ),
        (
            "stream@period()",
            "line 1 char 8: no dynamic method \"period\" on *pipeline.StreamNode, but property does exist. Use '.' operator instead: 'node.period(..)'.",
        ),
        (
            "stream@from",
            "line 1 char 8: no dynamic method \"from\" on *pipeline.StreamNode, but chaining method does exist. Use '|' operator instead: 'node|from(..)'.",
        ),
        ("stream.nothing", "line 1 char 8: object *pipeline.StreamNode has no property nothing"),
        ("var x = 1 x|from()", "line 1 char 13: cannot get properties of non pointer value"),
        ("stream.period.x", "line 1 char 15: cannot get properties of non pointer value"),
        (
            "stream|from()|window().period(5s)|window().period(5s)",
            "line 1 char 35: error calling func \"window\" on obj *pipeline.WindowNode: cannot Window batch edge",
        ),
        ("batch|query('x')", "name \"batch\" is undefined. Names in scope: stream,time"),
        ("var x = 1\nvar x = 2", "attempted to redefine x, vars are immutable"),
        ("var stream = 1", "attempted to redefine stream, vars are immutable"),
        ("var time = 1", "attempted to redefine time, vars are immutable"),
        ("stream|from().measurement(y)", "name \"y\" is undefined. Names in scope: stream,time"),
        (
            "var a = 1 var b = 2 stream|from().where(lambda: y)",
            "name \"y\" is undefined. Names in scope: a,b,stream,time",
        ),
        ("var p int\nstream|from()", "missing value for var \"p\"."),
        ("var p foo", "invalid var type \"foo\""),
        ("foo(1)", "line 1 char 1: no global function \"foo\" defined"),
        ("stream.groupBy(foo())", "line 1 char 16: no global function \"foo\" defined"),
        ("stream.groupBy(time(1s, 2s, 3s))", "time() function expects 1 or 2 args, got 3"),
        ("stream.groupBy(time())", "time() function expects 1 or 2 args, got 0"),
        ("var x = -'a'", "line 1 char 9: invalid arugument to '-' a"),
        ("var x = !5", "line 1 char 9: invalid arugument to '!' 5"),
        ("1 + \"a\"", "name \"a\" is undefined. Names in scope: "),
        ("var a = stream\nvar b = a + 1", "unsupported literal type *pipeline.StreamNode"),
        ("var a = \"r\"\nvar b = a + 1", "unsupported literal type *ast.ReferenceNode"),
        ("stream|from(v)", "name \"v\" is undefined. Names in scope: stream,time"),
    ] {
        assert_eq!(error(script), expected, "{script}");
    }
}

#[test]
fn mistakes_are_shown_in_their_line() {
    let script = "var crit = 5\nstream|where(lambda: \"v\" > Crit)";
    let found = run_with(script, &Vars::new(), false).outcome.unwrap_err();
    assert_eq!(
        found.caret(script),
        "  |\n2 | stream|where(lambda: \"v\" > Crit)\n  |                            ^^^^\n  = hint: `crit` is defined"
    );
}

#[test]
fn variables_are_recorded_with_type_and_description() {
    let script = "// How often.\n//\n//  indented\nvar period = 10s\n// one\n\n// two\nvar f = lambda: \"a\" > 1\nvar s = stream\nvar l = ['a', *]";
    let outcome = run_with(script, &Vars::new(), false).outcome.unwrap();
    let expected = serde_json::json!({
        "f": {"type": "lambda", "value": "\"a\" > 1", "description": "one\n\n\ntwo"},
        "l": {"type": "list", "value": [{"type": "string", "value": "a"}, {"type": "star", "value": null}], "description": ""},
        "period": {"type": "duration", "value": 10_000_000_000i64, "description": "How often.\n indented"},
    });
    assert_eq!(to_json(&outcome.vars), expected);
}

#[test]
fn given_values_replace_defaults() {
    let given = vars(
        r#"{"n": {"type": "int", "value": 9}, "s": {"type": "string", "value": "b"}, "other": {"type": "int", "value": 1}}"#,
    );
    let run = run_with("var n = 5 var s string stream.groupBy(n + 1, s)", &given, false);
    let outcome = run.outcome.unwrap();
    assert_eq!(run.calls, ["0.groupBy(Int(10), 'b')"]);
    assert_eq!(to_json(&outcome.vars)["n"]["value"], 5);
    assert_eq!(to_json(&outcome.vars)["s"]["value"], serde_json::Value::Null);
    let warning = "variable `other` is given, but the script does not declare it";
    assert_eq!(outcome.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [warning]);

    for script in ["var n = TRUE", "var n bool"] {
        let error = run_with(script, &given, false).outcome.unwrap_err().to_string();
        assert_eq!(error, "invalid type supplied for n, got int exp boolean");
    }
}

#[test]
fn templates_need_no_values() {
    let script = "var a int var b float var c string var d bool var e regex var f lambda var g list var h star var i duration\nstream.groupBy(a, b, c, d, e, g, h, i).where(lambda: f AND \"x\" =~ e)";
    let run = run_with(script, &Vars::new(), true);
    let outcome = run.outcome.unwrap();
    assert_eq!(
        run.calls,
        [
            "0.groupBy(Int(0), Float(0.0), '', Bool(false), //, [], Star, Duration(0))",
            "0.where(lambda: (TRUE) AND \"x\" =~ /(?:)/)",
        ]
    );
    assert!(outcome.vars.values().all(|var| var.value.is_none()));
    assert_eq!(outcome.vars.len(), 9);
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let script =
        "stream|from().measurement 'a'\nfoo\nstream\ntime(1s)\n1 + 2\nvar x = 1\nlambda: x";
    let outcome = run_with(script, &Vars::new(), false).outcome.unwrap();
    let found: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
    let useless = "statement has no effect; perhaps parentheses are missing before it";
    assert_eq!(
        found,
        [
            "line 1 char 15: property `measurement` is only read, which has no effect; to set it, write `.measurement(value)`".to_owned(),
            format!("line 1 char 27: {useless}"),
            "line 2 char 1: `foo` alone has no effect".to_owned(),
            "line 3 char 1: `stream` alone has no effect".to_owned(),
            "line 4 char 1: the result of `time()` is not used".to_owned(),
            format!("line 5 char 3: {useless}"),
            format!("line 7 char 1: {useless}"),
        ]
    );
    assert!(outcome.warnings[1].caret(script).contains("^"));
}

#[test]
fn copies_of_copies_are_bounded() {
    let doubling = |first: &str, next: &dyn Fn(usize) -> String| {
        let mut script = first.to_owned();
        (1..64).for_each(|n| script.push_str(&next(n)));
        script
    };
    let lambdas = doubling("var a0 = lambda: \"x\"", &|n| {
        format!("\nvar a{n} = lambda: a{} AND a{}", n - 1, n - 1)
    });
    let lists = doubling("var a0 = ['x']", &|n| format!("\nvar a{n} = [a{}, a{}]", n - 1, n - 1));
    for script in [lambdas, lists] {
        let found = error(&script);
        assert!(found.ends_with("the script has more than 1048576 values"), "{found}");
    }
    let texts = doubling("var a0 = 'xxxxxxxxxxxxxxxx'", &|n| {
        format!("\nvar a{n} = a{} + a{}", n - 1, n - 1)
    });
    let found = error(&texts);
    assert!(
        found.ends_with("the expressions of the script make more than 16777216 bytes of text"),
        "{found}"
    );

    // Functions make more than they take.
    let mut script = "var a = 'xxxxxxxxxxxxxxxx'\nvar b = strReplace(a, '', a, -1) + ''\nvar c = strReplace(b, '', b, -1) + ''".to_owned();
    (0..300)
        .for_each(|n| script.push_str(&format!("\nvar d{n} = strReplace(c, 'x', 'x', -1) + ''")));
    let mut fake = Fake { types: vec!["*pipeline.StreamNode"], calls: Vec::new() };
    let vars = Vars::new();
    let options = Options {
        source: ("stream", ObjectId(0)),
        vars: &vars,
        is_template: false,
        fold: &crate::lambda::fold,
    };
    let found = evaluate(&parse(&script).unwrap(), &mut fake, &options).unwrap_err().to_string();
    assert!(found.ends_with("make more than 16777216 bytes of text"), "{found}");

    let mut deep = "var a0 = lambda: \"x\"".to_owned();
    (1..1_200).for_each(|n| deep.push_str(&format!("\nvar a{n} = lambda: !a{}", n - 1)));
    let found = error(&deep);
    assert!(found.ends_with("the expression has more than 1000 levels"), "{found}");
}

#[test]
fn names_in_both_cases_of_their_first_letter_are_one() {
    assert_eq!(calls("stream|From()"), ["0|From()"]);
}

#[test]
fn a_source_may_be_called_batch() {
    let program = parse("batch|from() var stream = 1").unwrap();
    let mut fake = Fake { types: vec!["*pipeline.BatchNode"], calls: Vec::new() };
    let vars = Vars::new();
    let options =
        Options { source: ("batch", ObjectId(0)), vars: &vars, is_template: false, fold: &fold };
    let outcome = evaluate(&program, &mut fake, &options).unwrap();
    assert_eq!(outcome.vars.keys().collect::<Vec<_>>(), ["stream"]);
}

mod soup {
    use proptest::prelude::*;

    use super::*;

    const STATEMENTS: [&str; 16] = [
        "var a = 1",
        "var b = lambda: \"x\" > a",
        "var c = ['s', *, a]",
        "var d = c",
        "var e string",
        "stream|from()",
        "var f = stream|from().measurement(e)",
        "f|where(b).groupBy(c)",
        "a + e",
        "var g = -a",
        "foo",
        "lambda: b AND b",
        "time(1s)",
        "f@udf",
        "dbrp \"a\".\"b\"",
        "f.period",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..Default::default() })]

        #[test]
        fn any_order_of_statements(order in prop::collection::vec(0..STATEMENTS.len(), 0..12), is_template: bool) {
            let script = order.iter().map(|at| STATEMENTS[*at]).collect::<Vec<_>>().join("\n");
            let run = run_with(&script, &Vars::new(), is_template);
            if let Err(error) = run.outcome {
                prop_assert!(!error.message.is_empty());
                prop_assert!(error.caret(&script).contains('^'));
            }
        }
    }
}

#[test]
fn an_expression_alone_is_a_script_of_one_statement() {
    let node =
        Node::new(Default::default(), Kind::String { value: Str::from("x"), is_triple: false });
    let mut fake = Fake { types: vec!["*pipeline.StreamNode"], calls: Vec::new() };
    let vars = Vars::new();
    let options =
        Options { source: ("stream", ObjectId(0)), vars: &vars, is_template: false, fold: &fold };
    assert_eq!(evaluate(&node, &mut fake, &options).unwrap().warnings.len(), 1);
}

#[test]
fn constant_expressions_reach_the_lambda_engine() {
    let run = |script: &str| {
        let mut fake = Fake { types: vec!["*pipeline.StreamNode"], calls: Vec::new() };
        let vars = Vars::new();
        let options = Options {
            source: ("stream", ObjectId(0)),
            vars: &vars,
            is_template: false,
            fold: &crate::lambda::fold,
        };
        let outcome = evaluate(&parse(script).unwrap(), &mut fake, &options);
        outcome.map(|_| fake.calls.join(" ")).unwrap_or_else(|error| error.to_string())
    };
    for (script, expected) in [
        ("var a = 'a' stream.groupBy(a + 'b')", "0.groupBy('ab')"),
        ("var a = 2 stream.groupBy(a * 1m, -a * 2)", "0.groupBy(Duration(120000000000), Int(-4))"),
        ("stream.groupBy(1 + 2 == 3)", "0.groupBy(Bool(true))"),
        ("var f = lambda: 1 > 2 stream.groupBy(f OR 'a' =~ /a/)", "0.groupBy(Bool(true))"),
        ("1 + \"a\"", "name \"a\" is undefined. Names in scope: "),
        ("1 / 0", "runtime error: integer divide by zero"),
    ] {
        assert_eq!(run(script), expected, "{script}");
    }
}

#[test]
fn deep_lambdas_of_variables_compile_on_a_small_stack() {
    let mut script = "var a0 = lambda: \"x\"".to_owned();
    (1..400).for_each(|n| script.push_str(&format!("\nvar a{n} = lambda: !a{}", n - 1)));
    let outcome = run_with(&script, &Vars::new(), false).outcome.unwrap();
    let Some(Value::Lambda(body)) = &outcome.vars["a399"].value else { panic!() };
    let body = body.clone();
    let compile = move || crate::lambda::Program::compile(&body).map(drop).unwrap();
    std::thread::Builder::new().stack_size(2 << 20).spawn(compile).unwrap().join().unwrap();
}
