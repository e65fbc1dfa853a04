//! Trino's types, read from their names.
//!
//! ```text
//! bigint · decimal(38,10) · timestamp(6) with time zone · array(row(x bigint, "a b" varchar(5)))
//! ```

/// A type of Trino.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Boolean,
    Tinyint,
    Smallint,
    Integer,
    Bigint,
    Real,
    Double,
    /// Precision and scale.
    Decimal(u8, u8),
    /// Characters at most.
    Varchar(Option<u32>),
    Char(u32),
    Varbinary,
    Json,
    Uuid,
    IpAddress,
    Date,
    Time {
        precision: u8,
        has_zone: bool,
    },
    Timestamp {
        precision: u8,
        has_zone: bool,
    },
    IntervalDayToSecond,
    IntervalYearToMonth,
    Array(Box<Type>),
    Map(Box<Type>, Box<Type>),
    /// Names, where the fields have any, and types.
    Row(Vec<(Option<String>, Type)>),
    /// A type that has no literal; its name.
    Other(String),
}

/// Nesting of types that is read. Ours; real tables stay below ten.
const DEPTH_MAX: usize = 32;

/// Fraction digits of times without a precision. Source: Trino, time and timestamp.
const PRECISION_DEFAULT: u8 = 3;

/// Digits of the fraction at most. Source: Trino, picoseconds.
const PRECISION_MAX: u8 = 12;

// === impl Type ===

impl Type {
    /// Reads a type; what is not known becomes [`Type::Other`].
    pub(crate) fn parse(name: &str) -> Type {
        let mut parser = Parser { rest: name, depth: 0 };
        match parser.ty() {
            Some(ty) if parser.rest.trim_start().is_empty() => ty,
            _ => Type::Other(name.trim().to_owned()),
        }
    }

    /// Tells whether values hold other values.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(self, Type::Array(_) | Type::Map(..) | Type::Row(_))
    }
}

struct Parser<'n> {
    rest: &'n str,
    depth: usize,
}

// === impl Parser ===

