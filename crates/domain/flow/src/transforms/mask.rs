//! `mask`: replaces the values of fields by text that does not show them.

use std::borrow::Cow;
use std::fmt::Write as _;

use levada_condition::path::Path;
use levada_model::text::encode_content;
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::keys::{check_paths, compiled_writable, room_for};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

mod pattern;

use pattern::Pattern;

const MASK_DEFAULT: &str = "*";

/// How often `maskChar` stands for a value whose length is not shown.
const FIXED_LENGTH: usize = 3;

/// How many characters `mode: partial` shows.
const SHOWN: usize = 4;

/// Replaces the values of fields by text that does not show them; whatever they were, they become strings.
///
/// Every value that a path means is masked, each by itself. Where a name occurs more than once in an
/// object, only the masked one is left.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The paths of the fields, at least one.
    pub fields: Vec<String>,
    /// What stands in place of a character; may be several characters. Default: `*`.
    pub mask_char: String,
    /// Writes `maskChar` once per character instead of three times. Numbers count as they print in
    /// decimal, arrays and objects as JSON, `null` as nothing. Default: false.
    pub keep_length: bool,
    /// A regular expression: only what it matches inside a value is masked, and a value without a
    /// match stays as it is. Default: the whole value.
    pub pattern: Option<String>,
    /// How a value is masked. Default: `mask`.
    pub mode: Mode,
    /// Fails the record when one of the fields is absent. Default: false, absent fields are skipped.
    pub strict: bool,
}

/// How a value is masked.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// By `maskChar`.
    #[default]
    Mask,
    /// By its SHA-256 in hexadecimal digits: equal values stay recognisable as equal. Without a salt,
    /// so values that can be guessed can be found.
    Hash,
    /// By `maskChar`, but the last four characters stay; shorter values are masked whole.
    Partial,
}

impl Spec {
    fn pattern(&self) -> Result<Option<Pattern>, String> {
        self.pattern.as_deref().map(Pattern::compile).transpose()
    }
}

impl TransformSpec for Spec {
    const NAME: &'static str = "mask";
    const SUMMARY: &'static str = "replaces the values of fields by text that does not show them";
    const EXAMPLE: &'static str = "\
type: mask
config:
  fields: [password, $.cards.#.number]
  keepLength: true
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_paths(&self.fields, at, report, Path::check_writable);
        if let (Some(pattern), Err(error)) = (&self.pattern, self.pattern()) {
            report.invalid(&at.child("pattern"), pattern.as_str(), &error);
        }
    }

    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mask = match self.mask_char.as_str() {
            "" => MASK_DEFAULT,
            mask => mask,
        };
        let mut encoded = Vec::new();
        encode_content(mask.as_bytes(), &mut encoded);
        Ok(Box::new(Mask {
            paths: compiled_writable(&self.fields)?,
            pattern: self.pattern()?,
            is_strict: self.strict,
            pen: Pen {
                mode: self.mode,
                fixed: encoded.repeat(FIXED_LENGTH).into(),
                mask: encoded.into(),
                keeps_length: self.keep_length,
                counts_bytes: ctx.compat,
            },
            nodes: Vec::new(),
            values: Vec::new(),
            out: Vec::new(),
        }))
    }
}

struct Mask {
    paths: Box<[Path]>,
    pattern: Option<Pattern>,
    is_strict: bool,
    pen: Pen,
    /// What follows is memory that is used again.
    nodes: Vec<NodeId>,
    /// Where in `out` the new values of nodes stand, and whether they hold escapes.
    values: Vec<(NodeId, usize, usize, bool)>,
    out: Vec<u8>,
}

/// Writes masks as what stands between the quotes of a string.
struct Pen {
    mode: Mode,
    /// What stands for a character, and what for a value whose length is not shown; escapes are written.
    mask: Box<[u8]>,
    fixed: Box<[u8]>,
    keeps_length: bool,
    /// The original counts bytes.
    counts_bytes: bool,
}

