//! What is wrong with a filter, and where.

use levada_condition::filter::{
    Compat, DEPTH_MAX, FILTER_BYTES_MAX, Filter, FilterList, Keys, PATTERN_BYTES_MAX, PROBLEMS_MAX,
};

use super::cases::{MODES, lines};

#[test]
fn problems_have_words_and_places() {
    let cases = include_str!("../../cases/errors.txt");
    let mut expression: Option<(usize, String)> = None;
    let mut expected: Vec<(Option<Vec<Compat>>, String)> = Vec::new();
    let mut count = 0;
    for (number, line) in lines(cases).chain([(0, "")]) {
        if let Some(problem) = line.strip_prefix("  ") {
            let (modes, problem) = match problem.strip_prefix('[') {
                Some(rest) => {
                    let (modes, problem) = rest.split_once("] ").expect(line);
                    let modes = modes.split(' ').map(|mode| mode.parse().expect(line)).collect();
                    (Some(modes), problem)
                }
                None => (None, problem),
            };
            expected.push((modes, problem.to_owned()));
            continue;
        }
        if let Some((number, expression)) = expression.take() {
            assert!(!expected.is_empty(), "line {number}: no problem of {expression}");
            check(number, &expression, &expected);
            expected.clear();
            count += 1;
        }
        if !line.starts_with("== ") {
            expression = Some((number, line.replace('⏎', "\n")));
        }
    }
    assert!(count > 85, "{count}");
}

fn check(number: usize, expression: &str, expected: &[(Option<Vec<Compat>>, String)]) {
    for compat in MODES {
        let expected: Vec<String> = expected
            .iter()
            .filter(|(modes, _)| modes.as_ref().is_none_or(|modes| modes.contains(&compat)))
            .map(|(_, problem)| {
                let (place, message) = problem.split_once(' ').unwrap();
                format!("{place} parse error: {message}")
            })
            .collect();
        let found: Vec<String> = match Filter::parse(expression, compat) {
            Ok(filter) => filter.warnings().iter().map(|problem| format!("?{problem}")).collect(),
            Err(error) => {
                assert_eq!(error.to_string(), error.problems()[0].to_string());
                error.problems().iter().map(ToString::to_string).collect()
            }
        };
        assert_eq!(found, expected, "line {number}: {expression} in {compat}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        format!("{{ b = 1 and {}a = 1{} }}", "(".repeat(levels), ")".repeat(levels))
    };
    for compat in MODES {
        // The two operands, the comparison and the `and` are levels as well.
        assert!(Filter::parse(&nested(DEPTH_MAX - 3), compat).is_ok());
        for levels in [DEPTH_MAX - 2, DEPTH_MAX + 1, 20_000] {
            let error = Filter::parse(&nested(levels), compat).unwrap_err().to_string();
            assert!(error.contains("nested too deeply: more than 64 levels"), "{error}");
        }
        for text in [
            format!("{{ a = {} }}", "2^".repeat(20_000) + "2"),
            format!("{{ a = 1 {} }}", "= 1 ".repeat(20_000)),
            format!("{{ a = 1 {} }}", "+ 1 ".repeat(20_000)),
            format!("{{ {}a{} = 1 }}", "f(".repeat(20_000), ")".repeat(20_000)),
        ] {
            let error = Filter::parse(&text, compat).unwrap_err().to_string();
            assert!(error.contains("nested too deeply"), "{error}");
        }
    }
}

#[test]
fn long_chains_are_no_nesting() {
    for (word, count) in [("or", 20_000), ("and", 20_000)] {
        let text = format!("{{ a = 1 {} }}", format!("{word} a = 1 ").repeat(count));
        let filter = Filter::parse(&text, Compat::Strict).unwrap();
        assert_eq!(filter, Filter::parse(&filter.to_string(), Compat::Strict).unwrap());
    }
}

#[test]
fn size_is_bounded() {
    let sized = |bytes: usize| format!("{{ a = '{}' }}", "x".repeat(bytes - 10));
    assert_eq!(sized(100).len(), 100);
    assert!(Filter::parse(&sized(FILTER_BYTES_MAX), Compat::Strict).is_ok());
    let error = Filter::parse(&sized(FILTER_BYTES_MAX + 1), Compat::Strict).unwrap_err();
    assert_eq!(error.to_string(), "1:1 parse error: the filter has more than 1048576 bytes");
}

#[test]
fn problems_are_bounded() {
    let text = format!("{{ a in [{}] }}", ["b"; PROBLEMS_MAX + 50].join(", "));
    let error = Filter::parse(&text, Compat::Strict).unwrap_err();
    assert_eq!(error.problems().len(), PROBLEMS_MAX);
    let text = format!("{{ a match [{}] }}", ["'('"; PROBLEMS_MAX + 50].join(", "));
    let filter = Filter::parse(&text, Compat::Head).unwrap();
    assert_eq!(filter.warnings().len(), PROBLEMS_MAX);
}

#[test]
fn compiled_patterns_are_bounded() {
    let list = |count: usize| {
        let patterns: Vec<String> = (0..count).map(|n| format!(r"'\\pL{{10}}{n}'")).collect();
        format!("{{ a match [{}] }}", patterns.join(", "))
    };
    assert!(Filter::parse(&list(3), Compat::Strict).is_ok());
    let error = Filter::parse(&list(300), Compat::Strict).unwrap_err().to_string();
    assert!(error.contains(&format!("take more than {PATTERN_BYTES_MAX} bytes")), "{error}");
    // Patterns that are too large are ignored in the modes of the original, but trying them costs something.
    let huge = vec!["'(a{1000}){1000}'"; 10_000].join(", ");
    let error = Filter::parse(&format!("{{ a match [{huge}] }}"), Compat::Head).unwrap_err();
    assert!(error.to_string().contains("take more than"), "{error}");
    let huge = "{ a = re('(a{1000}){1000}') }";
    let error = Filter::parse(huge, Compat::Strict).unwrap_err().to_string();
    assert!(error.contains("expression too large"), "{error}");
}

#[test]
fn a_list_tells_every_mistake_and_where() {
    let texts = ["{ a = 1 }", "{ a == 1 }", "", "some-invalid-filter-expr"];
    for compat in MODES {
        let errors = FilterList::parse(&texts, compat, &mut Keys::default()).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "filters[1]: 1:6 parse error: unexpected: \"=\"",
                "filters[2]: 1:1 parse error: condition empty",
                "filters[3]: 1:1 parse error: unexpected: id \"some\"",
            ],
        );
    }
}

#[test]
fn modes_have_two_names() {
    for (word, compat) in [
        ("seed", Compat::Seed),
        ("datakit-1.6", Compat::Seed),
        ("head", Compat::Head),
        ("datakit-1.84", Compat::Head),
        ("strict", Compat::Strict),
    ] {
        assert_eq!(word.parse(), Ok(compat));
    }
    assert_eq!(
        "1.6".parse::<Compat>(),
        Err("unknown filter compat `1.6`; known: seed, head, strict".to_owned())
    );
}
