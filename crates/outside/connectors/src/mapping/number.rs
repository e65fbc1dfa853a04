//! Numbers as they were written.

/// A number of a document, its kind kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// A whole number within 64 bits with a sign.
    Int(i64),
    /// A whole number above those, within 64 bits.
    UInt(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
}

// === impl Number ===

impl Number {
    /// Reads the literal of a JSON number.
    ///
    /// Errors: it is beyond what 64 bits hold.
    pub(crate) fn parse(literal: &str) -> Result<Number, &'static str> {
        let digits = literal.strip_prefix('-').unwrap_or(literal);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return match (literal.parse::<i64>(), literal.parse::<u64>()) {
                (Ok(number), _) => Ok(Number::Int(number)),
                (_, Ok(number)) => Ok(Number::UInt(number)),
                _ => Err("is a whole number beyond 64 bits"),
            };
        }
        match literal.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Number::Float(number)),
            Ok(_) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                Err("is beyond the range of 64-bit floats")
            }
            Ok(_) => Err("is not a finite number"),
            Err(_) => Err("is not a number"),
        }
    }

    /// Gives the nearest float.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::UInt(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_kept() {
        for (literal, expected) in [
            ("0", Ok(Number::Int(0))),
            ("-9223372036854775808", Ok(Number::Int(i64::MIN))),
            ("9223372036854775808", Ok(Number::UInt(1 << 63))),
            ("18446744073709551616", Err("is a whole number beyond 64 bits")),
            ("5.0", Ok(Number::Float(5.0))),
            ("5e2", Ok(Number::Float(500.0))),
            ("1e400", Err("is beyond the range of 64-bit floats")),
            ("NaN", Err("is not a finite number")),
            ("-inf", Err("is not a finite number")),
            ("", Err("is not a number")),
            ("--1", Err("is not a number")),
        ] {
            assert_eq!(Number::parse(literal), expected, "{literal}");
        }
    }
}
