//! Filters that nobody means: any bytes, and good filters with pieces changed.

use levada_condition::filter::{Filter, Record};
use levada_model::FieldValue;
use proptest::prelude::*;

use super::cases::MODES;

/// Parses, and when that succeeds evaluates, explains and prints; nothing of it may panic or hang.
fn survive(text: &str) {
    let point = Record {
        name: "n".into(),
        category: None,
        tags: vec![("a".into(), "x".into()), ("b".into(), "y".into())],
        fields: vec![
            ("a".into(), FieldValue::Int(1)),
            ("c".into(), FieldValue::Float(1.5)),
            ("d".into(), FieldValue::Bytes(b"\xff"[..].into())),
        ],
    };
    for compat in MODES {
        match Filter::parse(text, compat) {
            Ok(filter) => {
                let matched = filter.matches(&point);
                assert_eq!(filter.explain(&point).matched, matched, "{text}");
                let printed = filter.to_string();
                let again = Filter::parse(&printed, compat)
                    .unwrap_or_else(|error| panic!("{text} prints {printed}: {error}"));
                assert_eq!(again, filter, "{text} prints {printed}");
                assert_eq!(again.to_string(), printed, "{text}");
            }
            Err(error) => {
                for problem in error.problems() {
                    let position = problem.position;
                    assert!(position.offset <= text.len(), "{text}: {problem}");
                    let line =
                        text.as_bytes()[..position.offset].rsplit(|byte| *byte == b'\n').next();
                    assert_eq!(position.column, line.unwrap_or_default().len() + 1, "{text}");
                    assert!(problem.text.len() < 600, "{text}: {problem}");
                }
            }
        }
    }
}

/// The expressions of all case files.
fn expressions() -> Vec<String> {
    let truth = include_str!("../../cases/truth.txt").lines().filter_map(|line| {
        let (_, rest) = line.split_once(": {")?;
        Some(format!("{{{}", rest.split(" @ ").next()?))
    });
    let errors =
        include_str!("../../cases/errors.txt").lines().filter(|line| line.starts_with('{'));
    let points =
        concat!(include_str!("../../cases/examples.txt"), include_str!("../../cases/register.txt"));
    let examples = points.lines().filter_map(|line| {
        line.starts_with('{').then(|| line.rsplit_once(" => ").map(|(text, _)| text.to_owned()))?
    });
    truth.chain(errors.map(str::to_owned)).chain(examples).collect()
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ".",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "and",
    "or",
    "in",
    "notin",
    "match",
    "notmatch",
    "re(",
    "re('x')",
    "identifier('x')",
    "nil",
    "true",
    "0",
    "1",
    "1.5",
    "0x",
    "inf",
    "nan",
    "'x'",
    "\"y\"",
    "`z`",
    "'",
    "`",
    "\\",
    "#",
    "\n",
    " ",
    "a",
    "b",
    "limit",
    "not(",
    "exists(",
    "cidr(",
    "é",
    "城",
    "\0",
    "&&",
    "|",
    "!",
    "'(' ",
    "5m",
];

#[test]
fn the_corpus_is_whole() {
    let expressions = expressions();
    assert!(expressions.len() > 380, "{}", expressions.len());
    expressions.iter().for_each(|text| survive(text));
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        survive(&text);
        survive(&format!("{{ {text} }}"));
        survive(&format!("{{ a = '{text}' }}"));
        survive(&format!("{{ a match ['{text}'] }}"));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
        survive(&pieces.join(" "));
        survive(&format!("{{ {} }}", pieces.concat()));
    }

    #[test]
    fn changed_filters(
        text in prop::sample::select(expressions()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(PIECES), 0usize..4), 1..5),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (index, piece, removed) in edits {
            let at = index.index(characters.len() + 1);
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, piece.chars());
        }
        survive(&characters.into_iter().collect::<String>());
    }
}
