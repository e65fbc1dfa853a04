//! Patterns: most need no regex engine, the others share one automaton per list.

use levada_pattern::{COMPILED_BYTES_MAX, Regex};
use memchr::memmem::Finder;
use regex::{RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};
use thiserror::Error;

/// The most memory of all compiled patterns of one filter, in bytes, roughly.
pub const PATTERN_BYTES_MAX: usize = 32 << 20;

/// The most memory that the states found while searching take, in bytes, per pattern or list and thread.
const SEARCH_BYTES_MAX: usize = 1 << 20;

/// A list with more simple patterns is searched by one automaton.
const SIMPLE_MAX: usize = 8;

/// What a pattern is charged with: the smallest of these that it can be compiled in. The first is what the engine
/// needs for a class of a whole script.
const CHARGES: [usize; 6] = [1 << 13, 1 << 16, 1 << 18, COMPILED_BYTES_MAX, 1 << 22, 1 << 24];

/// How much memory is left for patterns.
#[derive(Debug)]
pub(super) struct Budget(usize);

/// Why a pattern cannot be compiled.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum PatternError {
    /// It is none; in Go's words, ``error parsing regexp: missing closing ): `x(` ``.
    #[error("{0}")]
    Invalid(String),
    /// Together with the others it is too large.
    #[error("the patterns of the filter take more than {0} bytes")]
    TooMuch(usize),
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Always,
    Contains(Box<Finder<'static>>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Whole(Box<[u8]>),
    Regex(regex::Regex),
}

/// Patterns of which one has to be found.
#[derive(Clone, Debug)]
pub(super) struct AnyOf {
    patterns: Box<[Pattern]>,
    set: Option<RegexSet>,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new() -> Self {
        Budget(PATTERN_BYTES_MAX)
    }

    /// Compiles with the smallest limit that suffices, and takes it off; what does not compile costs as much as what
    /// was tried, because the trying took its time.
    fn spend<T>(
        &mut self,
        limit: usize,
        build: impl Fn(usize) -> Result<T, regex::Error>,
    ) -> Option<T> {
        let limit = limit.min(self.0);
        for charge in CHARGES.into_iter().filter(|charge| *charge <= limit) {
            if let Ok(built) = build(charge) {
                self.0 -= charge;
                return Some(built);
            }
        }
        self.0 -= limit;
        None
    }

    /// Says whether nothing more can be compiled.
    fn is_spent(&self) -> bool {
        self.0 < CHARGES[0]
    }
}