impl<'n> Parser<'n> {
    fn ty(&mut self) -> Option<Type> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let word = self.word()?;
        let ty = match word.to_ascii_lowercase().as_str() {
            "boolean" => Type::Boolean,
            "tinyint" => Type::Tinyint,
            "smallint" => Type::Smallint,
            "integer" | "int" => Type::Integer,
            "bigint" => Type::Bigint,
            "real" => Type::Real,
            "double" => {
                self.keyword("precision");
                Type::Double
            }
            "decimal" | "numeric" => self.decimal()?,
            "varchar" => Type::Varchar(self.number()?.map(|(length, _)| length)),
            "char" => Type::Char(self.number()?.map_or(1, |(length, _)| length)),
            "varbinary" => Type::Varbinary,
            "json" => Type::Json,
            "uuid" => Type::Uuid,
            "ipaddress" => Type::IpAddress,
            "date" => Type::Date,
            "time" => {
                let (precision, has_zone) = self.moment()?;
                Type::Time { precision, has_zone }
            }
            "timestamp" => {
                let (precision, has_zone) = self.moment()?;
                Type::Timestamp { precision, has_zone }
            }
            "interval" => self.interval()?,
            "array" => {
                self.symbol('(')?;
                let element = self.ty()?;
                self.symbol(')')?;
                Type::Array(Box::new(element))
            }
            "map" => {
                self.symbol('(')?;
                let key = self.ty()?;
                self.symbol(',')?;
                let value = self.ty()?;
                self.symbol(')')?;
                Type::Map(Box::new(key), Box::new(value))
            }
            "row" => self.row()?,
            _ => self.other(word)?,
        };
        self.depth -= 1;
        Some(ty)
    }

    fn decimal(&mut self) -> Option<Type> {
        let (precision, scale) = self.number()?.unwrap_or((38, Some(0)));
        let (precision, scale) = (u8::try_from(precision).ok()?, scale.unwrap_or(0));
        let scale = u8::try_from(scale).ok()?;
        (precision <= 38 && scale <= precision).then_some(Type::Decimal(precision, scale))
    }

    /// Reads `(precision) with time zone`, both optional.
    fn moment(&mut self) -> Option<(u8, bool)> {
        let precision = match self.number()? {
            Some((precision, _)) => u8::try_from(precision).ok()?,
            None => PRECISION_DEFAULT,
        };
        let mut has_zone = false;
        if self.keyword("with") {
            (self.keyword("time") && self.keyword("zone")).then_some(())?;
            has_zone = true;
        } else if self.keyword("without") {
            (self.keyword("time") && self.keyword("zone")).then_some(())?;
        }
        (precision <= PRECISION_MAX).then_some((precision, has_zone))
    }

    fn interval(&mut self) -> Option<Type> {
        if self.keyword("day") {
            (self.keyword("to") && self.keyword("second")).then_some(Type::IntervalDayToSecond)
        } else if self.keyword("year") {
            (self.keyword("to") && self.keyword("month")).then_some(Type::IntervalYearToMonth)
        } else {
            None
        }
    }

    /// Reads fields, which have names or not; a name may be a word that is also a type.
    fn row(&mut self) -> Option<Type> {
        self.symbol('(')?;
        let mut fields = Vec::new();
        loop {
            let (before, depth) = (self.rest, self.depth);
            let anonymous = self.ty().filter(|_| {
                let rest = self.rest.trim_start();
                rest.starts_with(',') || rest.starts_with(')')
            });
            match anonymous {
                Some(ty) => fields.push((None, ty)),
                None => {
                    (self.rest, self.depth) = (before, depth);
                    let name = self.name()?;
                    fields.push((Some(name), self.ty()?));
                }
            }
            if self.symbol(',').is_none() {
                break;
            }
        }
        self.symbol(')')?;
        Some(Type::Row(fields))
    }

    /// Keeps a type that is not known, its parameters included, as it is written.
    fn other(&mut self, word: &str) -> Option<Type> {
        let rest = self.rest.trim_start();
        if !rest.starts_with('(') {
            return Some(Type::Other(word.to_owned()));
        }
        let mut open = 0usize;
        for (at, character) in rest.char_indices() {
            match character {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                self.rest = &rest[at + 1..];
                return Some(Type::Other(format!("{word}{}", &rest[..=at])));
            }
        }
        None
    }

    /// Reads `(12)` or `(12,3)` if there is one; `None` when it is broken.
    fn number(&mut self) -> Option<Option<(u32, Option<u32>)>> {
        if self.symbol('(').is_none() {
            return Some(None);
        }
        let first = self.digits()?;
        let second = match self.symbol(',') {
            Some(()) => Some(self.digits()?),
            None => None,
        };
        self.symbol(')')?;
        Some(Some((first, second)))
    }

    fn digits(&mut self) -> Option<u32> {
        self.rest = self.rest.trim_start();
        let end = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().ok()
    }

    fn symbol(&mut self, symbol: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(symbol)?;
        Some(())
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        if self.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword)) {
            return true;
        }
        self.rest = before;
        false
    }

    fn word(&mut self) -> Option<&'n str> {
        let rest = self.rest.trim_start();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | ':');
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    /// Reads a word, or a name in quotes.
    fn name(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let Some(quoted) = rest.strip_prefix('"') else { return self.word().map(str::to_owned) };
        let mut name = String::new();
        let mut characters = quoted.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character != '"' {
                name.push(character);
            } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                self.rest = &quoted[at + 1..];
                return Some(name);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read() {
        let timestamp = |precision, has_zone| Type::Timestamp { precision, has_zone };
        let named = |name: &str, ty| (Some(name.to_owned()), ty);
        for (name, expected) in [
            ("bigint", Type::Bigint),
            ("INT", Type::Integer),
            ("double", Type::Double),
            ("decimal(38, 10)", Type::Decimal(38, 10)),
            ("decimal(5)", Type::Decimal(5, 0)),
            ("varchar", Type::Varchar(None)),
            ("varchar(25)", Type::Varchar(Some(25))),
            ("char", Type::Char(1)),
            ("timestamp", timestamp(3, false)),
            ("timestamp(6)", timestamp(6, false)),
            ("timestamp(9) with time zone", timestamp(9, true)),
            ("time with time zone", Type::Time { precision: 3, has_zone: true }),
            ("INTERVAL DAY TO SECOND", Type::IntervalDayToSecond),
            ("interval year to month", Type::IntervalYearToMonth),
            ("array(integer)", Type::Array(Box::new(Type::Integer))),
            ("row(bigint, varchar)", {
                Type::Row(vec![(None, Type::Bigint), (None, Type::Varchar(None))])
            }),
            ("row(date date, \"a \"\"b\" timestamp(3) with time zone, time time)", {
                Type::Row(vec![
                    named("date", Type::Date),
                    named("a \"b", timestamp(3, true)),
                    named("time", Type::Time { precision: 3, has_zone: false }),
                ])
            }),
            ("row(timestamp(3) with time zone, interval day to second)", {
                Type::Row(vec![(None, timestamp(3, true)), (None, Type::IntervalDayToSecond)])
            }),
            ("map(varchar, array(row(x double)))", {
                let row = Type::Row(vec![named("x", Type::Double)]);
                Type::Map(Box::new(Type::Varchar(None)), Box::new(Type::Array(Box::new(row))))
            }),
            ("array(qdigest(bigint))", {
                Type::Array(Box::new(Type::Other("qdigest(bigint)".into())))
            }),
            ("HyperLogLog", Type::Other("HyperLogLog".into())),
            ("decimal(39,0)", Type::Other("decimal(39,0)".into())),
            ("array(", Type::Other("array(".into())),
            ("", Type::Other(String::new())),
        ] {
            assert_eq!(Type::parse(name), expected, "{name}");
        }
    }

    #[test]
    fn deep_types_are_not_followed() {
        let name = format!("{}bigint{}", "array(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(Type::parse(&name), Type::Other(name.clone()));
        let name = "row(".repeat(10_000);
        assert_eq!(Type::parse(&name), Type::Other(name.clone()));
    }
}
