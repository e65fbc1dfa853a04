//! Laws of the tree and its texts; what filters say is tested from outside.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::ast::{Call, Kind, Literal, Node, Offset, Statements};
use super::token::{ListOperator, Operator};
use super::{Compat, Filter, parser, print};

fn parsed(text: &str, compat: Compat) -> Statements {
    let mut problems = Vec::new();
    let tree = parser::parse(text, compat, &mut problems);
    tree.unwrap_or_else(|| panic!("{text}: {problems:?}"))
}

fn node(kind: Kind) -> Node {
    Node::new(kind, 0)
}

fn name() -> impl Strategy<Value = Box<str>> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,5}",
        Just("limit".to_owned()),
        Just("not_in".to_owned()),
        "[^`]{0,6}",
        "\\PC*`'\\\\\\PC{0,3}",
    ]
    .prop_map(String::into_boxed_str)
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Nil),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        Just(Literal::Int(i64::MIN)),
        (i64::MAX as u64 + 1..).prop_map(Literal::UInt),
        any::<f64>().prop_map(Literal::Float),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-f64::INFINITY), Just(-0.0)]
            .prop_map(Literal::Float),
        any::<String>().prop_map(|text| Literal::Str(text.into())),
    ]
}

fn column() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => name().prop_map(|name| node(Kind::Column(name))),
        1 => prop::collection::vec(name(), 2..4).prop_map(|parts| node(Kind::Dotted(parts))),
    ]
}

fn item() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => literal().prop_map(|literal| node(Kind::Literal(literal))),
        1 => column(),
        1 => Just(node(Kind::Star)),
    ]
}

fn list() -> impl Strategy<Value = Node> {
    let patterns = prop::collection::vec(
        any::<String>().prop_map(|text| node(Kind::Literal(Literal::Str(text.into())))),
        0..4,
    );
    prop_oneof![
        (any::<bool>(), column(), prop::collection::vec(item(), 0..4)).prop_map(
            |(is_in, column, items)| {
                let operator = if is_in { ListOperator::In } else { ListOperator::NotIn };
                let column = Box::new(column);
                node(Kind::List { operator, column, items, close: Offset(0) })
            }
        ),
        (any::<bool>(), column(), patterns).prop_map(|(is_match, column, items)| {
            let operator = if is_match { ListOperator::Match } else { ListOperator::NotMatch };
            node(Kind::List { operator, column: Box::new(column), items, close: Offset(0) })
        }),
    ]
}

/// An expression that stands for itself between any two operators.
fn operand() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        2 => item(),
        1 => any::<String>().prop_map(|pattern| node(Kind::Regex(pattern.into()))),
        2 => list(),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            2 => joined(inner.clone()).prop_map(|inner| node(Kind::Parentheses(Box::new(inner)))),
            1 => prop::collection::vec(("g[a-z]{0,2}", prop::collection::vec(joined(inner), 0..3)), 1..3)
                .prop_map(|calls| {
                    let call = |(name, arguments): (String, Vec<Node>)| {
                        Call { name: name.into(), arguments }
                    };
                    node(Kind::Calls(calls.into_iter().map(call).collect()))
                }),
        ]
    })
}

/// Operands with an operator between them, or one operand.
fn joined(operand: impl Strategy<Value = Node> + Clone) -> impl Strategy<Value = Node> {
    let operators = [
        Operator::Less,
        Operator::LessEqual,
        Operator::Greater,
        Operator::GreaterEqual,
        Operator::Equal,
        Operator::NotEqual,
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
        Operator::Modulo,
        Operator::Power,
    ];
    let binary = (prop::sample::select(operators.to_vec()), operand.clone(), operand.clone());
    let chain = prop::collection::vec(operand.clone(), 2..4);
    prop_oneof![
        1 => operand,
        3 => binary.prop_map(|(operator, left, right)| {
            node(Kind::Binary(operator, Box::new([left, right])))
        }),
        2 => (any::<bool>(), chain).prop_map(|(is_and, operands)| {
            node(Kind::Chain(if is_and { Operator::And } else { Operator::Or }, operands))
        }),
    ]
}

fn statements() -> impl Strategy<Value = Statements> {
    let element = joined(operand().boxed()).prop_map(|element| match element.kind {
        Kind::Binary(..) | Kind::Chain(..) | Kind::List { .. } | Kind::Parentheses(_) => element,
        _ => node(Kind::Parentheses(Box::new(element))),
    });
    let list = prop::collection::vec(prop::collection::vec(element, 0..3), 0..3);
    (any::<bool>(), list).prop_map(|(is_late, list)| Statements { is_late, list })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_the_same_tree(tree in statements()) {
        let text = print::canonical(&tree);
        for compat in [Compat::Seed, Compat::Head, Compat::Strict] {
            let again = parsed(&text, compat);
            prop_assert_eq!(&again, &tree, "{}", text);
            prop_assert_eq!(&print::canonical(&again), &text);
        }
    }
}

