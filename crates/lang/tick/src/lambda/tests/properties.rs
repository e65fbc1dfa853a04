//! Random expressions on random points: nothing panics, and what comes out is what a naive evaluator says.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::lambda::functions::FAMILIES;
use crate::lambda::value::Type;
use crate::syntax::ast::{Call, CallKind, Position, Regex};
use crate::syntax::{Kind, Operator};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "time"];

const OPERATORS: [Operator; 15] = [
    Operator::Plus,
    Operator::Minus,
    Operator::Multiply,
    Operator::Divide,
    Operator::Modulo,
    Operator::Equal,
    Operator::NotEqual,
    Operator::Less,
    Operator::LessEqual,
    Operator::Greater,
    Operator::GreaterEqual,
    Operator::Matches,
    Operator::MatchesNot,
    Operator::And,
    Operator::Or,
];

/// Functions that the naive evaluator knows, and one that nobody knows.
const KNOWN: [&str; 6] = ["int", "isPresent", "if", "abs", "strLength", "foo"];

fn ints() -> impl Strategy<Value = i64> {
    prop_oneof![-3..4_i64, select(vec![i64::MIN, i64::MAX, 1 << 53])]
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3..4_i32).prop_map(f64::from),
        select(vec![0.5, -0.0, 1e300, f64::NAN, f64::INFINITY])
    ]
}

fn texts() -> impl Strategy<Value = &'static str> {
    select(vec!["", "a", "7", "héllo", "1h"])
}

fn leaf() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => select(NAMES.to_vec()).prop_map(|name| Kind::Reference(name.into())),
        2 => ints().prop_map(|value| Kind::Int { value, is_octal: false }),
        2 => floats().prop_map(Kind::Float),
        1 => ints().prop_map(|nanos| Kind::Duration { nanos, literal: "".into() }),
        2 => any::<bool>().prop_map(Kind::Bool),
        1 => texts().prop_map(|text| Kind::String { value: text.into(), is_triple: false }),
        1 => Just(Kind::Regex(Arc::new(Regex::compile("^(a|7)").unwrap()))),
    ]
}

fn tree(functions: Vec<&'static str>) -> impl Strategy<Value = Node> {
    let leaf = leaf().prop_map(|kind| Node::new(Position::default(), kind));
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let binary = (select(OPERATORS.to_vec()), inner.clone(), inner.clone()).prop_map(
            |(operator, left, right)| Kind::Binary {
                operator,
                left: Box::new(left),
                right: Box::new(right),
                in_parens: false,
                is_multi_line: false,
            },
        );
        let unary = (any::<bool>(), inner.clone()).prop_map(|(is_not, operand)| Kind::Unary {
            operator: if is_not { Operator::Not } else { Operator::Minus },
            operand: Box::new(operand),
        });
        let call =
            (select(functions.clone()), vec(inner.clone(), 0..6)).prop_map(|(name, args)| {
                Kind::Call(Call {
                    kind: CallKind::Global,
                    name: name.into(),
                    args,
                    is_multi_line: false,
                })
            });
        // Calls with the right number of arguments are rare enough by chance.
        let choice = vec(inner.clone(), 3).prop_map(|args| {
            Kind::Call(Call {
                kind: CallKind::Global,
                name: "if".into(),
                args,
                is_multi_line: false,
            })
        });
        let lambda = inner.prop_map(|node| Kind::Lambda(Arc::new(node)));
        prop_oneof![8 => binary, 2 => unary, 2 => call, 1 => choice, 1 => lambda]
            .prop_map(|kind| Node::new(Position::default(), kind))
    })
}

fn field() -> impl Strategy<Value = Option<FieldValue>> {
    prop_oneof![
        Just(None),
        Just(Some(FieldValue::Null)),
        ints().prop_map(|value| Some(FieldValue::Int(value))),
        floats().prop_map(|value| Some(FieldValue::Float(value))),
        any::<bool>().prop_map(|value| Some(FieldValue::Bool(value))),
        texts().prop_map(|value| Some(FieldValue::Str(value.into()))),
        ints().prop_map(|value| Some(FieldValue::Duration(value))),
    ]
}

