//! Laws that hold for every filter and every point.

use levada_condition::filter::{Compat, Filter, FilterIndex, FilterList, Keys, Record};
use levada_model::{Category, FieldValue};
use proptest::prelude::*;

use super::cases::MODES;

/// Values that meet each other often.
fn literal() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "1",
        "-1",
        "0",
        "2.5",
        "1.0",
        "0.0000000001",
        "'x'",
        "'y'",
        "''",
        "'1'",
        "true",
        "false",
        "nil",
        "9223372036854775807",
        "18446744073709551615",
        "inf",
        "nan",
    ])
    .prop_map(str::to_owned)
}

/// Literals that have an order.
fn ordered() -> impl Strategy<Value = String> {
    literal().prop_filter("has no order", |text| !["true", "false", "nil"].contains(&text.as_str()))
}

fn value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        prop::sample::select(vec![-1, 0, 1, i64::MAX]).prop_map(FieldValue::Int),
        prop::sample::select(vec![0, 1, u64::MAX]).prop_map(FieldValue::UInt),
        prop::sample::select(vec![1.0, 2.5, 0.0, 1e-10, f64::INFINITY, f64::NAN])
            .prop_map(FieldValue::Float),
        any::<bool>().prop_map(FieldValue::Bool),
        prop::sample::select(vec!["x", "y", "", "xy", "1"])
            .prop_map(|text| FieldValue::Str(text.into())),
        prop::sample::select(vec![&b"x"[..], b"\xff"])
            .prop_map(|bytes| FieldValue::Bytes(bytes.into())),
        Just(FieldValue::Null),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "source", "category"]).prop_map(str::to_owned)
}

fn record() -> impl Strategy<Value = Record> {
    let category = prop::option::of(prop::sample::select(Category::ALL.to_vec()));
    let tag = prop::sample::select(vec!["x", "y", "1", ""]).prop_map(str::to_owned);
    let tags = prop::collection::btree_map(key(), tag, 0..3);
    let fields = prop::collection::btree_map(key(), value(), 0..4);
    (category, tags, fields).prop_map(|(category, tags, fields)| Record {
        name: "x".into(),
        category,
        tags: tags.into_iter().collect(),
        fields: fields.into_iter().collect(),
    })
}

/// A condition that every mode accepts.
fn condition() -> impl Strategy<Value = String> {
    let compare = (key(), prop::sample::select(vec!["=", "!="]), literal());
    let order = (
        key(),
        prop::sample::select(vec!["<", "<=", ">", ">="]),
        literal()
            .prop_filter("has no order", |text| !["true", "false", "nil"].contains(&text.as_str())),
    );
    let list =
        (key(), prop::sample::select(vec!["in", "notin"]), prop::collection::vec(literal(), 0..14));
    let patterns = prop::sample::select(vec!["x", "^x$", "y.*", "[xy]", "^$", "", "1|2"]);
    let matching = (
        key(),
        prop::sample::select(vec!["match", "notmatch"]),
        prop::collection::vec(patterns.clone(), 0..4),
    );
    let regex = (key(), prop::sample::select(vec!["=", "!="]), patterns);
    let leaf = prop_oneof![
        compare.prop_map(|(key, sign, literal)| format!("{key} {sign} {literal}")),
        order.prop_map(|(key, sign, literal)| format!("{key} {sign} {literal}")),
        list.prop_map(|(key, word, items)| format!("{key} {word} [{}]", items.join(", "))),
        matching.prop_map(|(key, word, items)| {
            let items: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
            format!("{key} {word} [{}]", items.join(", "))
        }),
        regex.prop_map(|(key, sign, pattern)| format!("{key} {sign} re('{pattern}')")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (prop::sample::select(vec!["and", "or"]), prop::collection::vec(inner, 2..4)).prop_map(
            |(word, parts)| {
                let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
                parts.join(&format!(" {word} "))
            },
        )
    })
}

/// A condition that asks for certain texts, in one of the ways that an index knows.
fn selective() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec!["x", "y", "xy", "1", ""]);
    (key(), text.clone(), text, 0..5).prop_map(|(key, one, other, way)| match way {
        0 => format!("{key} = '{one}'"),
        1 => format!("{key} in ['{one}', '{other}', '{one}']"),
        2 => format!("{key} = '{one}' or {key} in ['{other}']"),
        3 => format!("{key} = re('^{one}$')"),
        _ => format!("{key} match ['^{one}$'] and c != '{other}'"),
    })
}

fn matches(text: &str, compat: Compat, point: &Record) -> bool {
    let filter = Filter::parse(text, compat);
    filter.unwrap_or_else(|error| panic!("{text}: {error}")).matches(point)
}

