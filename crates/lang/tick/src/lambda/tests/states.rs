//! Section 2.5: what is remembered, where, and how it is stored.

use super::*;
use crate::lambda::StateError;

fn values(text: &str, points: &[&str]) -> Vec<String> {
    let program = program(text);
    let mut state = program.state(7);
    let mut evaluator = program.evaluator();
    points
        .iter()
        .map(|fields| match evaluator.value(&point(fields), &[], &env(), &mut state) {
            Ok(value) => show(&value),
            Err(error) => error.to_string(),
        })
        .collect()
}

#[test]
fn two_calls_of_one_name_share_a_counter() {
    assert_eq!(values("count() + count()", &["", ""]), ["int 3", "int 7"]);
}

#[test]
fn a_lambda_in_a_lambda_has_its_own_counter() {
    let inner = Arc::new(node("count()"));
    let mut outer = node("\"f\" * 10 + count()");
    let crate::syntax::Kind::Binary { left, .. } = &mut outer.kind else { panic!() };
    let crate::syntax::Kind::Binary { left, .. } = &mut left.kind else { panic!() };
    left.kind = crate::syntax::Kind::Lambda(inner);
    let program = Arc::new(Program::compile(&outer).unwrap());
    let (mut one, mut other) = (program.state(0), program.state(0));
    let mut evaluator = program.evaluator();
    let mut next =
        |state: &mut State| show(&evaluator.value(&point(""), &[], &env(), state).unwrap());
    assert_eq!(next(&mut one), "int 11");
    assert_eq!(next(&mut one), "int 22");
    // Another group begins anew (U-3, U-6).
    assert_eq!(next(&mut other), "int 11");
}

#[test]
fn sigma_and_spread_follow_the_reference() {
    let points = ["v=1", "v=3", "v=2", "v=10"];
    let expected = ["float 0", "float 0.7071067811865475", "float 0", "float 1.4696938456699067"];
    assert_eq!(values("sigma(\"v\")", &points), expected);
    let expected = ["float 0", "float 2", "float 2", "float 9"];
    assert_eq!(values("spread(\"v\")", &points), expected);
}

#[test]
fn failed_typing_does_not_count() {
    let counted = values("count() + int(\"v\")", &["v=0", "", "v=0"]);
    assert_eq!((&*counted[0], &*counted[2]), ("int 1", "int 2"));
}

#[test]
fn short_circuit_hides_a_counter() {
    assert_eq!(
        values("if(\"v\" > 1 AND count() > 0, 1, 0) * 0 + count()", &["v=0", "v=2", "v=0"]),
        ["int 1", "int 3", "int 4"]
    );
}

#[test]
fn random_numbers_are_below_their_limit_and_depend_on_the_seed() {
    let program = program("rand(10)");
    let draw = |seed| {
        let mut state = program.state(seed);
        let mut evaluator = program.evaluator();
        (0..1000)
            .map(|_| evaluator.integer(&point(""), &[], &env(), &mut state).unwrap())
            .collect::<Vec<i64>>()
    };
    let first = draw(1);
    assert!(first.iter().all(|value| (0..10).contains(value)));
    assert!((0..10).all(|value| first.contains(&value)));
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
    check(
        value,
        &[
            ("rand(0)", "", "error calling \"rand\": limit must be greater than zero, got 0"),
            ("rand(1)", "", "int 0"),
            ("rand() >= 0", "", "boolean true"),
        ],
    );
}

#[test]
fn state_survives_storage() {
    let text = "if(sigma(\"v\") + spread(\"v\") > 100.0, 0, count()) * 1000 + rand(1000)";
    let program = program(text);
    let mut state = program.state(3);
    let mut evaluator = program.evaluator();
    let mut next = |state: &mut State, v: i64| {
        evaluator.integer(&point(&format!("v={v}.5")), &[], &env(), state).unwrap()
    };
    for v in 0..5 {
        next(&mut state, v);
    }
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    assert_eq!(bytes.len(), 1 + 4 * 25);
    let mut loaded = program.load_state(&bytes).unwrap();
    for v in [3, 9, 1] {
        assert_eq!(next(&mut state, v), next(&mut loaded, v));
    }

    let mut newer = bytes.clone();
    newer[0] = 9;
    assert_eq!(State::load(&newer), Err(StateError::Version(9)));
    assert_eq!(State::load(&bytes[..30]), Err(StateError::Damaged));
    assert_eq!(State::load(&bytes[..1]), Err(StateError::Damaged));
    let mut unknown = bytes.clone();
    unknown[1] = 77;
    assert_eq!(State::load(&unknown), Err(StateError::Damaged));
    assert_eq!(super::program("count()").load_state(&bytes), Err(StateError::Foreign));
}

#[test]
fn programs_without_state_store_nothing() {
    let program = program("\"v\" > 1");
    assert!(!program.is_stateful());
    let mut bytes = Vec::new();
    program.state(1).save(&mut bytes);
    assert!(bytes.is_empty());
    assert!(program.load_state(&[]).unwrap().is_empty());
    // State that was never made starts by itself.
    let counting = super::program("count()");
    let mut state = State::default();
    let mut evaluator = counting.evaluator();
    for expected in 1..4 {
        assert_eq!(evaluator.integer(&point(""), &[], &env(), &mut state), Ok(expected));
    }
}