fn too_much() -> PatternError {
    PatternError::TooMuch(PATTERN_BYTES_MAX)
}

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn compile(pattern: &str, budget: &mut Budget) -> Result<Pattern, PatternError> {
        let translated = levada_pattern::translate(pattern).map_err(PatternError::Invalid)?;
        let Ok(tree) = regex_syntax::parse(&translated) else { return Pattern::refused(pattern) };
        if let Some(simple) = Pattern::simple(&tree) {
            return Ok(simple);
        }
        if budget.is_spent() {
            return Err(too_much());
        }
        let compiled = budget.spend(COMPILED_BYTES_MAX, |bytes| {
            let mut builder = RegexBuilder::new(&translated);
            builder.size_limit(bytes).dfa_size_limit(SEARCH_BYTES_MAX).build()
        });
        match compiled {
            Some(compiled) => Ok(Pattern::Regex(compiled)),
            None if budget.is_spent() => Err(too_much()),
            None => Pattern::refused(pattern),
        }
    }

    /// Gives the error of a pattern that cannot be compiled, in the words of Go.
    #[cold]
    fn refused(pattern: &str) -> Result<Pattern, PatternError> {
        let compiled = Regex::compile(pattern).map_err(PatternError::Invalid)?;
        Ok(Pattern::Regex(compiled.regex))
    }

    /// Makes a pattern that is found where a text is.
    pub(super) fn contains(text: &str) -> Pattern {
        Pattern::Contains(Box::new(Finder::new(text).into_owned()))
    }

    /// Makes a pattern that is found where a text is the beginning.
    pub(super) fn prefix(text: &str) -> Pattern {
        Pattern::Prefix(text.as_bytes().into())
    }

    /// Gives the pattern if it is a text, perhaps with anchors: `abc`, `^abc`, `abc.*`, `^abc$`.
    fn simple(tree: &Hir) -> Option<Pattern> {
        let mut parts = match tree.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            _ => std::slice::from_ref(tree),
        };
        let is_look =
            |part: &Hir, wanted| matches!(part.kind(), HirKind::Look(look) if *look == wanted);
        let (mut is_start, mut is_end) = (false, false);
        while let [first, rest @ ..] = parts {
            match is_look(first, Look::Start) {
                true => is_start = true,
                // What may be empty at an open end does not matter.
                false if !is_start && may_be_empty(first) => {}
                false => break,
            }
            parts = rest;
        }
        while let [rest @ .., last] = parts {
            match is_look(last, Look::End) {
                true => is_end = true,
                false if !is_end && may_be_empty(last) => {}
                false => break,
            }
            parts = rest;
        }
        let text: &[u8] = match parts {
            [] => &[],
            [only] => match only.kind() {
                HirKind::Literal(literal) => &literal.0,
                HirKind::Empty => &[],
                _ => return None,
            },
            _ => return None,
        };
        Some(match (is_start, is_end) {
            (true, true) => Pattern::Whole(text.into()),
            (true, false) => Pattern::Prefix(text.into()),
            (false, true) => Pattern::Suffix(text.into()),
            (false, false) if text.is_empty() => Pattern::Always,
            (false, false) => Pattern::Contains(Box::new(Finder::new(text).into_owned())),
        })
    }

    #[inline]
    pub(super) fn is_found(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Pattern::Always => true,
            Pattern::Contains(finder) => finder.find(bytes).is_some(),
            Pattern::Prefix(prefix) => bytes.starts_with(prefix),
            Pattern::Suffix(suffix) => bytes.ends_with(suffix),
            Pattern::Whole(whole) => *bytes == **whole,
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

fn may_be_empty(part: &Hir) -> bool {
    matches!(part.kind(), HirKind::Repetition(repetition) if repetition.min == 0)
}

// === impl AnyOf ===

impl AnyOf {
    pub(super) fn one(pattern: Pattern) -> Self {
        AnyOf { patterns: Box::new([pattern]), set: None }
    }

    /// Joins patterns that are texts.
    pub(super) fn of_texts(patterns: Vec<Pattern>) -> Self {
        AnyOf { patterns: patterns.into(), set: None }
    }

    /// Joins patterns; `sources` are the same ones as written.
    pub(super) fn new(
        patterns: Vec<Pattern>,
        sources: &[&str],
        budget: &mut Budget,
    ) -> Result<Self, PatternError> {
        let is_regex = |pattern: &Pattern| matches!(pattern, Pattern::Regex(_));
        let simple = patterns.iter().filter(|pattern| !is_regex(pattern)).count();
        let is_joined = |pattern: &Pattern| is_regex(pattern) || simple > SIMPLE_MAX;
        let mut joined = Vec::new();
        for (pattern, source) in patterns.iter().zip(sources) {
            if is_joined(pattern) {
                joined.push(levada_pattern::translate(source).map_err(PatternError::Invalid)?);
            }
        }
        if joined.len() < 2 {
            return Ok(AnyOf { patterns: patterns.into(), set: None });
        }
        let set = budget.spend(usize::MAX, |bytes| {
            let mut builder = RegexSetBuilder::new(&joined);
            builder.size_limit(bytes).dfa_size_limit(SEARCH_BYTES_MAX).build()
        });
        let set = set.ok_or_else(too_much)?;
        let patterns = patterns.into_iter().filter(|pattern| !is_joined(pattern)).collect();
        Ok(AnyOf { patterns, set: Some(set) })
    }

    /// Gives the text, when it is the only one in which anything is found: `^abc$`.
    pub(super) fn whole_text(&self) -> Option<&str> {
        match (&*self.patterns, &self.set) {
            ([Pattern::Whole(text)], None) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn is_found(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_found(text))
            || self.set.as_ref().is_some_and(|set| set.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn simple_patterns_need_no_engine() {
        for (pattern, matching, other) in [
            ("abc", "xabcx", "ab"),
            ("^abc", "abcx", "xabc"),
            ("abc$", "xabc", "abcx"),
            ("^abc$", "abc", "abcx"),
            ("^$", "", "a"),
            ("b.*", "abc", "ac"),
            (".*b.*", "abc", "ac"),
            (r"^a\.b", "a.bc", "axb"),
            (r"\Qa+b\E", "a+b", "aab"),
        ] {
            let compiled = Pattern::compile(pattern, &mut Budget::new()).unwrap();
            assert!(!matches!(compiled, Pattern::Regex(_)), "{pattern}");
            assert!(compiled.is_found(matching), "{pattern}");
            assert!(!compiled.is_found(other), "{pattern}");
        }
        assert!(matches!(Pattern::compile("", &mut Budget::new()), Ok(Pattern::Always)));
        assert!(matches!(Pattern::compile(".*", &mut Budget::new()), Ok(Pattern::Always)));
    }

    #[test]
    fn other_patterns_do() {
        for pattern in ["a|b", "(?i)abc", "[ab]", "^.*b", "a+", r"\bx", "(?m)^a", "a(b)?"] {
            let compiled = Pattern::compile(pattern, &mut Budget::new()).unwrap();
            let is_open = pattern == "a(b)?";
            assert_eq!(matches!(compiled, Pattern::Regex(_)), !is_open, "{pattern}");
        }
    }

    #[test]
    fn patterns_share_a_budget() {
        let mut budget = Budget::new();
        // Each needs some hundred kilobytes.
        let results: Vec<bool> = (0..200)
            .map(|n| Pattern::compile(&format!(r"\pL{{10}}{n}"), &mut budget).is_ok())
            .collect();
        let count = results.iter().filter(|is_ok| **is_ok).count();
        assert!((16..=128).contains(&count), "{count}");
        let error = Pattern::compile(r"\pL{10}", &mut budget).unwrap_err();
        assert_eq!(error, PatternError::TooMuch(PATTERN_BYTES_MAX));
        assert!(Pattern::compile("^text", &mut budget).is_ok(), "texts are free");
    }

    #[test]
    fn lists_of_patterns_agree_with_their_members() {
        let texts = ["", "a", "web-1", "db-22", "x.y", "ABC", "zzz"];
        let long: Vec<String> = (0..12).map(|n| format!("^host-{n}$")).collect();
        let lists: [Vec<&str>; 4] = [
            vec!["^web-[0-9]+$", "[A-Z]"],
            vec!["^web", "z$", "[0-9]{2}"],
            vec![],
            long.iter().map(String::as_str).chain(["z"]).collect(),
        ];
        for sources in lists {
            let mut budget = Budget::new();
            let compile = |source: &&str| Pattern::compile(source, &mut Budget::new()).unwrap();
            let patterns: Vec<Pattern> = sources.iter().map(compile).collect();
            let list = AnyOf::new(patterns.clone(), &sources, &mut budget).unwrap();
            for text in texts.into_iter().chain(["host-3", "host-33"]) {
                let expected = patterns.iter().any(|pattern| pattern.is_found(text));
                assert_eq!(list.is_found(text), expected, "{sources:?} on {text:?}");
            }
        }
    }
}