proptest! {
    #[test]
    fn explanations_and_texts_agree_with_matches(
        conditions in prop::collection::vec(condition(), 0..3),
        point in record(),
    ) {
        let text = format!("{{ {} }}", conditions.join(", "));
        for compat in MODES {
            let filter = Filter::parse(&text, compat).unwrap();
            let matched = filter.matches(&point);
            let explanation = filter.explain(&point);
            prop_assert_eq!(explanation.matched, matched, "{}", explanation);
            let again = Filter::parse(&filter.to_string(), compat).unwrap();
            prop_assert_eq!(&again, &filter);
            prop_assert_eq!(again.matches(&point), matched);
        }
    }

    #[test]
    fn statements_elements_and_lists_of_filters_are_or_and_and(
        one in condition(),
        other in condition(),
        point in record(),
    ) {
        for compat in MODES {
            // A condition in parentheses would be false in the modes of the original.
            let holds = |condition: &str| matches(&format!("{{ {condition} }}"), compat, &point);
            let (first, second) = (holds(&one), holds(&other));
            let both = matches(&format!("{{ {one}, {other} }}"), compat, &point);
            let either = matches(&format!("{{ {one} }}; {{ {other} }}"), compat, &point);
            prop_assert_eq!(both, first && second);
            prop_assert_eq!(either, first || second);
            let texts = [format!("{{ {one} }}"), format!("{{ {other} }}")];
            let list = FilterList::parse(&texts, compat, &mut Keys::default()).unwrap();
            prop_assert_eq!(list.matches(&point), first || second);
            let expected = if first { Some(0) } else { second.then_some(1) };
            prop_assert_eq!(list.first_match(&point), expected);
        }
    }

    #[test]
    fn strict_opposites_are_opposites(
        key in key(),
        literal in literal(),
        items in prop::collection::vec(literal(), 0..12),
        condition in condition(),
        point in record(),
    ) {
        let holds = |text: &str| matches(&format!("{{ {text} }}"), Compat::Strict, &point);
        prop_assert_ne!(holds(&format!("{key} = {literal}")), holds(&format!("{key} != {literal}")));
        let items = items.join(", ");
        prop_assert_ne!(holds(&format!("{key} in [{items}]")), holds(&format!("{key} notin [{items}]")));
        prop_assert_ne!(
            holds(&format!("{key} match ['x', '[y1]']")),
            holds(&format!("{key} notmatch ['x', '[y1]']"))
        );
        prop_assert_ne!(holds(&format!("{key} = re('x|y')")), holds(&format!("{key} != re('x|y')")));
        prop_assert_ne!(holds(&condition), holds(&format!("not ({condition})")));
        prop_assert_eq!(holds(&format!("exists({key})")), holds(&format!("{key} != nil")));
    }

    /// A long list is looked up by hash and by halving, and says what its members say one by one.
    #[test]
    fn strict_lists_are_their_members(
        key in key(),
        items in prop::collection::vec(literal(), 1..40),
        point in record(),
    ) {
        let holds = |text: &str| matches(&format!("{{ {text} }}"), Compat::Strict, &point);
        let list = format!("{key} in [{}]", items.join(", "));
        let members: Vec<String> = items.iter().map(|item| format!("{key} = {item}")).collect();
        prop_assert_eq!(holds(&list), holds(&members.join(" or ")), "{}", list);
    }

    #[test]
    fn strict_orders_are_orders(key in key(), literal in ordered(), point in record()) {
        let holds = |sign: &str| {
            matches(&format!("{{ {key} {sign} {literal} }}"), Compat::Strict, &point)
        };
        prop_assert_eq!(holds("<="), holds("<") || holds("="));
        prop_assert_eq!(holds(">="), holds(">") || holds("="));
        prop_assert!(!(holds("<") && holds(">")));
    }

    /// An index finds what the lists say one by one, in the order of their numbers.
    #[test]
    fn an_index_finds_every_list_that_matches(
        lists in prop::collection::vec(
            prop::collection::vec(
                prop::collection::vec(prop_oneof![condition(), selective()], 0..3),
                0..3,
            ),
            0..6,
        ),
        points in prop::collection::vec(record(), 1..5),
    ) {
        for compat in MODES {
            let mut keys = Keys::default();
            let parse = |statements: &Vec<Vec<String>>| {
                let texts: Vec<String> =
                    statements.iter().map(|parts| format!("{{ {} }}", parts.join(", "))).collect();
                // Every other list is one filter of several statements.
                let texts = match texts.len() {
                    2 => vec![texts.join("; ")],
                    _ => texts,
                };
                FilterList::parse(&texts, compat, &mut keys).unwrap()
            };
            let index = FilterIndex::new(lists.iter().map(parse).collect());
            let mut found = vec![99];
            for point in &points {
                let expected: Vec<u32> = (0..)
                    .zip(index.targets())
                    .filter(|(_, list)| list.matches(point))
                    .map(|(number, _)| number)
                    .collect();
                index.matches(point, &mut found);
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
