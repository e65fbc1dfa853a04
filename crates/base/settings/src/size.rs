//! Sizes in bytes as people write them: `64MiB`, `1GB`, `512`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shown;

/// Units with their size, the largest first; a decimal unit after the binary one of the same letter.
const UNITS: [(&str, u64); 13] = [
    ("EiB", 1 << 60),
    ("EB", 1_000_000_000_000_000_000),
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Most digits after the point that are looked at; `0.000001EiB` has none that matter beyond them.
const FRACTION_DIGITS_MAX: usize = 18;

/// A number of bytes.
///
/// Text form: a number, which may have a fraction, and a unit: `B`, `kB`, `MB`, `GB`, `TB`, `PB`, `EB` (powers of 1,000), `KiB` to `EiB`
/// (powers of 1,024), or the short `Ki` to `Ei` of Kubernetes. Case does not matter, a blank before the unit is allowed, and no
/// unit means bytes. [`Display`](fmt::Display) gives the shortest exact form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Says why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size `{text}`: {reason}; for example `64MiB`, `1GB` or `512`")]
pub struct SizeError {
    text: String,
    reason: &'static str,
}

// === impl ByteSize ===

impl ByteSize {
    /// Makes a size of `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size of `count` KiB; `u64::MAX` bytes when that is more than fits.
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// Makes a size of `count` MiB; `u64::MAX` bytes when that is more than fits.
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// Gives the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Gives the number of bytes as a length in memory, cut to what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        parse(text.trim()).map(Self).map_err(|reason| SizeError { text: shown(text), reason })
    }
}

fn parse(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.starts_with('-') {
        return Err("a size is not negative");
    }
    let split = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = u128::from(unit_size(unit.trim_start())?);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err("it does not start with a number");
    }
    if fraction.contains('.') {
        return Err("the number has two points");
    }
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| TOO_LARGE)?,
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > FRACTION_DIGITS_MAX {
        return Err(NOT_WHOLE);
    }
    let mut bytes = whole.checked_mul(factor).ok_or(TOO_LARGE)?;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().map_err(|_| NOT_WHOLE)?;
        let scale = 10_u128.pow(fraction.len() as u32);
        if !(digits * factor).is_multiple_of(scale) {
            return Err(NOT_WHOLE);
        }
        bytes = bytes.checked_add(digits * factor / scale).ok_or(TOO_LARGE)?;
    }
    u64::try_from(bytes).map_err(|_| TOO_LARGE)
}

const TOO_LARGE: &str = "it is more than 64 bits can hold";
const NOT_WHOLE: &str = "it is not a whole number of bytes";

