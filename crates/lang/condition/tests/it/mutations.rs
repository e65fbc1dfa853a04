//! Seeded mutations of good texts: nothing panics, nothing hangs.

#![expect(
    clippy::disallowed_methods,
    reason = "the bound is in real time, so the test reads the real clock"
)]

use std::time::{Duration, Instant};

use levada_condition::{Condition, Input, Path};
use levada_model::Meta;

use crate::Document;

/// How many mutations a run makes; the environment sets more for a long run.
const ITERATIONS: &str = "LEVADA_FUZZ_ITERATIONS";

const SEEDS: &[&str] = &[
    "$.status == 'active' && !($.count >= 5 || metadata.topic != \"x\")",
    "a.#(nets.#(==\"fb\"))#.first|@reverse|0 in (1, 'b', c) || exists(l[0]['k'])",
    "$.items.#(s=='a').v =~ '^[a-z]+\\d$' && x not in (y)",
    r#"a\.b.*.?c.#.d.@flatten:{"deep":true}|@keys|@values|@tostr < 12.50e3"#,
    "l.#.l.#(%\"*a*b?\")#.#|#(!=~x)#.-1.3 <= '\\'' || é.ü != null",
];

const PIECES: &[&str] = &[
    "#",
    "#(",
    ")#",
    ")",
    "(",
    "'",
    "\"",
    "\\",
    ".",
    "|",
    "||",
    "&&",
    "!",
    "==",
    "=",
    "~",
    "<",
    "%",
    "[",
    "]",
    "@this",
    "@",
    "*",
    "?",
    "$",
    "metadata.",
    " in (",
    " not in (",
    "exists(",
    ",",
    " ",
    "é",
    "\u{0}",
    "0",
    "-1",
    "{",
];

const DOCUMENT: &str = r##"{"a":[{"nets":["fb",1,null],"first":[[1],{"k":"v"}]},[[]]],"l":[{"l":[{"l":1},"ab"]},2.5e-3],
    "a.b":{"x":{"cc":[{"d":[1]}]}},"status":"act\u0069ve","count":"5","#":{"":0},"items":[{"s":"a","v":"z9"}],"é":{"ü":""}}"##;

/// A small generator of pseudo-random numbers (xorshift64*), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn mutate(&mut self, text: &mut String) {
        let at = self.place(text);
        match self.below(4) {
            0 => text.insert_str(at, PIECES[self.below(PIECES.len())]),
            1 => {
                let end = self.place(text).clamp(at, at + 8);
                if text.is_char_boundary(end) {
                    text.replace_range(at..end, "");
                }
            }
            2 => {
                let other = SEEDS[self.below(SEEDS.len())];
                let from = self.place(other);
                text.insert_str(at, &other[from..]);
            }
            _ => {
                let (start, end) = (self.place(text).min(at), at);
                let copy = text[start..end].to_owned();
                text.insert_str(at, &copy);
            }
        }
        if text.len() > 4_000 {
            text.truncate(text.floor_char_boundary(2_000));
        }
    }
}

fn exercise(text: &str, is_condition: &mut usize, is_path: &mut usize) {
    let mut document = Document::new(DOCUMENT);
    let meta: Meta = [("topic".into(), "x".into())].into_iter().collect();
    let (input_text, tree) = (&document.text, &document.tree);
    match Condition::compile(text) {
        Ok(condition) => {
            *is_condition += 1;
            condition.eval(Input {
                text: input_text,
                tree,
                root: Some(document.root),
                meta: Some(&meta),
            });
            condition.eval(Input { text: input_text, tree, root: None, meta: None });
        }
        Err(error) => assert!(error.at <= text.chars().count(), "{text}: {error}"),
    }
    match Path::compile(text) {
        Ok(path) => {
            *is_path += 1;
            let found = path.find(input_text, tree, document.root);
            let mut json = Vec::new();
            found.write_json(input_text, tree, &mut json);
            if found.exists() {
                serde_json::from_slice::<serde_json::Value>(&json).expect(text);
            }
            let mut nodes = Vec::new();
            path.existing(&document.text, &mut document.tree, document.root, &mut nodes);
            document.printed();
            path.remove(&document.text, &mut document.tree, document.root);
            document.printed();
            if path.ensure(&mut document.text, &mut document.tree, document.root).is_ok() {
                assert!(path.check_settable().is_ok());
            }
            document.printed();
        }
        Err(error) => assert!(error.at <= text.chars().count(), "{text}: {error}"),
    }
}

#[test]
fn no_text_panics_or_hangs() {
    let iterations =
        std::env::var(ITERATIONS).ok().and_then(|count| count.parse().ok()).unwrap_or(4_000);
    let mut random = Random(0x1e7a_da00_0000_0001);
    let (mut conditions, mut paths) = (0, 0);
    let mut text = String::new();
    for iteration in 0..iterations {
        if iteration % 8 == 0 {
            text = SEEDS[random.below(SEEDS.len())].to_owned();
            if random.below(2) == 0 {
                let end = random.place(&text);
                text.truncate(end);
            }
        }
        random.mutate(&mut text);
        let started = Instant::now();
        exercise(&text, &mut conditions, &mut paths);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?} for {text}");
    }
    // Otherwise the mutations only ever test the first error.
    assert!(conditions > iterations / 50, "{conditions} of {iterations} compiled");
    assert!(paths > iterations / 50, "{paths} of {iterations} compiled");
}

/// The shapes that make naive parsers and matchers quadratic or recursive.
#[test]
fn long_repetitions_take_no_time() {
    let started = Instant::now();
    for piece in [
        "(", "!", "#(", "a.", "a|", "[0]", "\\", "'", "a && ", "#(a ", " ", " in (", "not ",
        "@this|", "*?", "[", "é",
    ] {
        let text = piece.repeat(60_000 / piece.len());
        exercise(&text, &mut 0, &mut 0);
        exercise(&format!("a == '{text}"), &mut 0, &mut 0);
        exercise(&format!("#(a{text}"), &mut 0, &mut 0);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}
