//! Comparisons of one value, compiled: what they say about a value that is there, or missing.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::Compat;
use super::ast::Literal;
use super::lookup::Value;
use super::number::{self, Number};
use super::pattern::{AnyOf, Pattern};
use super::set::Set;

/// A comparison.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The key is not there.
    Missing,
    Equal(Literal),
    /// There, of the same type, and not equal. Source: B20.
    Differs(Literal),
    Less(Literal),
    LessEqual(Literal),
    Greater(Literal),
    GreaterEqual(Literal),
    In(Box<Set>),
    /// A text in which one of the patterns is found.
    Found(Box<AnyOf>),
    /// A text in which one of the patterns is not found. Source: B23.
    SomeUnfound(Box<[Pattern]>),
    /// Any text at all. Source: B22.
    AnyText,
    /// An address in one of the networks.
    InNetwork(Box<[Network]>),
}

/// A block of addresses: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

/// What a comparison for equality gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sameness {
    Equal,
    Different,
    /// The types are not compared with each other.
    Conflict,
}

// === impl Test ===

impl Test {
    /// Says whether a value passes; `None` stands for a key that is not there.
    #[inline]
    pub(super) fn holds(&self, value: Option<Value<'_>>, compat: Compat) -> bool {
        let Some(present) = value else { return self.holds_for_nothing(compat) };
        match self {
            Test::Missing => false,
            Test::Equal(literal) => sameness(present, literal, compat) == Sameness::Equal,
            Test::Differs(literal) => sameness(present, literal, compat) == Sameness::Different,
            Test::Less(literal) => order(present, literal, compat) == Some(Ordering::Less),
            Test::Greater(literal) => order(present, literal, compat) == Some(Ordering::Greater),
            Test::LessEqual(literal) => {
                order(present, literal, compat).is_some_and(Ordering::is_le)
                    || is_near(present, literal, compat)
            }
            Test::GreaterEqual(literal) => {
                order(present, literal, compat).is_some_and(Ordering::is_ge)
                    || is_near(present, literal, compat)
            }
            Test::In(set) if compat == Compat::Strict => set.contains(value),
            Test::In(set) => set.contains_typed(value),
            Test::Found(patterns) => {
                text_of(present, compat).is_some_and(|text| patterns.is_found(text))
            }
            Test::SomeUnfound(patterns) => text_of(present, compat)
                .is_some_and(|text| patterns.iter().any(|pattern| !pattern.is_found(text))),
            Test::AnyText => text_of(present, compat).is_some(),
            Test::InNetwork(networks) => {
                let address = text_of(present, compat).and_then(|text| text.parse().ok());
                address.is_some_and(|address| networks.iter().any(|network| network.has(address)))
            }
        }
    }

    fn holds_for_nothing(&self, compat: Compat) -> bool {
        match self {
            Test::Missing => true,
            Test::Differs(_) | Test::AnyText => compat == Compat::Head,
            Test::In(set) => set.contains(None),
            _ => false,
        }
    }
}

/// Gives the text that patterns are looked for in.
#[inline]
fn text_of(value: Value<'_>, compat: Compat) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        Value::Bytes(bytes) if compat == Compat::Strict => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[inline]
fn sameness(value: Value<'_>, literal: &Literal, compat: Compat) -> Sameness {
    let is_equal = match (value, literal) {
        (Value::Str(value), Literal::Str(literal)) => *value == **literal,
        (Value::Int(value), Literal::Int(literal)) => value == *literal,
        // Source: boolean literals never match in 1.6 (B25).
        (Value::Bool(value), Literal::Bool(literal)) if compat != Compat::Seed => value == *literal,
        (Value::Float(value), Literal::Float(literal)) if compat != Compat::Strict => {
            number::floats_equal(value, *literal)
        }
        _ if compat != Compat::Strict => return Sameness::Conflict,
        (Value::Bytes(value), Literal::Str(literal)) => *value == *literal.as_bytes(),
        _ => match (number_of(value), number_of_literal(literal)) {
            (Some(value), Some(literal)) => number::equal(value, literal),
            _ => false,
        },
    };
    if is_equal { Sameness::Equal } else { Sameness::Different }
}

/// Gives the order of two texts or two numbers; everything else has none.
#[inline]
fn order(value: Value<'_>, literal: &Literal, compat: Compat) -> Option<Ordering> {
    match (value, literal) {
        (Value::Str(value), Literal::Str(literal)) => Some(value.cmp(&**literal)),
        (Value::Int(value), Literal::Int(literal)) => Some(value.cmp(literal)),
        (Value::Float(value), Literal::Float(literal)) => value.partial_cmp(literal),
        _ if compat != Compat::Strict => None,
        (Value::Bytes(_), Literal::Str(literal)) => {
            text_of(value, compat).map(|value| value.cmp(&**literal))
        }
        _ => number::compare(number_of(value)?, number_of_literal(literal)?),
    }
}

/// Says whether a number counts as equal although it is not, so that `<=` is `<` or `=`.
fn is_near(value: Value<'_>, literal: &Literal, compat: Compat) -> bool {
    compat == Compat::Strict
        && matches!(literal, Literal::Int(_) | Literal::UInt(_) | Literal::Float(_))
        && sameness(value, literal, compat) == Sameness::Equal
}

fn number_of(value: Value<'_>) -> Option<Number> {
    match value {
        Value::Int(number) => Some(Number::Int(number)),
        Value::UInt(number) => Some(Number::UInt(number)),
        Value::Float(number) => Some(Number::Float(number)),
        _ => None,
    }
}

fn number_of_literal(literal: &Literal) -> Option<Number> {
    match literal {
        Literal::Int(number) => Some(Number::Int(*number)),
        Literal::UInt(number) => Some(Number::UInt(*number)),
        Literal::Float(number) => Some(Number::Float(*number)),
        _ => None,
    }
}

// === impl Network ===

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => bits_max,
        };
        (bits <= bits_max).then_some(Network { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("10.1.2.3/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::1", "0.0.0.0"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.has(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.has(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "x"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
