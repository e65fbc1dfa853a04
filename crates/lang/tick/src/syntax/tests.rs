//! Properties of reading and writing: nothing panics, nothing is lost, writing twice changes nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// Scripts as people write them, to be mutated.
const SCRIPTS: [&str; 6] = [
    "// how long\nvar period = 10s\n\nvar data = stream\n    |from()\n        .database('telegraf')\n        .measurement('cpu')\n        .groupBy(*)\n        .where(lambda: \"cpu\" == 'cpu-total' AND \"host\" =~ /^a\\/[0-9]+$/)\n    |window().period(period).every(period)\n",
    "dbrp \"telegraf\".\"autogen\"\nvar crit = lambda: (\"usage\" + 1.5) * 2.0 > 80.0 OR !isPresent(\"x\")\nstream|from()|alert().crit(lambda: crit AND TRUE).message('''{{ .ID }} is {{ .Level }}''').slack()",
    "var l = ['a', b, *,]\nvar t string\nbatch|query('SELECT \\'x\\' FROM y').groupBy(time(1m, -5s), 'h') // why\n |join(a, b\n).as('x','y')@udf.z(0600)",
    "1 + 2 * 3 - (4 / 5) % 6 // c\n\n// d\n'a' (-1) foo(1,\n2)",
    "var x = /a(b|c)*\\d{2,3}[^\\]x]/\nvar y = -5\nvar z = !TRUE\na|b(lambda: x, [*])",
    "a.b @c var é = 1µ lambda: \"a\\\"b\" < 1w AND // e\n \"c\" != 2d",
];

const WORDS: [&str; 46] = [
    "var", "dbrp", "lambda:", "TRUE", "FALSE", "AND", "OR", "stream", "x", "f(", "(", ")", "[",
    "]", ",", ".", "|", "@", "=", "==", "!=", "=~", "!~", "<", "<=", ">", ">=", "+", "-", "*", "/",
    "%", "!", "'a'", "'''b'''", "\"c\"", "/d/", "1", "010", "1.5", "10s", "// e\n", "\n",
    "// f\n\n", "'g\n'", "µ",
];

/// Checks what must hold for every text.
fn check(script: &str) -> Result<(), TestCaseError> {
    let program = match parse(script) {
        Ok(program) => program,
        Err(error) => {
            prop_assert!(error.message.starts_with("parser: "), "{}", error);
            prop_assert!(error.position.offset as usize <= script.len());
            prop_assert!(error.end as usize <= script.len());
            let _shown = error.caret(script);
            return Ok(());
        }
    };
    let formatted = format_node(&program);
    let again = match parse(&formatted) {
        Ok(again) => again,
        Err(error) => {
            return Err(TestCaseError::fail(format!("{script:?} became {formatted:?}: {error}")));
        }
    };
    prop_assert_eq!(&format_node(&again), &formatted, "formatted twice: {:?}", script);
    prop_assert_eq!(meaning(&again), meaning(&program), "formatted: {:?} {:?}", script, formatted);
    let json = to_json(&program);
    match from_json(&json) {
        Ok(read) => prop_assert_eq!(&format_node(&read), &formatted, "{}", json),
        // Nanoseconds have no literal, three quotes before a backslash neither; neither comes from a script.
        Err(error) => return Err(TestCaseError::fail(format!("{script:?} as {json}: {error}"))),
    }
    Ok(())
}

/// Writes a tree without places, comments and layout.
fn meaning(node: &Node) -> String {
    let mut bare = node.clone();
    strip(&mut bare);
    format!("{bare:?}")
}

fn strip(node: &mut Node) {
    node.position = Position::default();
    node.comment = None;
    match &mut node.kind {
        Kind::Program(nodes) | Kind::List(nodes) => nodes.iter_mut().for_each(strip),
        Kind::Declaration { name: a, value: b }
        | Kind::TypeDeclaration { name: a, type_name: b }
        | Kind::Chain { left: a, right: b, .. } => {
            strip(a);
            strip(b);
        }
        Kind::Binary { left, right, is_multi_line, .. } => {
            *is_multi_line = false;
            strip(left);
            strip(right);
        }
        Kind::Call(call) => {
            call.is_multi_line = false;
            call.args.iter_mut().for_each(strip);
        }
        Kind::Lambda(body) => {
            let mut inner = (**body).clone();
            strip(&mut inner);
            *body = inner.into();
        }
        Kind::Unary { operand, .. } => strip(operand),
        _ => {}
    }
}