#[test]
fn trees_keep_what_was_written() {
    for (written, expected) in [
        ("{a=1,b=2}", "{ a = 1, b = 2 }"),
        ("{ , a = 1,, b = 2, }", "{ a = 1, b = 2 }"),
        ("; {};;{a=\"x\"} ;", "; {}; { a = 'x' }"),
        ("{ a = 1 && b = 2 || (c = .0) }", ""),
        ("{ a = 1 && b = 2 || (c = 5.) }", "{ a = 1 and b = 2 or (c = 5.0) }"),
        ("{ a = 0x10 or a = 010 or a = 1e3 }", "{ a = 16 or a = 8 or a = 1000.0 }"),
        ("{ a not_in [NULL, True] }", "{ a notin [nil, true] }"),
        ("{ a = RE(`^x\\.`) }", "{ a = re('^x\\\\.') }"),
        ("{ identifier('a.b') = 'it\\'s' }", "{ `a.b` = 'it\\'s' }"),
        ("{ identifier('a`b') = 1 }", "{ identifier('a`b') = 1 }"),
        ("{ 2 ^ 3 ^ 2 = a - 1 - 2 }", "{ 2 ^ 3 ^ 2 = a - 1 - 2 }"),
        ("{ f(a).g() = - 1 }", "{ f(a).g() = -1 }"),
    ] {
        let mut problems = Vec::new();
        let tree = parser::parse(written, Compat::Head, &mut problems);
        let printed = tree.as_ref().map(print::canonical).unwrap_or_default();
        assert_eq!(printed, expected, "{written}");
        if let Some(tree) = tree {
            assert_eq!(parsed(expected, Compat::Head), tree);
        }
    }
}

#[test]
fn operators_bind_as_the_reference_says() {
    for (one, other) in [
        ("{ a = 1 or b = 1 and c = 1 }", "{ a = 1 or (b = 1 and c = 1) }"),
        ("{ a + 1 = b * 2 }", "{ (a + 1) = (b * 2) }"),
        ("{ a + b * 2 = 1 }", "{ a + (b * 2) = 1 }"),
        ("{ a - b - c = 1 }", "{ (a - b) - c = 1 }"),
        ("{ 2 * 3 ^ 2 = 1 }", "{ 2 * (3 ^ 2) = 1 }"),
        ("{ 2 ^ 3 ^ 2 = 1 }", "{ 2 ^ (3 ^ 2) = 1 }"),
        ("{ a = 1 = true }", "{ (a = 1) = true }"),
        ("{ a = b in [1] }", "{ a = (b in [1]) }"),
    ] {
        assert_eq!(bare(&parsed(one, Compat::Head)), bare(&parsed(other, Compat::Head)), "{one}");
    }
}

/// Gives a tree as nested lists without parentheses.
fn bare(statements: &Statements) -> String {
    fn walk(node: &Node) -> String {
        match &node.bare().kind {
            Kind::Binary(operator, sides) => {
                format!("[{} {} {}]", walk(&sides[0]), operator.sign(), walk(&sides[1]))
            }
            Kind::Chain(operator, operands) => {
                let operands: Vec<String> = operands.iter().map(walk).collect();
                format!("[{}]", operands.join(&format!(" {} ", operator.sign())))
            }
            _ => print::node(node.bare()),
        }
    }
    let statements = statements
        .list
        .iter()
        .map(|elements| elements.iter().map(walk).collect::<Vec<String>>().join(", "));
    statements.collect::<Vec<String>>().join("; ")
}

#[test]
fn upstream_text_is_that_of_upstream() {
    let text =
        "{ a = 'it\\'s', b = 1.5 or c in ['x', 1] }; { d = re('x') and e != null, f notin [] }";
    let filter = Filter::parse(text, Compat::Head).unwrap();
    assert_eq!(
        filter.upstream_text(),
        "{ a = 'it's' and b = 1.500000 or c in ['x', 1] }; { d = re('x') and e != nil and f notin [] }"
    );
}

#[test]
fn notin_has_one_spelling() {
    // Source: B30.
    for _ in 0..20 {
        let filter = Filter::parse("{ a not_in ['x'] }", Compat::Head).unwrap();
        assert_eq!(filter.to_string(), "{ a notin ['x'] }");
        assert_eq!(filter.upstream_text(), "{ a notin ['x'] }");
    }
}