fn unit_size(unit: &str) -> Result<u64, &'static str> {
    if unit.is_empty() {
        return Ok(1);
    }
    let known = UNITS.iter().find(|(name, _)| {
        let short = name
            .strip_suffix("iB")
            .is_some_and(|letter| unit.eq_ignore_ascii_case(&format!("{letter}i")));
        short || unit.eq_ignore_ascii_case(name)
    });
    known
        .map(|&(_, size)| size)
        .ok_or("the unit is not one of `B`, `kB`, `MB`, `GB`, `TB`, `PB`, `EB`, `KiB` … `EiB`")
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exact form with the smallest number; the binary unit wins when both have the same.
        let best = UNITS
            .iter()
            .filter(|&&(_, size)| self.0 >= size && self.0.is_multiple_of(size))
            .max_by_key(|unit| unit.1);
        let (name, size) = best.copied().unwrap_or(("B", 1));
        formatter.pad(&format!("{}{name}", self.0 / size))
    }
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size such as `64MiB`, or a whole number of bytes")
    }

    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes).map(ByteSize).map_err(|_| {
            E::custom(SizeError { text: bytes.to_string(), reason: "a size is not negative" })
        })
    }

    fn visit_f64<E: serde::de::Error>(self, bytes: f64) -> Result<ByteSize, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }

    /// JSON numbers that keep their digits arrive as a map of `serde_json`'s own.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ByteSize, A::Error> {
        let number = serde_json::Number::deserialize(MapAccessDeserializer::new(map))
            .map_err(|_| A::Error::invalid_type(serde::de::Unexpected::Map, &self))?;
        number.to_string().parse().map_err(A::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^\s*[0-9]*\.?[0-9]*\s*([kKmMgGtTpPeE]?[bB]|[kKmMgGtTpPeE][iI][bB]?)?\s*$",
            "examples": ["64MiB", "1GB", 512],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("64Mi", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("1.5KiB", 1_536),
            (".5KiB", 512),
            ("2.", 2),
            ("1.500kB", 1_500),
            (" 3MB ", 3_000_000),
            ("18446744073709551615", u64::MAX),
            ("15EiB", 15 << 60),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_an_error_with_the_text_and_an_example() {
        let long = "9".repeat(1_000);
        for text in [
            "",
            " ",
            "-1",
            "MiB",
            ".",
            "1.2.3",
            "1XB",
            "1K",
            "0.1KiB",
            "0.5",
            "16EiB",
            "18446744073709551616",
            "1e3",
            "٣",
            &long,
        ] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(
                error.starts_with("invalid size `")
                    && error.ends_with("for example `64MiB`, `1GB` or `512`"),
                "{error}"
            );
            assert!(error.len() < 400);
        }
        assert_eq!(
            "10 apples".parse::<ByteSize>().unwrap_err().to_string(),
            "invalid size `10 apples`: the unit is not one of `B`, `kB`, `MB`, `GB`, `TB`, `PB`, `EB`, `KiB` … `EiB`; \
             for example `64MiB`, `1GB` or `512`"
        );
    }

    #[test]
    fn display_is_the_shortest_exact_form() {
        for (bytes, text) in [
            (0, "0B"),
            (1, "1B"),
            (1_000, "1kB"),
            (1_024, "1KiB"),
            (1_536, "1536B"),
            (1_024_000, "1000KiB"),
            (64 << 20, "64MiB"),
            (1_000_000_000, "1GB"),
            (u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn text_and_numbers_are_read_from_json_and_toml() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Holder {
            size: ByteSize,
        }
        for text in [r#"{"size":"1MiB"}"#, r#"{"size":1048576}"#] {
            assert_eq!(
                serde_json::from_str::<Holder>(text).unwrap().size,
                ByteSize::mib(1),
                "{text}"
            );
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_value::<Holder>(value).unwrap().size,
                ByteSize::mib(1),
                "{text}"
            );
        }
        assert_eq!(toml::from_str::<Holder>("size = 1048576").unwrap().size, ByteSize::mib(1));
        assert_eq!(toml::from_str::<Holder>("size = '1MiB'").unwrap().size, ByteSize::mib(1));
        for text in [
            r#"{"size":-1}"#,
            r#"{"size":1.5}"#,
            r#"{"size":true}"#,
            r#"{"size":{"a":1}}"#,
            r#"{"size":[]}"#,
            r#"{"size":"x"}"#,
        ] {
            let error = serde_json::from_str::<Holder>(text).unwrap_err().to_string();
            assert!(error.contains("`64MiB`"), "{text}: {error}");
        }
        assert!(
            toml::from_str::<Holder>("size = -1").unwrap_err().to_string().contains("not negative")
        );
        assert_eq!(serde_json::to_string(&ByteSize::kib(64)).unwrap(), "\"64KiB\"");
    }

    proptest! {
        #[test]
        fn a_displayed_size_reads_back(bytes in any::<u64>(), shift in 0_u32..64) {
            for bytes in [bytes, bytes >> shift, (bytes >> shift) << shift, (bytes >> 40) * 1_000] {
                prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9.kKMGibBE -]{0,40}|.{0,10}") {
            if let Ok(size) = text.parse::<ByteSize>() {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
        }
    }
}