#[test]
fn scripts_of_people() {
    for script in SCRIPTS {
        assert!(parse(script).is_ok(), "{script}: {}", parse(script).unwrap_err());
        check(script).unwrap();
    }
}

#[test]
fn long_chains_survive_every_walk() {
    let chain = format!("a{}", "|b(1).c".repeat(DEPTH_MAX as usize / 2 - 1));
    let sum = format!("var x = 1{}", " + 2".repeat(DEPTH_MAX as usize - 3));
    for script in [chain, sum] {
        check(&script).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 2_000, ..Default::default() })]

    #[test]
    fn any_text(script in "\\PC{0,60}") {
        check(&script)?;
    }

    #[test]
    fn any_words(words in prop::collection::vec((0..WORDS.len(), any::<bool>()), 0..24)) {
        let script: String = words
            .iter()
            .flat_map(|(word, spaced)| [WORDS[*word], if *spaced { " " } else { "" }])
            .collect();
        check(&script)?;
    }

    #[test]
    fn scripts_with_words_replaced(
        which in 0..SCRIPTS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, 0..WORDS.len()), 1..4),
    ) {
        let mut chars: Vec<char> = SCRIPTS[which].chars().collect();
        for (at, removed, word) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, WORDS[word].chars());
        }
        check(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn durations_read_as_they_were_written(nanos: i64) {
        prop_assert_eq!(parse_duration(&format_duration(nanos)), Ok(nanos));
    }

    #[test]
    fn any_duration_text(text in "-?[0-9a-zµ ]{0,30}") {
        let _read = parse_duration(&text);
    }

    #[test]
    fn any_pattern(pattern in "[a-z0-9\\[\\]\\\\(){}*+?|^$.:<>=!,PQEdwsbpLx-]{0,24}") {
        let _compiled = ast::Regex::compile(&pattern);
    }

    #[test]
    fn any_json(json in tree()) {
        if let Ok(node) = from_json(&json) {
            let text = format_node(&node);
            if let Kind::Program(_) = node.kind {
                prop_assert_eq!(format(&text).unwrap(), text);
            }
        }
    }
}

/// Gives JSON that is a tree, or nearly.
fn tree() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;

    let word = || "[a-c'\"/\\\\ .]{0,3}|var|x";
    let operator = || prop::sample::select(Operator::ALL.map(Operator::text).to_vec());
    let leaf = prop_oneof![
        word().prop_map(|text| json!({"typeOf": "identifier", "ident": text})),
        word().prop_map(|text| json!({"typeOf": "string", "literal": text, "triple": true})),
        word().prop_map(|text| json!({"typeOf": "string", "literal": text})),
        word().prop_map(|text| json!({"typeOf": "reference", "reference": text})),
        word().prop_map(|text| json!({"typeOf": "regex", "regex": text})),
        any::<i8>().prop_map(|n| json!({"typeOf": "number", "isint": true, "int64": n})),
        any::<f32>().prop_map(|n| json!({"typeOf": "number", "float64": n})),
        Just(json!({"typeOf": "duration", "duration": "10s"})),
        Just(json!({"typeOf": "star"})),
        Just(json!({"typeOf": "bool", "bool": true})),
        Just(json!({"typeOf": "comment", "comments": ["x"]})),
    ];
    leaf.prop_recursive(5, 40, 3, move |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        let pair = || (inner.clone(), inner.clone(), operator());
        let function = prop::sample::select(vec!["global", "chain", "property", "dynamic"]);
        prop_oneof![
            list().prop_map(|nodes| json!({"typeOf": "program", "nodes": nodes})),
            list().prop_map(|nodes| json!({"typeOf": "list", "nodes": nodes})),
            (list(), function).prop_map(|(args, kind)| {
                json!({"typeOf": "func", "functionType": kind, "func": "f", "args": args})
            }),
            pair().prop_map(|(left, right, operator)| {
                json!({"typeOf": "binary", "left": left, "right": right, "operator": operator})
            }),
            pair().prop_map(|(left, right, operator)| {
                json!({"typeOf": "chain", "left": left, "right": right, "operator": operator})
            }),
            pair().prop_map(|(left, right, _)| {
                json!({"typeOf": "declaration", "left": left, "right": right})
            }),
            pair().prop_map(|(node, _, operator)| {
                json!({"typeOf": "unary", "node": node, "operator": operator})
            }),
            inner.prop_map(|node| json!({"typeOf": "lambda", "expression": node})),
        ]
    })
    .prop_map(|node| json!({"typeOf": "program", "nodes": [node]}))
}