impl Transform for Mask {
    /// Finds all nodes, then makes all new values, then changes the document: a step that fails has
    /// changed nothing, and no mask disturbs a query of a later path.
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        if self.is_strict {
            // Before anything is touched; paths of many are only known once they are followed.
            let (text, tree) = (&batch.text, &batch.tree);
            let mut plain = self.paths.iter().filter(|path| path.is_plain());
            if let Some(path) = plain.find(|path| path.find_node(text, tree, root).is_none()) {
                return Err(absent(path));
            }
        }
        self.nodes.clear();
        for path in &self.paths {
            let before = self.nodes.len();
            path.existing(&batch.text, &mut batch.tree, root, &mut self.nodes);
            if self.is_strict && self.nodes.len() == before {
                return Err(absent(path));
            }
        }
        self.out.clear();
        self.values.clear();
        for at in 0..self.nodes.len() {
            self.render(batch, self.nodes[at], &mut scope.scratch)?;
        }
        room_for(batch, "mask", self.out.len())?;
        let base = batch.text.len();
        batch.text.extend_from_slice(&self.out);
        for &(node, start, end, escaped) in &self.values {
            let (start, end) = ((base + start) as u32, (base + end) as u32);
            batch.tree.set_scalar(node, NodeKind::String, start, end, escaped);
        }
        Ok(Verdict::Keep)
    }
}

#[cold]
fn absent(path: &Path) -> RecordError {
    RecordError::transform(format!("mask: field `{path}` is absent, and the step is strict"))
}

impl Mask {
    /// Appends the new value of a node to `out`, unless it keeps the one it has.
    fn render(
        &mut self,
        batch: &RecordBatch,
        node: NodeId,
        scratch: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let Mask { pen, out, .. } = self;
        let start = out.len();
        let room = |bytes: usize| room_for(batch, "mask", bytes);
        out.push(b'"');
        match &self.pattern {
            None if pen.mode == Mode::Mask && !pen.keeps_length => {
                out.extend_from_slice(&pen.fixed);
            }
            None => {
                let value = value_text(batch, node, scratch);
                if batch.tree.kind(node) == NodeKind::Number && pen.mode == Mode::Mask {
                    let literal = str::from_utf8(&value).unwrap_or_default();
                    pen.repeat(number_length(literal), out, room)?;
                } else {
                    pen.write(&value, out, room)?;
                }
            }
            Some(pattern) => {
                let value = value_text(batch, node, scratch);
                let mut copied = 0;
                pattern.each(&value, |found| {
                    encode_content(&value[copied..found.start], out);
                    copied = found.end;
                    pen.write(&value[found], out, room)
                })?;
                if copied == 0 {
                    out.truncate(start);
                    return Ok(());
                }
                encode_content(&value[copied..], out);
            }
        }
        let is_escaped = memchr(b'\\', &out[start..]).is_some();
        out.push(b'"');
        self.values.push((node, start, out.len(), is_escaped));
        Ok(())
    }
}

impl Pen {
    fn write(
        &self,
        value: &[u8],
        out: &mut Vec<u8>,
        room: impl Fn(usize) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        match self.mode {
            Mode::Mask => self.hide(value, out, room),
            Mode::Hash => {
                for byte in Sha256::digest(value) {
                    out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
                }
                room(out.len())
            }
            Mode::Partial => {
                let mut starts =
                    value.iter().enumerate().rev().filter(|(_, byte)| is_first(**byte));
                // The whole of a short value would be shown.
                let shown = match starts.nth(SHOWN - 1) {
                    Some((at, _)) if at > 0 => at,
                    _ => value.len(),
                };
                let (hidden, tail) = value.split_at(shown);
                self.hide(hidden, out, room)?;
                encode_content(tail, out);
                Ok(())
            }
        }
    }

    fn hide(
        &self,
        value: &[u8],
        out: &mut Vec<u8>,
        room: impl Fn(usize) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        if !self.keeps_length {
            out.extend_from_slice(&self.fixed);
            return room(out.len());
        }
        let count = match self.counts_bytes {
            true => value.len(),
            false => value.iter().filter(|&&byte| is_first(byte)).count(),
        };
        self.repeat(count, out, room)
    }

    fn repeat(
        &self,
        count: usize,
        out: &mut Vec<u8>,
        room: impl Fn(usize) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        room(count.saturating_mul(self.mask.len()).saturating_add(out.len()))?;
        for _ in 0..count {
            out.extend_from_slice(&self.mask);
        }
        Ok(())
    }
}

/// Tells whether a byte of UTF-8 is the first one of its character.
fn is_first(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit & 15)]
}

/// Gives what a value says: strings without quotes, `null` as nothing, arrays and objects as JSON.
#[inline]
fn value_text<'b>(batch: &'b RecordBatch, node: NodeId, scratch: &'b mut Vec<u8>) -> Cow<'b, [u8]> {
    let (tree, text) = (&batch.tree, &batch.text);
    match tree.kind(node) {
        NodeKind::Null => Cow::Borrowed(b""),
        NodeKind::String => tree.string_bytes(text, node).unwrap_or_default(),
        NodeKind::True | NodeKind::False | NodeKind::Number => {
            Cow::Borrowed(tree.literal(text, node).unwrap_or_default().as_bytes())
        }
        NodeKind::Array | NodeKind::Object => {
            scratch.clear();
            tree.print(text, node, scratch);
            Cow::Borrowed(scratch)
        }
    }
}

