//! Patterns as Go knows them: regular expressions of RE2, compiled by the regex engine at hand, and globs of paths ([`Glob`]).
//!
//! The two differ in small things: `\d \s \w \b` know ASCII only, `{` may stand for itself, classes have no set
//! operators, `\Q…\E` and octal escapes exist. A pattern is rewritten so that it means what it means in Go.
//!
//! Pure and bounded: a pattern that would compile to more than [`COMPILED_BYTES_MAX`] is refused. [`Regex`] is one
//! pattern; [`translate`] is for those who compile several into one automaton.

mod glob;
mod rewrite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use glob::{BadGlob, Glob};
use regex_syntax::ast::ErrorKind;

/// Largest compiled pattern, bytes: ten thousand letters, or a hundred classes of a whole script.
pub const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A compiled pattern and its source.
#[derive(Debug)]
pub struct Regex {
    /// The pattern in RE2 syntax.
    pub pattern: Arc<str>,
    /// Compiled; `\d \s \w \b` know ASCII only, as in Go.
    pub regex: regex::Regex,
}

/// Rewrites a pattern into the dialect of the `regex` crate, in which it means the same.
///
/// What comes out may still be refused when it is compiled; [`Regex::compile`] has Go's words for that too.
///
/// - Errors: in Go's words, ``error parsing regexp: missing closing ): `x(` ``.
pub fn translate(pattern: &str) -> Result<String, String> {
    rewrite::rewrite(pattern).map_err(refused)
}

// === impl Regex ===

impl Regex {
    /// Compiles a pattern; `/` stands for itself.
    ///
    /// - Errors: in Go's words, ``error parsing regexp: missing closing ): `x(` ``.
    pub fn compile(pattern: &str) -> Result<Regex, String> {
        let rewritten = translate(pattern)?;
        let compiled = regex::RegexBuilder::new(&rewritten).size_limit(COMPILED_BYTES_MAX).build();
        match compiled {
            Ok(regex) => Ok(Regex { pattern: pattern.into(), regex }),
            Err(_) => Err(refused((reason(&rewritten), pattern))),
        }
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.pattern == other.pattern
    }
}

fn refused((code, part): rewrite::Refusal<'_>) -> String {
    format!("error parsing regexp: {code}: `{part}`")
}

/// Gives Go's code for what the engine refuses.
fn reason(rewritten: &str) -> &'static str {
    let kind = match regex_syntax::parse(rewritten) {
        Err(regex_syntax::Error::Parse(error)) => error.kind().clone(),
        Err(regex_syntax::Error::Translate(_)) => return "invalid character class range",
        _ => return "expression too large",
    };
    match kind {
        ErrorKind::GroupUnclosed | ErrorKind::FlagUnexpectedEof => "missing closing )",
        ErrorKind::GroupUnopened => "unexpected )",
        ErrorKind::NestLimitExceeded(_) => "expression nests too deeply",
        ErrorKind::GroupNameDuplicate { .. }
        | ErrorKind::GroupNameEmpty
        | ErrorKind::GroupNameInvalid
        | ErrorKind::GroupNameUnexpectedEof => "invalid named capture",
        ErrorKind::UnicodeClassInvalid => "invalid character class range",
        _ => "invalid or unsupported Perl syntax",
    }
}
