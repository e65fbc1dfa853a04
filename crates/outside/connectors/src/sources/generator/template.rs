//! Templates of generated records: text with placeholders, compiled once.
//!
//! What a placeholder becomes depends on the seed, the index of the record and the place of the
//! placeholder, and on nothing that came before. So any record can be made again alone, and a flow
//! that is resumed goes on with the same sequence.

use levada_codec::json_text::{append_f64, append_i64, append_u64};

/// Longest template in bytes. Ours: a record of this size is not a sample any more.
pub(super) const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// Placeholders with their arguments, for messages.
const KNOWN: &str = "`index`, `int MIN MAX`, `float MIN MAX`, `word`, `pick A B ...`, `uuid`, `time`, `email`, `ip`";

const WORDS: [&str; 32] = [
    "amber", "basin", "canal", "delta", "ember", "field", "grove", "harbor", "island", "juniper",
    "kettle", "lagoon", "meadow", "north", "orchard", "pebble", "quarry", "river", "sluice",
    "terrace", "upland", "valley", "willow", "yarrow", "zephyr", "brook", "cedar", "dune", "fern",
    "gravel", "heron", "moss",
];

/// Domains that nobody can own. Source: RFC 2606 §3.
const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];

/// Networks that nobody can own. Source: RFC 5737 §3.
const NETWORKS: [&str; 3] = ["192.0.2.", "198.51.100.", "203.0.113."];

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// A placeholder without an end.
    #[error("placeholder at byte `{at}` has no end; close it with `}}}}`")]
    Unclosed {
        /// Where it begins.
        at: usize,
    },
    /// A placeholder that does not exist.
    #[error("unknown placeholder `{name}` at byte `{at}`; known: {KNOWN}")]
    Unknown {
        /// Where it begins.
        at: usize,
        /// What was written.
        name: String,
    },
    /// A placeholder with wrong arguments.
    #[error("placeholder `{name}` at byte `{at}` needs {needs}")]
    Arguments {
        /// Where it begins.
        at: usize,
        /// Which one.
        name: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// More text than a record may hold.
    #[error("template is longer than `{TEMPLATE_BYTES_MAX}` bytes; shorten it")]
    TooLong,
}

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Index,
    Int { min: i64, range: u64 },
    Float { min: f64, max: f64 },
    Word,
    Pick(Vec<Vec<u8>>),
    Uuid,
    Time,
    Email,
    Ip,
}

/// Random numbers that follow from a seed. Source: SplitMix64, public domain, by S. Vigna.
struct Random(u64);

// === impl Template ===

impl Template {
    /// Compiles a template.
    ///
    /// - Errors: the first placeholder that is wrong, with its place.
    pub(super) fn compile(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("{{") {
            let start = at + found;
            if found > 0 {
                parts.push(Part::Text(text.as_bytes()[at..start].to_vec()));
            }
            let inside = start + 2;
            let end = text[inside..].find("}}").ok_or(TemplateError::Unclosed { at: start })?;
            parts.push(Part::compile(&text[inside..inside + end], start)?);
            at = inside + end + 2;
        }
        if at < text.len() {
            parts.push(Part::Text(text.as_bytes()[at..].to_vec()));
        }
        Ok(Template { parts })
    }

    /// Appends the record number `index`; `time` is what `{{time}}` becomes.
    pub(super) fn append(&self, seed: u64, index: u64, time: &[u8], out: &mut Vec<u8>) {
        let mut record = Random(Random(seed).next() ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let start = record.next();
        for (place, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                part => {
                    let mut random =
                        Random(start ^ (place as u64).wrapping_mul(0x9fb2_1c65_1e98_df25));
                    part.append(&mut random, index, time, out);
                }
            }
        }
    }
}

// === impl Part ===

impl Part {
    fn compile(inside: &str, at: usize) -> Result<Self, TemplateError> {
        let mut words = inside.split_whitespace();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let plain = |name, part| match arguments.as_slice() {
            [] => Ok(part),
            _ => Err(TemplateError::Arguments { at, name, needs: "no arguments" }),
        };
        match name {
            "index" => plain("index", Part::Index),
            "word" => plain("word", Part::Word),
            "uuid" => plain("uuid", Part::Uuid),
            "time" => plain("time", Part::Time),
            "email" => plain("email", Part::Email),
            "ip" => plain("ip", Part::Ip),
            "int" => integer_range(&arguments).ok_or(TemplateError::Arguments {
                at,
                name: "int",
                needs: "two whole numbers, the smaller first",
            }),
            "float" => float_range(&arguments).ok_or(TemplateError::Arguments {
                at,
                name: "float",
                needs: "two numbers, the smaller first",
            }),
            "pick" if arguments.is_empty() => {
                let needs = "at least one value to pick from";
                Err(TemplateError::Arguments { at, name: "pick", needs })
            }
            "pick" => {
                Ok(Part::Pick(arguments.iter().map(|word| word.as_bytes().to_vec()).collect()))
            }
            other => {
                let name = other.chars().take(40).collect();
                Err(TemplateError::Unknown { at, name })
            }
        }
    }

