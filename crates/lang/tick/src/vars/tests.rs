#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

#[test]
fn every_type_is_read_and_written() {
    let written = json!({
        "a": {"type": "bool", "value": true, "description": ""},
        "b": {"type": "int", "value": i64::MIN, "description": "smallest"},
        "c": {"type": "float", "value": 4.5, "description": ""},
        "d": {"type": "string", "value": "x", "description": ""},
        "e": {"type": "regex", "value": "^a/b\\d$", "description": ""},
        "f": {"type": "duration", "value": 300_000_000_000i64, "description": ""},
        "g": {"type": "lambda", "value": "\"host\" == 'a'", "description": ""},
        "h": {"type": "list", "value": [{"type": "string", "value": "host"}, {"type": "star", "value": null}], "description": ""},
        "i": {"type": "star", "value": null, "description": ""},
        "j": {"type": "float", "value": null, "description": ""},
    });
    assert_eq!(to_json(&from_json(&written).unwrap()), written);
    assert!(from_json(&Json::Null).unwrap().is_empty());
}

#[test]
fn numbers_and_durations_have_several_forms() {
    let read = from_json(&json!({
        "f": {"type": "float", "value": 4},
        "g": {"type": "float", "value": 1e300},
        "d": {"type": "duration", "value": "1h30m"},
    }))
    .unwrap();
    let written = to_json(&read);
    assert_eq!(written["f"]["value"].to_string(), "4");
    assert_eq!(written["g"]["value"].to_string().parse::<f64>(), Ok(1e300));
    assert_eq!(written["d"]["value"], 5_400_000_000_000i64);
}

#[test]
fn mistakes_have_the_texts_of_the_original() {
    for (var, expected) in [
        (json!({"type": "foo", "value": 1}), "unknown VarType foo"),
        (json!({"value": 1}), "unknown VarType "),
        (json!(5), "unknown VarType "),
        (
            json!({"type": "lambda", "value": "\"a\" >"}),
            "invalid lambda expression: parser: unexpected EOF line 1 char 6 in \"\"a\" >\". expected: \"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\"",
        ),
        (
            json!({"type": "regex", "value": "x("}),
            "invalid regex pattern: error parsing regexp: missing closing ): `x(`",
        ),
        (
            json!({"type": "duration", "value": true}),
            "invalid var {duration true }: expected int or string value",
        ),
        (
            json!({"type": "duration", "value": 1.5, "description": "d"}),
            "invalid var {duration 1.5 d}: expected int or string value",
        ),
        (json!({"type": "duration", "value": "x"}), "invalid duration"),
        (json!({"type": "int", "value": "5"}), "unexpected var type int, value is a string"),
        (json!({"type": "int", "value": 5.5}), "mismatched type and value: 5.5 int"),
        (json!({"type": "int", "value": true}), "mismatched type and value: true int"),
        (json!({"type": "string", "value": 5}), "mismatched type and value: 5 string"),
        (json!({"type": "list", "value": "x"}), "invalid var {list x }: expected list of vars"),
        (
            json!({"type": "list", "value": ["x"]}),
            "invalid var {list [\"x\"] }: expected list of vars",
        ),
        (
            json!({"type": "list", "value": [{"value": 1}]}),
            "invalid var {list [{\"value\":1}] }: expected list type key in object",
        ),
        (
            json!({"type": "list", "value": [{"type": "star"}]}),
            "invalid var {list [{\"type\":\"star\"}] }: expected list value key in object",
        ),
    ] {
        assert_eq!(from_json(&json!({"x": var})).unwrap_err(), expected);
    }
    assert_eq!(from_json(&json!([])).unwrap_err(), "expected an object of vars");
}

#[test]
fn lists_inside_each_other_are_bounded() {
    let nested = |levels: usize| {
        let inner = json!({"type": "list", "value": []});
        (1..levels).fold(inner, |inner, _| json!({"type": "list", "value": [inner]}))
    };
    assert!(from_json(&json!({"x": nested(16)})).is_ok());
    assert!(
        from_json(&json!({"x": nested(17)}))
            .unwrap_err()
            .ends_with("too many lists inside each other")
    );
}

#[test]
fn what_json_has_no_number_for_is_a_text() {
    for (value, text) in [(f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")] {
        let var =
            Var { kind: Type::Float, value: Some(Value::Float(value)), description: "".into() };
        let written = to_json(&Vars::from([("x".to_owned(), var)]));
        assert_eq!(written["x"]["value"], text);
        let read = from_json(&written).unwrap();
        let Some(Value::Float(read)) = read["x"].value else { panic!() };
        assert_eq!(read.to_bits(), value.to_bits());
    }
}

proptest! {
    #[test]
    fn floats_keep_their_value(value: f64) {
        prop_assume!(value.is_finite());
        let var = Var { kind: Type::Float, value: Some(Value::Float(value)), description: "".into() };
        let text = to_json(&Vars::from([("x".to_owned(), var)])).to_string();
        let read = from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        let Some(Value::Float(read)) = read["x"].value else { panic!() };
        prop_assert_eq!(read, value);
    }

    #[test]
    fn any_var(word in "bool|int|float|string|regex|duration|lambda|list|star|x", text in "\\PC{0,20}", number: i64) {
        for value in [json!(text), json!(number), json!([{"type": word, "value": text}])] {
            let _read = from_json(&json!({"x": {"type": word, "value": value}}));
        }
    }
}
