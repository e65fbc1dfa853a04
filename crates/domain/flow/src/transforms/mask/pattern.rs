//! What a pattern matches inside a value.
//!
//! Many patterns of masks are one class of characters, repeated, from the start or anywhere: `^[^@]+`,
//! `[0-9]+`. Those are found with a table look-up per byte; everything else is left to the regex engine.

use std::ops::Range;

use levada_condition::condition::REGEX_BYTES_MAX;
use regex::{RegexBuilder, bytes};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A compiled pattern; works on bytes that are UTF-8.
pub(super) enum Pattern {
    Runs(Runs),
    Regex(bytes::Regex),
}

/// The longest runs of bytes of a class.
pub(super) struct Runs {
    class: Box<[bool; 256]>,
    /// Only a run at the start of the text.
    is_at_start: bool,
}

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern; the error says in one line where and what.
    pub(super) fn compile(pattern: &str) -> Result<Pattern, String> {
        // A pattern that could match parts of characters is refused here.
        compiled(RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build())?;
        if let Some(runs) = regex_syntax::parse(pattern).ok().and_then(|hir| Runs::new(&hir)) {
            return Ok(Pattern::Runs(runs));
        }
        let builder = &mut bytes::RegexBuilder::new(pattern);
        Ok(Pattern::Regex(compiled(builder.size_limit(REGEX_BYTES_MAX).build())?))
    }

    /// Calls `found` for every match that is not empty, in order, until it gives an error.
    #[inline]
    pub(super) fn each<E>(
        &self,
        text: &[u8],
        mut found: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Pattern::Regex(regex) => {
                let mut matches = regex.find_iter(text).filter(|found| !found.is_empty());
                matches.try_for_each(|one| found(one.range()))
            }
            Pattern::Runs(runs) => {
                let mut at = 0;
                loop {
                    let start = if runs.is_at_start { 0 } else { runs.find(text, at, true) };
                    at = runs.find(text, start, false);
                    if at > start {
                        found(start..at)?;
                    }
                    if runs.is_at_start || at >= text.len() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn compiled<T>(result: Result<T, regex::Error>) -> Result<T, String> {
    result.map_err(|error| {
        let text = error.to_string();
        // The message shows the pattern, indented by four, a caret below the place, and the reason.
        let caret = text.lines().find(|line| line.trim_start() == "^");
        let reason = text.lines().last().unwrap_or_default();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        match caret {
            Some(line) => format!("syntax error at column {}: {reason}", line.len().max(5) - 4),
            None => format!("not a usable pattern: {reason}"),
        }
    })
}

// === impl Runs ===

impl Runs {
    /// Recognises `[class]+` and `^[class]+`, where the class has all characters beyond ASCII or none.
    fn new(hir: &Hir) -> Option<Runs> {
        let (is_at_start, repeated) = match hir.kind() {
            HirKind::Concat(parts) => match &parts[..] {
                [start, repeated] if *start.kind() == HirKind::Look(Look::Start) => {
                    (true, repeated)
                }
                _ => return None,
            },
            _ => (false, hir),
        };
        let HirKind::Repetition(repetition) = repeated.kind() else { return None };
        if repetition.min != 1 || repetition.max.is_some() || !repetition.greedy {
            return None;
        }
        let HirKind::Class(Class::Unicode(characters)) = repetition.sub.kind() else { return None };
        let mut class = Box::new([false; 256]);
        for range in characters.ranges() {
            let (first, last) = (range.start(), range.end());
            if last == char::MAX && first <= '\u{80}' {
                class[0x80..].fill(true);
            } else if !last.is_ascii() {
                return None;
            }
            for byte in u32::from(first)..=u32::from(last).min(0x7f) {
                class[byte as usize] = true;
            }
        }
        Some(Runs { class, is_at_start })
    }

    /// Gives the first byte from `at` on that is in the class, or is not.
    #[inline]
    fn find(&self, text: &[u8], at: usize, is_in: bool) -> usize {
        let found = text[at..].iter().position(|&byte| self.class[byte as usize] == is_in);
        found.map_or(text.len(), |found| at + found)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PATTERNS: &[&str] = &[
        "^[^@]+",
        "[^@]+",
        "[a-c]+",
        "^[a-c]+",
        r"\A[0-9]+",
        r"\d+",
        r"\w+",
        ".+",
        "(?s).+",
        "a+",
        "^a+",
        "[a-cé]+",
        "(?i)[k]+",
        "[^é]+",
        "x*",
        "[@é]",
        "(?m)^[^@]+",
        "[^@]+?",
        "[^@]{2,}",
        "[^@]*",
        "b|c",
        r"[^\x00-\x7f]+",
        "^[^@]+$",
        r"\b[a-c]+",
    ];

    fn found(pattern: &Pattern, text: &str) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        let result = pattern.each(text.as_bytes(), |range| {
            all.push(range);
            Ok::<_, ()>(())
        });
        assert_eq!(result, Ok(()));
        all
    }

    #[test]
    fn repeated_classes_need_no_regex() {
        let is_runs = |pattern| matches!(Pattern::compile(pattern).unwrap(), Pattern::Runs(_));
        let runs: Vec<_> = PATTERNS.iter().copied().filter(|pattern| is_runs(pattern)).collect();
        let expected =
            ["^[^@]+", "[^@]+", "[a-c]+", "^[a-c]+", r"\A[0-9]+", ".+", "(?s).+", r"[^\x00-\x7f]+"];
        assert_eq!(runs, expected);
    }

    proptest::proptest! {
        // Each case compiles all patterns.
        #![proptest_config(proptest::test_runner::Config::with_cases(16))]

        #[test]
        fn matches_are_those_of_the_regex(text in "[abc@é0😀K\n]{0,12}") {
            for written in PATTERNS {
                let regex = regex::Regex::new(written).unwrap();
                let expected = regex.find_iter(&text).filter(|found| !found.is_empty());
                let expected: Vec<_> = expected.map(|found| found.range()).collect();
                let pattern = Pattern::compile(written).unwrap();
                proptest::prop_assert_eq!(found(&pattern, &text), expected, "{} in {:?}", written, text);
            }
        }
    }
}