    fn append(&self, random: &mut Random, index: u64, time: &[u8], out: &mut Vec<u8>) {
        match self {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Index => append_u64(out, index),
            Part::Int { min, range } => {
                append_i64(out, min.wrapping_add_unsigned(random.up_to(*range)))
            }
            Part::Float { min, max } => append_float(*min, *max, random, out),
            Part::Word => out.extend_from_slice(random.one_of(&WORDS).as_bytes()),
            Part::Pick(values) => out.extend_from_slice(random.one_of::<Vec<u8>>(values)),
            Part::Uuid => append_uuid(random, out),
            Part::Time => out.extend_from_slice(time),
            Part::Email => {
                out.extend_from_slice(random.one_of(&WORDS).as_bytes());
                out.push(b'.');
                out.extend_from_slice(random.one_of(&WORDS).as_bytes());
                append_u64(out, random.up_to(999));
                out.push(b'@');
                out.extend_from_slice(random.one_of(&DOMAINS).as_bytes());
            }
            Part::Ip => {
                out.extend_from_slice(random.one_of(&NETWORKS).as_bytes());
                append_u64(out, 1 + random.up_to(253));
            }
        }
    }
}

fn integer_range(arguments: &[&str]) -> Option<Part> {
    let [min, max] = arguments else { return None };
    let (min, max) = (min.parse::<i64>().ok()?, max.parse::<i64>().ok()?);
    (min <= max).then(|| Part::Int { min, range: max.abs_diff(min) })
}

fn float_range(arguments: &[&str]) -> Option<Part> {
    let [min, max] = arguments else { return None };
    let (min, max) = (min.parse::<f64>().ok()?, max.parse::<f64>().ok()?);
    (min.is_finite() && max.is_finite() && min <= max).then_some(Part::Float { min, max })
}

/// Appends a float with three digits behind the point where that is exact enough.
fn append_float(min: f64, max: f64, random: &mut Random, out: &mut Vec<u8>) {
    // Not `min + share * (max - min)`: the difference of two finite numbers may be infinite.
    let share = random.share();
    let number = min * (1.0 - share) + max * share;
    let rounded = (number * 1000.0).round() / 1000.0;
    let is_near = rounded.is_finite() && rounded >= min && rounded <= max;
    let written = append_f64(out, if is_near { rounded } else { number.clamp(min, max) });
    debug_assert!(written.is_ok(), "both ends are finite");
}

fn append_uuid(random: &mut Random, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_be_bytes());
    bytes[8..].copy_from_slice(&random.next().to_be_bytes());
    // Version 4, variant 1. Source: RFC 9562 §5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Gives a number from 0 to `max`.
    fn up_to(&mut self, max: u64) -> u64 {
        // The high half of the product: even enough without a loop.
        ((u128::from(self.next()) * (u128::from(max) + 1)) >> 64) as u64
    }

    /// Gives a number from 0 to below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn one_of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.up_to(values.len() as u64 - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn make(template: &str, seed: u64, index: u64) -> String {
        let mut out = Vec::new();
        Template::compile(template).unwrap().append(seed, index, b"T", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn placeholders_become_values() {
        assert_eq!(make("a {{index}} {{ time }} b", 1, 7), "a 7 T b");
        assert_eq!(make("{{int 5 5}} {{float 1.5 1.5}} {{pick x}}", 1, 0), "5 1.5 x");
        assert_eq!(make("", 1, 0), "");
        let uuid = make("{{uuid}}", 1, 0);
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
        let ip: std::net::Ipv4Addr = make("{{ip}}", 1, 3).parse().unwrap();
        assert!(NETWORKS.iter().any(|network| ip.to_string().starts_with(network)));
        assert!(make("{{email}}", 1, 3).contains("@example."));
    }

    #[test]
    fn a_record_follows_from_seed_index_and_place() {
        let template = "{{int 0 1000000}} {{int 0 1000000}} {{uuid}}";
        let first = make(template, 1, 5);
        assert_eq!(first, make(template, 1, 5));
        assert_ne!(first, make(template, 1, 6));
        assert_ne!(first, make(template, 2, 5));
        let (left, right) = first.split_once(' ').unwrap();
        assert_ne!(left, right.split_once(' ').unwrap().0);
    }

    #[test]
    fn ranges_reach_both_ends_and_extremes_do_not_overflow() {
        let mut seen = [false; 3];
        for index in 0..100 {
            let number: i64 = make("{{int -1 1}}", 1, index).parse().unwrap();
            seen[(number + 1) as usize] = true;
            let wide = format!("{{{{int {} {}}}}}", i64::MIN, i64::MAX);
            make(&wide, 1, index).parse::<i64>().unwrap();
            let float: f64 = make("{{float -1e308 1e308}}", 1, index).parse().unwrap();
            assert!(float.is_finite());
            let share: f64 = make("{{float 0 0.0001}}", 1, index).parse().unwrap();
            assert!((0.0..=0.0001).contains(&share));
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn wrong_templates_are_refused_with_their_place() {
        let error = |text: &str| Template::compile(text).unwrap_err().to_string();
        assert_eq!(error("ab{{index"), "placeholder at byte `2` has no end; close it with `}}`");
        assert!(
            error("{{indx}}")
                .starts_with("unknown placeholder `indx` at byte `0`; known: `index`, ")
        );
        assert!(error("{{}}").starts_with("unknown placeholder ``"));
        for text in
            ["{{int}}", "{{int 2 1}}", "{{int 1 x}}", "{{float 1 NaN}}", "{{pick}}", "{{uuid 4}}"]
        {
            assert!(error(text).contains(" needs "), "{text}");
        }
        assert_eq!(
            Template::compile(&"x".repeat(TEMPLATE_BYTES_MAX + 1)),
            Err(TemplateError::TooLong)
        );
        assert!(Template::compile(&"x".repeat(TEMPLATE_BYTES_MAX)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", braces in "(\\{|\\}|int|pick| |1){0,20}", index: u64, seed: u64) {
            for text in [text, braces] {
                if let Ok(template) = Template::compile(&text) {
                    template.append(seed, index, b"T", &mut Vec::new());
                }
            }
        }
    }
}