/// Fields `a` to `d`, maybe a tag `d`, maybe a tag `e`.
fn points() -> impl Strategy<Value = Point> {
    (vec(field(), 4), prop::bool::weighted(0.1), any::<bool>()).prop_map(|(fields, d, e)| {
        let named = NAMES.iter().zip(fields);
        let (names, values): (Vec<Str>, Values) =
            named.filter_map(|(name, value)| Some((Str::from(*name), value?))).unzip();
        let tags = [("d", d), ("e", e)].into_iter().filter(|(_, is_there)| *is_there);
        let tags = tags.map(|(name, _)| (name.into(), "a".into())).collect();
        let series = Series::new("".into(), "".into(), "m".into(), tags);
        Point { series, shape: Shape::new(names.into()), values, time: TIME }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(
        node in tree(FAMILIES.iter().copied().flatten().map(|function| function.name).collect()),
        points in vec(points(), 1..4),
    ) {
        let Ok(program) = Program::compile(&node) else { return Ok(()) };
        let program = Arc::new(program);
        let mut evaluator = program.evaluator();
        let mut state = program.state(5);
        for point in &points {
            let first = evaluator.predicate(point, &env(), &mut state).map_err(|error| error.to_string());
            let second = evaluator.predicate(point, &env(), &mut state).map_err(|error| error.to_string());
            if !program.is_stateful() {
                prop_assert_eq!(first, second);
            }
            for error in [
                evaluator.value(point, &[], &env(), &mut state).err(),
                evaluator.integer(point, &[], &env(), &mut state).err(),
            ].into_iter().flatten() {
                prop_assert!(!error.to_string().contains("cannot be evaluated"), "{}", error);
            }
        }
        let mut bytes = Vec::new();
        state.save(&mut bytes);
        prop_assert!(program.load_state(&bytes).is_ok());
    }

    #[test]
    fn any_bytes_load_or_fail(bytes in vec(0..5_u8, 0..60)) {
        if let Ok(state) = State::load(&bytes) {
            let mut out = Vec::new();
            state.save(&mut out);
            prop_assert_eq!(out.len(), bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_agrees_with_a_naive_one(node in tree(KNOWN.to_vec()), points in vec(points(), 1..4)) {
        let Ok(program) = Program::compile(&node) else { return Ok(()) };
        let program = Arc::new(program);
        let mut evaluator = program.evaluator();
        let mut state = State::default();
        for point in &points {
            let naive = Naive { point, names: program.references() };
            let actual = evaluator.value(point, &[], &env(), &mut state).map_err(|error| error.to_string());
            prop_assert_eq!(cut(actual), cut(naive.value(&node)));
            let actual = evaluator.predicate(point, &env(), &mut state).map_err(|error| error.to_string());
            prop_assert_eq!(cut(actual), cut(naive.predicate(&node)));
        }
    }

    #[test]
    fn integers_wrap(one in any::<i64>(), other in any::<i64>()) {
        let fields = format!("a={one}i b={other}i");
        for (operator, expected) in [
            ("+", one.wrapping_add(other)),
            ("-", one.wrapping_sub(other)),
            ("*", one.wrapping_mul(other)),
        ] {
            let text = format!("\"a\" {operator} \"b\"");
            prop_assert_eq!(value(&text, &fields), format!("int {expected}"));
        }
    }
}

/// Cuts the details of a signature error off, which other tests look at.
fn cut<T>(result: Result<T, String>) -> Result<T, String> {
    result.map_err(|text| match text.find("Cannot call function") {
        Some(at) => text[..at].to_owned() + "Cannot call function",
        None => text,
    })
}

/// The rules of the reference, written down as they are told: no folding, no short cuts, everything checked everywhere.
struct Naive<'p> {
    point: &'p Point,
    names: &'p [Str],
}

/// A value, or nothing.
type Maybe = Option<Value>;

impl Naive<'_> {
    fn value(&self, node: &Node) -> Result<Value, String> {
        self.bind()?;
        match self.type_of(node)? {
            Type::Missing => Err(format!("missing value: \"{}\"", name(node))),
            kind @ (Type::Time | Type::Regex) => {
                Err(format!("expression returned unexpected type {kind}"))
            }
            _ => Ok(self.evaluate(node)?.unwrap()),
        }
    }

    fn predicate(&self, node: &Node) -> Result<bool, String> {
        self.bind()?;
        self.type_of(node)?;
        self.boolean(node)
    }

    fn boolean(&self, node: &Node) -> Result<bool, String> {
        match self.evaluate(node)? {
            Some(Value::Bool(value)) => Ok(value),
            other => Err(match (&strip(node).kind, other) {
                (Kind::Binary { .. }, Some(other)) => {
                    format!("expression returned unexpected type {}", other.go_type())
                }
                (_, other) => format!(
                    "TypeGuard: expression returned unexpected type {}, expected boolean",
                    kind(&other)
                ),
            }),
        }
    }

    fn bind(&self) -> Result<(), String> {
        let mut names: Vec<&Str> = self.names.iter().filter(|name| &***name != "time").collect();
        names.sort();
        for name in names {
            let has_field = self.point.field(name).is_some_and(|value| !value.is_null());
            if has_field && self.point.series.tag(name).is_some() {
                return Err(format!("cannot have field and tags with same name \"{name}\""));
            }
        }
        Ok(())
    }

    fn load(&self, name: &str) -> Maybe {
        if name == "time" {
            return Some(Value::Time(self.point.time));
        }
        match self.point.field(name) {
            Some(FieldValue::Int(value)) => Some(Value::Int(*value)),
            Some(FieldValue::Float(value)) => Some(Value::Float(*value)),
            Some(FieldValue::Bool(value)) => Some(Value::Bool(*value)),
            Some(FieldValue::Str(value)) => Some(Value::Str(value.clone())),
            Some(FieldValue::Duration(value)) => Some(Value::Duration(*value)),
            _ => self.point.series.tag(name).map(|value| Value::Str(value.clone())),
        }
    }

    fn type_of(&self, node: &Node) -> Result<Type, String> {
        match &node.kind {
            Kind::Lambda(inner) => self.type_of(inner),
            Kind::Unary { operator: Operator::Not, .. } => Ok(Type::Bool),
            Kind::Unary { operand, .. } => match self.type_of(operand)? {
                Type::Missing => Err(format!("reference \"{}\" is missing value", name(operand))),
                kind @ (Type::Int | Type::Float | Type::Duration) => Ok(kind),
                kind => Err(format!("invalid math operator - for type {kind}")),
            },
            Kind::Binary { operator, left, right, .. } => {
                if !is_arithmetic(*operator) {
                    return Ok(Type::Bool);
                }
                combine(*operator, self.type_of(left)?, self.type_of(right)?)
            }
            Kind::Call(call) => self.type_of_call(call),
            _ => Ok(kind(&self.evaluate(node)?)),
        }
    }

    fn type_of_call(&self, call: &Call) -> Result<Type, String> {
        if &*call.name == "foo" {
            return Err("undefined function: \"foo\"".to_owned());
        }
        if call.args.len() > 4 {
            return Err("too many arguments provided".to_owned());
        }
        let mut types = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            let failed = |cause| format!("Failed to handle {} argument: {cause}", index + 1);
            types.push(self.type_of(arg).map_err(failed)?);
        }
        use Type::{Bool, Float, Int, Missing, String as Text};
        match (&*call.name, &*types) {
            ("int", [Bool | Text | Int | Float]) => Ok(Int),
            ("isPresent", [Missing | Bool | Text | Int | Float]) => Ok(Bool),
            ("abs", [Float]) => Ok(Float),
            ("strLength", [Text]) => Ok(Int),
            ("if", [Bool, one, other]) if one == other && *one != Missing => Ok(*one),
            _ => Err("Cannot call function".to_owned()),
        }
    }

    fn evaluate(&self, node: &Node) -> Result<Maybe, String> {
        Ok(match &node.kind {
            Kind::Bool(value) => Some(Value::Bool(*value)),
            Kind::Int { value, .. } => Some(Value::Int(*value)),
            Kind::Float(value) => Some(Value::Float(*value)),
            Kind::Duration { nanos, .. } => Some(Value::Duration(*nanos)),
            Kind::String { value, .. } => Some(Value::Str(value.clone())),
            Kind::Regex(regex) => Some(Value::Regex(regex.clone())),
            Kind::Reference(name) => self.load(name),
            Kind::Lambda(inner) => self.evaluate(inner)?,
            Kind::Unary { operator: Operator::Not, operand } => {
                if self.type_of(operand)? == Type::Missing {
                    return Err(format!("reference \"{}\" is missing value", name(operand)));
                }
                Some(Value::Bool(!self.boolean(operand)?))
            }
            Kind::Unary { operand, .. } => {
                self.type_of(node)?;
                Some(match self.evaluate(operand)? {
                    Some(Value::Int(value)) => Value::Int(value.wrapping_neg()),
                    Some(Value::Float(value)) => Value::Float(-value),
                    Some(Value::Duration(value)) => Value::Duration(value.wrapping_neg()),
                    other => panic!("{other:?}"),
                })
            }
            Kind::Binary { operator, left, right, .. } => {
                Some(self.binary(*operator, left, right)?)
            }
            Kind::Call(call) => Some(self.call(call)?),
            other => panic!("{other:?}"),
        })
    }

    fn binary(&self, operator: Operator, left: &Node, right: &Node) -> Result<Value, String> {
        let (left_type, right_type) = (self.type_of(left)?, self.type_of(right)?);
        if left_type == Type::Missing {
            return Err(format!("left reference value \"{}\" is missing value", name(left)));
        }
        if right_type == Type::Missing {
            return Err(format!("right reference value \"{}\" is missing value", name(right)));
        }
        combine(operator, left_type, right_type)?;
        if let Operator::And | Operator::Or = operator {
            let is_decided = self.boolean(left)? == (operator == Operator::Or);
            let value = if is_decided { operator == Operator::Or } else { self.boolean(right)? };
            return Ok(Value::Bool(value));
        }
        compute(operator, self.evaluate(left)?.unwrap(), self.evaluate(right)?.unwrap())
    }

    fn call(&self, call: &Call) -> Result<Value, String> {
        self.type_of_call(call)?;
        let mut args = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            args.push(self.evaluate(arg).map_err(|cause| {
                if cause.starts_with("runtime error") {
                    return cause;
                }
                format!("Failed to handle {} argument: {cause}", index + 1)
            })?);
        }
        Ok(match (&*call.name, &*args) {
            ("int", [Some(Value::Bool(value))]) => Value::Int((*value).into()),
            ("int", [Some(Value::Int(value))]) => Value::Int(*value),
            ("int", [Some(Value::Float(value))]) => {
                let fits = *value >= -(2_f64.powi(63)) && *value < 2_f64.powi(63);
                Value::Int(if fits { *value as i64 } else { i64::MIN })
            }
            ("int", [Some(Value::Str(text))]) => Value::Int(text.parse().map_err(|_| {
                format!(
                    "error calling \"int\": strconv.ParseInt: parsing \"{text}\": invalid syntax"
                )
            })?),
            ("isPresent", [value]) => Value::Bool(value.is_some()),
            ("abs", [Some(Value::Float(value))]) => Value::Float(value.abs()),
            ("strLength", [Some(Value::Str(text))]) => Value::Int(text.len() as i64),
            ("if", [Some(Value::Bool(is)), one, other]) => {
                (if *is { one } else { other }).clone().unwrap()
            }
            other => panic!("{other:?}"),
        })
    }
}

fn strip(node: &Node) -> &Node {
    match &node.kind {
        Kind::Lambda(inner) => strip(inner),
        _ => node,
    }
}

fn name(node: &Node) -> &str {
    match &strip(node).kind {
        Kind::Reference(name) => name,
        other => panic!("{other:?}"),
    }
}

fn kind(value: &Maybe) -> Type {
    value.as_ref().map_or(Type::Missing, Value::kind)
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    )
}

