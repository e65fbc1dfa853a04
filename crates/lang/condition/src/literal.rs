//! The two sides of a comparison: what a path found, and what was written.

use std::borrow::Cow;
use std::cmp::Ordering;

use levada_model::text::decode;
use levada_model::tree::{NodeId, NodeKind, Tree};

use crate::number;

/// A value written in a condition or a query, prepared for comparing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    text: Box<str>,
    /// It spells a number and may be compared as one.
    is_number: bool,
    /// Its value, when it is a number of at most 18 digits.
    integer: Option<i64>,
    /// See [`number::canonical_bits`].
    canonical: Option<u64>,
}

/// A value as comparisons see it: bytes of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    Null,
    Bool(bool),
    Number(&'a [u8]),
    /// A text, as it is.
    Text(&'a [u8]),
    /// What stands between the quotes of a JSON string, escapes as written.
    Escaped(&'a [u8]),
    /// An array or object.
    Json(&'a [u8]),
}

// === impl Literal ===

impl Literal {
    /// Makes a literal that was written without quotes: a number when it spells one.
    pub(crate) fn bare(text: &str) -> Self {
        let is_number = number::is_number(text.as_bytes());
        Literal {
            is_number,
            integer: number::small_integer(text.as_bytes()).filter(|_| is_number),
            ..Literal::quoted(text)
        }
    }

    /// Makes a literal that was written in quotes: always a text.
    pub(crate) fn quoted(text: &str) -> Self {
        Literal {
            text: text.into(),
            is_number: false,
            integer: None,
            canonical: number::canonical_bits(text),
        }
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    /// Gives the subject of a scalar; `None` for arrays and objects, whose text has to be printed.
    #[inline]
    pub(crate) fn of_scalar(text: &'a [u8], tree: &Tree, id: NodeId) -> Option<Self> {
        Some(match tree.kind(id) {
            NodeKind::Null => Subject::Null,
            NodeKind::True => Subject::Bool(true),
            NodeKind::False => Subject::Bool(false),
            NodeKind::Number => {
                let (start, end) = tree.span(id)?;
                Subject::Number(&text[start as usize..end as usize])
            }
            NodeKind::String => {
                let (start, end) = tree.span(id)?;
                Subject::Escaped(&text[start as usize + 1..end as usize - 1])
            }
            NodeKind::Array | NodeKind::Object => return None,
        })
    }

    /// Gives the text that comparisons use: `null` has none, so it is empty.
    #[inline]
    pub(crate) fn text(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(match self {
            Subject::Null => b"",
            Subject::Bool(true) => b"true",
            Subject::Bool(false) => b"false",
            Subject::Number(text) | Subject::Json(text) | Subject::Text(text) => text,
            Subject::Escaped(raw) if raw.contains(&b'\\') => {
                return Cow::Owned(decode(raw, true).into_owned().into_bytes());
            }
            Subject::Escaped(raw) => raw,
        })
    }

    /// Tells whether the value counts as true by itself.
    #[inline]
    pub(crate) fn is_truthy(self) -> bool {
        match self {
            Subject::Null => false,
            Subject::Bool(value) => value,
            Subject::Number(text) => !number::is_zero(text),
            Subject::Json(_) => true,
            Subject::Text(_) | Subject::Escaped(_) => {
                let text = self.text();
                !text.is_empty() && *text != *b"false"
            }
        }
    }

    /// Compares by text, and two numbers by value as well.
    #[inline]
    pub(crate) fn equals(self, literal: &Literal) -> bool {
        let number = match self {
            Subject::Number(number) => number,
            // Escapes only make a text longer.
            Subject::Escaped(raw) if raw.len() < literal.text.len() => return false,
            _ => return *self.text() == *literal.text.as_bytes(),
        };
        if let (Some(right), Some(left)) = (literal.integer, number::small_integer(number)) {
            return left == right;
        }
        if number == literal.text.as_bytes() {
            return true;
        }
        match literal.canonical {
            _ if literal.is_number => {
                number::compare(number, literal.text.as_bytes()) == Ordering::Equal
            }
            Some(bits) => number::float_bits(number) == Some(bits),
            None => false,
        }
    }

    /// Gives the order of two numbers by value, of anything else by its bytes; `null` has no order.
    #[inline]
    pub(crate) fn order(self, literal: &Literal) -> Option<Ordering> {
        match self {
            Subject::Null => None,
            Subject::Number(number) if literal.is_number => {
                Some(match (number::small_integer(number), literal.integer) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    _ => number::compare(number, literal.text.as_bytes()),
                })
            }
            other => Some((*other.text()).cmp(literal.text.as_bytes())),
        }
    }

    /// Gives the order by which queries inside paths compare: numbers by value also against a quoted
    /// number, booleans `false` before `true`; nothing for what cannot be compared.
    pub(crate) fn query_order(self, literal: &Literal) -> Option<Ordering> {
        match self {
            Subject::Null | Subject::Json(_) => None,
            Subject::Bool(value) => match &*literal.text {
                "true" => Some(value.cmp(&true)),
                "false" => Some(value.cmp(&false)),
                _ => None,
            },
            Subject::Number(number) => number::is_number(literal.text.as_bytes())
                .then(|| number::compare(number, literal.text.as_bytes())),
            Subject::Text(_) | Subject::Escaped(_) => {
                Some((*self.text()).cmp(literal.text.as_bytes()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_numbers_compare_as_texts() {
        let five = Subject::Number(b"5.0");
        assert!(five.equals(&Literal::bare("5")));
        assert!(five.equals(&Literal::quoted("5")), "the plain form of 5.0");
        assert!(!Subject::Number(b"5").equals(&Literal::quoted("5.0")));
        assert!(Subject::Number(b"12.50").equals(&Literal::quoted("12.5")));
        assert!(Subject::Number(b"12.50").equals(&Literal::quoted("12.50")));
        assert!(Subject::Text(b"5").equals(&Literal::bare("5")));
        assert!(!Subject::Text(b"5.0").equals(&Literal::bare("5")));
    }

    #[test]
    fn large_integers_are_not_rounded() {
        let number = Subject::Number(b"9007199254740993");
        assert!(!number.equals(&Literal::bare("9007199254740992")));
        assert!(number.equals(&Literal::bare("9007199254740993.0")));
    }
}
