//! What holds for every text and for every statement.

use proptest::prelude::*;

use super::{TEXT_MAX, parse};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z_][a-z0-9_]{0,4}".prop_map(|name| format!("{name}x")),
        1 => "[a-zA-Z \\.é]{1,6}".prop_map(|name| format!("\"{name}\"")),
        1 => Just("\"duration\"".to_string()),
        1 => Just("\"a\\\"b\\\\c\\nd\"".to_string()),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => name(),
        1 => name().prop_map(|name| format!("{name}::float")),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (0_u32..1000, 0_u32..1000).prop_map(|(one, other)| format!("{one}.{other}")),
        1 => (1_u32..100, "(ns|u|µ|ms|s|m|h|d|w)").prop_map(|(n, unit)| format!("{n}{unit}")),
        1 => "[a-z 'é\\\\\n]{0,5}".prop_map(|text| {
            let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            format!("'{text}'")
        }),
        1 => prop_oneof![Just("TRUE"), Just("false"), Just("*"), Just("*::tag")].prop_map(String::from),
    ]
}

/// Expressions of the list of fields.
fn math() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("({inner})")),
            (name(), inner.clone()).prop_map(|(name, inner)| format!("-{name} * ({inner})")),
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|arguments| format!("Fn_x({})", arguments.join(" , "))),
            (inner.clone(), "[-+*/%&|^]", inner)
                .prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        (math(), "(=|!=|<>|<|<=|>|>=)", math())
            .prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        (name(), "(=~|!~)", "[a-z.*]{0,4}")
            .prop_map(|(left, sign, pattern)| format!("{left} {sign} /a{pattern}\\/b/")),
    ];
    test.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), "(AND|or)", inner, any::<bool>()).prop_map(|(left, word, right, paren)| {
            if paren {
                format!("({left} {word} {right})")
            } else {
                format!("{left} {word} {right}")
            }
        })
    })
}

fn statement() -> impl Strategy<Value = String> {
    let fields = proptest::collection::vec((math(), proptest::option::of(name())), 1..4);
    let source = (name(), name(), name(), 0..4).prop_map(|(db, rp, name, kind)| match kind {
        0 => name,
        1 => format!("{db}.{rp}.{name}"),
        2 => format!("{db}..{name}"),
        _ => format!("{db}.{rp}./a.*/"),
    });
    let tail = "( GROUP BY time\\(1m, -5s\\), \\*)?( fill\\((none|0|-1|1\\.5|previous)\\))?( ORDER BY time( DESC)?)?( LIMIT [0-9])?( OFFSET [1-9])?( tz\\('UTC'\\))?";
    (fields, proptest::collection::vec(source, 1..3), proptest::option::of(condition()), tail)
        .prop_map(|(fields, sources, condition, tail)| {
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(expr, alias)| match alias {
                    Some(alias) => format!("{expr} AS {alias}"),
                    None => expr,
                })
                .collect();
            let condition = condition.map(|text| format!(" WHERE {text}")).unwrap_or_default();
            let (fields, sources) = (fields.join(", "), sources.join(","));
            format!("select {fields} from {sources}{condition}{tail}")
        })
}

/// Pieces that bring random texts further than random characters do.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("SELECT "),
        Just("FROM "),
        Just("WHERE "),
        Just("GROUP BY "),
        Just("fill("),
        Just("ORDER BY "),
        Just("LIMIT "),
        Just("INTO "),
        Just("DISTINCT "),
        Just("tz("),
        Just("SHOW "),
        Just("TAG "),
        Just("a"),
        Just("\"b\""),
        Just("'c'"),
        Just("/d/"),
        Just("("),
        Just(")"),
        Just(","),
        Just("."),
        Just("::"),
        Just(":"),
        Just("-"),
        Just("*"),
        Just("1"),
        Just("1.5"),
        Just("5m"),
        Just("="),
        Just("=~"),
        Just("AND "),
        Just(";"),
        Just("$x"),
        Just("\\"),
        Just("é"),
        Just("\n"),
        Just("--"),
        Just("/*"),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn prints_the_same_again(text: &str) -> Result<(), TestCaseError> {
    let Ok(statements) = parse(text) else {
        return Ok(());
    };
    for statement in statements {
        let printed = statement.to_string();
        if printed.contains("[REDACTED]") {
            continue;
        }
        let again = match parse(&printed) {
            Ok(again) => again,
            Err(error) => {
                return Err(TestCaseError::fail(format!("{text:?} gave {printed:?}: {error}")));
            }
        };
        prop_assert_eq!(again.len(), 1);
        prop_assert_eq!(again[0].to_string(), printed);
    }
    Ok(())
}

proptest! {
    #[test]
    fn printed_statements_print_the_same(text in statement()) {
        prop_assert!(parse(&text).is_ok(), "{:?}: {:?}", text, parse(&text));
        prints_the_same_again(&text)?;
    }

    #[test]
    fn no_text_panics(text in prop_oneof![".{0,60}", pieces()]) {
        prop_assert!(text.len() < TEXT_MAX);
        prints_the_same_again(&text)?;
    }

    #[test]
    fn no_mutation_panics(text in statement(), at in any::<prop::sample::Index>(), with in pieces()) {
        let mut places = text.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
        places.push(text.len());
        let at = *at.get(&places);
        prints_the_same_again(&text[..at])?;
        prints_the_same_again(&format!("{}{with}{}", &text[..at], &text[at..]))?;
    }
}