/// Every combination that section 2.2 allows.
fn table(operator: Operator) -> Vec<(Type, Type, Type)> {
    use Type::{Bool, Duration, Float, Int, Regex, String as Text};
    let numbers = [(Int, Int), (Int, Float), (Float, Int), (Float, Float)];
    let ordered = numbers.iter().copied().chain([(Text, Text), (Duration, Duration)]);
    match operator {
        Operator::And | Operator::Or => vec![(Bool, Bool, Bool)],
        Operator::Equal | Operator::NotEqual => {
            ordered.chain([(Bool, Bool)]).map(|(left, right)| (left, right, Bool)).collect()
        }
        Operator::Matches | Operator::MatchesNot => vec![(Text, Regex, Bool)],
        Operator::Plus => vec![
            (Int, Int, Int),
            (Float, Float, Float),
            (Duration, Duration, Duration),
            (Text, Text, Text),
        ],
        Operator::Minus => {
            vec![(Int, Int, Int), (Float, Float, Float), (Duration, Duration, Duration)]
        }
        Operator::Multiply => vec![
            (Int, Int, Int),
            (Float, Float, Float),
            (Duration, Int, Duration),
            (Int, Duration, Duration),
            (Duration, Float, Duration),
            (Float, Duration, Duration),
        ],
        Operator::Divide => vec![
            (Int, Int, Int),
            (Float, Float, Float),
            (Duration, Int, Duration),
            (Duration, Float, Duration),
            (Duration, Duration, Int),
        ],
        Operator::Modulo => vec![(Int, Int, Int)],
        _ => ordered.map(|(left, right)| (left, right, Bool)).collect(),
    }
}