/// Gives how many characters a number has in plain decimal form: `12.50` has four, `1e3` four.
///
/// Source: gjson `Result.String`, which leaves whole numbers as they are written.
fn number_length(literal: &str) -> usize {
    struct Count(usize);
    impl std::fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let is_whole = !literal.contains(['.', 'e', 'E']);
    match literal.parse::<f64>() {
        Ok(number) if !is_whole && number.is_finite() => {
            let mut count = Count(0);
            match write!(count, "{number}") {
                Ok(()) => count.0,
                Err(_) => literal.len(),
            }
        }
        _ => literal.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    fn check(config: &str, input: &str, expected: &str) {
        testing::check::<Spec>(config, input, &[expected]);
    }

    #[test]
    fn values_become_masks() {
        check(
            "{fields: [password, card.no], keepLength: true}",
            r#"{"password":"abc","card":{"no":"1234"}}"#,
            r#"{"password":"***","card":{"no":"****"}}"#,
        );
        check("{fields: [pin], maskChar: X}", r#"{"pin":12345}"#, r#"{"pin":"XXX"}"#);
        for value in ["null", r#""""#, "true", "[1]", r#"{"a":1}"#, "-1.5"] {
            let input = format!("{{\"a\":{value}}}");
            check("{fields: [a]}", &input, r#"{"a":"***"}"#);
        }
    }

    #[test]
    fn nothing_else_changes() {
        check(
            "{fields: [$.p, missing, p.q]}",
            r#" { "n" : 12345678901234567890 , "p" : "x", "e":1e21,"z":10.0 , "u":"\u003c<" } "#
                .trim(),
            r#"{ "n" : 12345678901234567890 , "p" : "***", "e":1e21,"z":10.0 , "u":"\u003c<" }"#,
        );
        check("{fields: [b]}", r#"{ "a" : 1 }"#, r#"{ "a" : 1 }"#);
    }

    #[test]
    fn the_kept_length_is_that_of_the_text_in_characters() {
        for (value, length) in [
            (r#""пароль""#, 6),
            (r#""a\"b\u00e9""#, 4),
            ("12.50", 4),
            ("12345678901234567890", 20),
            ("1e3", 4),
            ("true", 4),
            ("null", 0),
            (r#""""#, 0),
            (r#"{"é": 1}"#, 8),
            ("[1, 2]", 6),
        ] {
            let input = format!("{{\"a\":{value}}}");
            let expected = format!("{{\"a\":\"{}\"}}", "*".repeat(length));
            check("{fields: [a], keepLength: true}", &input, &expected);
        }
        check(
            r#"{fields: [a], keepLength: true, maskChar: "\"-"}"#,
            r#"{"a":"xy"}"#,
            r#"{"a":"\"-\"-"}"#,
        );
        let input = r#"{"a":"пароль"}"#;
        let expected = format!("{{\"a\":\"{}\"}}", "*".repeat(12));
        testing::check_compat::<Spec>("{fields: [a], keepLength: true}", input, &[&expected]);
    }

    #[test]
    fn every_element_gets_its_own_mask() {
        check(
            "{fields: [users.#.email], keepLength: true}",
            r#"{"users":[{"email":"a@b"},{"x":1},{"email":"long@x"}]}"#,
            r#"{"users":[{"email":"***"},{"x":1},{"email":"******"}]}"#,
        );
        check(
            "{fields: ['a[1]', 'b.0']}",
            r#"{"a":[1,2],"b":[3]}"#,
            r#"{"a":[1,"***"],"b":["***"]}"#,
        );
        check("{fields: ['#.a']}", r#"[{"a":1},{"a":2}]"#, r#"[{"a":"***"},{"a":"***"}]"#);
        check("{fields: ['a\\.b']}", r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a.b":"***","a":{"b":2}}"#);
        check("{fields: [имя]}", r#"{"имя":"я"}"#, r#"{"имя":"***"}"#);
    }

    #[test]
    fn no_duplicate_of_a_masked_key_is_left() {
        check("{fields: [a]}", r#"{"a":"x","b":1,"a":"y"}"#, r#"{"b":1,"a":"***"}"#);
        check("{fields: [a.b]}", r#"{"a":{"b":1},"a":{"b":2}}"#, r#"{"a":{"b":"***"}}"#);
        check("{fields: [a]}", r#"{"\u0061":"x","a":"y"}"#, r#"{"a":"***"}"#);
    }

    #[test]
    fn a_mask_does_not_hide_what_a_later_path_looks_for() {
        check(
            r#"{fields: ['u.#(id=="7").id', 'u.#(id=="7").name']}"#,
            r#"{"u":[{"id":"7","name":"n"}]}"#,
            r#"{"u":[{"id":"***","name":"***"}]}"#,
        );
        check("{fields: [a, a.b]}", r#"{"a":{"b":1}}"#, r#"{"a":"***"}"#);
        check("{fields: [a.b, a]}", r#"{"a":{"b":1}}"#, r#"{"a":"***"}"#);
    }

    #[test]
    fn a_pattern_masks_what_it_matches() {
        let local = r#"{fields: [$.user.email], pattern: "^[^@]+"}"#;
        check(local, r#"{"user":{"email":"ann@x.org"}}"#, r#"{"user":{"email":"***@x.org"}}"#);
        check(local, r#"{"user":{"email":"@x"}}"#, r#"{"user":{"email":"@x"}}"#);
        check(local, r#"{"user":{"email":"\"q\"@\n"}}"#, r#"{"user":{"email":"***@\n"}}"#);
        check(
            r#"{fields: [a], pattern: '\d+', keepLength: true, maskChar: '#'}"#,
            r#"{"a":"x12 й345"}"#,
            r###"{"a":"x## й###"}"###,
        );
        check(r#"{fields: [a], pattern: '\d{3}'}"#, r#"{"a":12345}"#, r#"{"a":"***45"}"#);
        check("{fields: [a], pattern: 'x*'}", r#"{"a":"ab"}"#, r#"{"a":"ab"}"#);
        check("{fields: [a], pattern: b, mode: hash}", r#"{"a":12.50}"#, r#"{"a":12.50}"#);
    }

    #[test]
    fn a_hash_stands_for_the_value() {
        check(
            "{fields: [a, b], mode: hash}",
            r#"{"a":"abc","b":"a\u0062c"}"#,
            r#"{"a":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","b":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#,
        );
    }

    #[test]
    fn a_partial_mask_shows_the_last_four() {
        let config = "{fields: [a], mode: partial}";
        check(config, r#"{"a":"4111111111111234"}"#, r#"{"a":"***1234"}"#);
        check(config, r#"{"a":4111111111111234}"#, r#"{"a":"***1234"}"#);
        check(config, r#"{"a":"1234"}"#, r#"{"a":"***"}"#);
        check(config, r#"{"a":""}"#, r#"{"a":"***"}"#);
        let config = "{fields: [a], mode: partial, keepLength: true}";
        check(config, r#"{"a":"яя\"йцук"}"#, r#"{"a":"***йцук"}"#);
        check(config, r#"{"a":"123"}"#, r#"{"a":"***"}"#);
        check(config, r#"{"a":"12345"}"#, r#"{"a":"*2345"}"#);
    }

    #[test]
    fn strict_wants_every_field() {
        check("{fields: [a], strict: true}", r#"{"a":null}"#, r#"{"a":"***"}"#);
        check(
            "{fields: [a, b.c], strict: true}",
            r#"{ "a":1, "b":{} }"#,
            "error: mask: field `b.c` is absent, and the step is strict",
        );
    }

    #[test]
    fn other_payloads_pass_unchanged() {
        testing::check_unchanged::<Spec>("{fields: [a]}", NOT_JSON);
        testing::check_unchanged::<Spec>("{fields: [a]}", NOT_OBJECTS);
        testing::check_unchanged::<Spec>("{fields: [a]}", &[b"null", b"{}"]);
    }

    #[test]
    fn a_mask_that_would_not_fit_is_an_error() {
        let long = "x".repeat(1 << 16);
        let config = format!("{{fields: [a], keepLength: true, maskChar: {long}}}");
        check(
            &config,
            &format!("{{\"a\":\"{long}\"}}"),
            "error: mask: the batch has no room for the result; read smaller batches",
        );
    }

    #[test]
    fn settings_are_checked() {
        testing::check_problems::<Spec>(
            "{pattern: 'a(b'}",
            &[
                "config.fields: Required value: at least one field is required",
                "config.pattern: Invalid value: \"a(b\": syntax error at column 2: unclosed group",
            ],
        );
        testing::check_problems::<Spec>(
            "{fields: [a], mode: rot13}",
            &["config.mode: Invalid value: \"rot13\": must be one of `mask`, `hash`, `partial`"],
        );
        let problems = testing::spec::<Spec>("{fields: [a, 'b.#', '$', '']}").1;
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems[0].starts_with("config.fields[1]: Invalid value: \"b.#\": syntax error at")
        );
    }
}