fn combine(operator: Operator, left: Type, right: Type) -> Result<Type, String> {
    let table = table(operator);
    if let Some((_, _, result)) = table.iter().find(|row| (row.0, row.1) == (left, right)) {
        return Ok(*result);
    }
    let text = operator.text();
    if table.iter().any(|row| row.0 == left) {
        return Err(format!(
            "mismatched type to binary operator. got {left} {text} {right}. {SEE}"
        ));
    }
    let word = match operator {
        Operator::And | Operator::Or => "logical",
        _ if is_arithmetic(operator) => "math",
        _ => "comparison",
    };
    Err(format!("invalid {word} operator {text} for type {left}"))
}

fn compute(operator: Operator, left: Value, right: Value) -> Result<Value, String> {
    use Value::{Duration, Float, Int, Str};
    let is_division = matches!(operator, Operator::Divide | Operator::Modulo);
    let divisor = match (&left, &right) {
        (Int(_) | Duration(_), Int(value) | Duration(value)) => Some(*value),
        _ => None,
    };
    if is_division && divisor == Some(0) {
        return Err("runtime error: integer divide by zero".to_owned());
    }
    let whole = |operator, left: i64, right: i64| match operator {
        Operator::Plus => left.wrapping_add(right),
        Operator::Minus => left.wrapping_sub(right),
        Operator::Multiply => left.wrapping_mul(right),
        Operator::Divide => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    };
    let real = |operator, left: f64, right: f64| match operator {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Multiply => left * right,
        _ => left / right,
    };
    let nanos = |value: f64| {
        let fits = value >= -(2_f64.powi(63)) && value < 2_f64.powi(63);
        Duration(if fits { value as i64 } else { i64::MIN })
    };
    if is_arithmetic(operator) {
        return Ok(match (left, right) {
            (Int(left), Int(right)) => Int(whole(operator, left, right)),
            (Float(left), Float(right)) => Float(real(operator, left, right)),
            (Duration(left), Duration(right)) if operator == Operator::Divide => {
                Int(left.wrapping_div(right))
            }
            (Duration(left), Duration(right) | Int(right)) | (Int(left), Duration(right)) => {
                Duration(whole(operator, left, right))
            }
            (Duration(left), Float(right)) => nanos(real(operator, left as f64, right)),
            (Float(left), Duration(right)) => nanos(real(operator, left, right as f64)),
            (Str(left), Str(right)) => Str(format!("{left}{right}").into()),
            other => panic!("{other:?}"),
        });
    }
    if let (Str(text), Value::Regex(regex)) = (&left, &right) {
        let is_match = regex.regex.is_match(text);
        return Ok(Value::Bool(is_match == (operator == Operator::Matches)));
    }
    let order = match (&left, &right) {
        (Int(left), Int(right)) | (Duration(left), Duration(right)) => left.partial_cmp(right),
        (Float(left), Float(right)) => left.partial_cmp(right),
        (Int(left), Float(right)) => (*left as f64).partial_cmp(right),
        (Float(left), Int(right)) => left.partial_cmp(&(*right as f64)),
        (Str(left), Str(right)) => left.partial_cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.partial_cmp(right),
        other => panic!("{other:?}"),
    };
    Ok(Value::Bool(match operator {
        Operator::Equal => order.is_some_and(|order| order.is_eq()),
        Operator::NotEqual => order.is_none_or(|order| order.is_ne()),
        Operator::Less => order.is_some_and(|order| order.is_lt()),
        Operator::LessEqual => order.is_some_and(|order| order.is_le()),
        Operator::Greater => order.is_some_and(|order| order.is_gt()),
        _ => order.is_some_and(|order| order.is_ge()),
    }))
}
