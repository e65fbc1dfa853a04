//! Points that a function cannot use, and what is said about them.

use levada_model::FieldValue;

use crate::runtime::{Out, Reader, StateError, Writer};

/// Why a point was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The first point of a reduction has no such field.
    NoField,
    /// The function does not work on the type of the first point.
    NotFor(Type),
    /// A later point has no such field.
    Missing,
    /// A later point has a value of another type.
    Wrong {
        /// The type it has.
        got: Type,
        /// The type of the first point.
        expected: Type,
    },
    /// The task holds back as many points as it may.
    TooMany,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Float,
    Int,
    UInt,
    Bool,
    Str,
    Bytes,
    Duration,
    Null,
}

/// Who complains, and how.
#[derive(Debug)]
pub(super) struct Words {
    /// The function.
    pub(super) function: &'static str,
    /// The field it reads.
    pub(super) field: String,
    /// What is said of a later point.
    pub(super) aggregate: &'static str,
}

/// Troubles in their order, one after another of the same kind counted.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    runs: Vec<(Trouble, u32)>,
}

/// Runs of troubles that are kept for one window; what comes after them counts for the last one.
///
/// - Source: ours; points that go wrong in turn must not take the memory that the window saves.
pub(super) const RUNS_MAX: usize = 1_000;

/// Troubles of one run that saved state may have.
const COUNT_MAX: u64 = 1_000_000;

const TYPES: [Type; 8] = [
    Type::Float,
    Type::Int,
    Type::UInt,
    Type::Bool,
    Type::Str,
    Type::Bytes,
    Type::Duration,
    Type::Null,
];

// === impl Type ===

impl Type {
    #[inline]
    pub(super) fn of(value: &FieldValue) -> Type {
        match value {
            FieldValue::Float(_) => Type::Float,
            FieldValue::Int(_) => Type::Int,
            FieldValue::UInt(_) => Type::UInt,
            FieldValue::Bool(_) => Type::Bool,
            FieldValue::Str(_) => Type::Str,
            FieldValue::Bytes(_) => Type::Bytes,
            FieldValue::Duration(_) => Type::Duration,
            FieldValue::Null => Type::Null,
        }
    }

    /// Gives the name that messages show.
    fn name(self) -> &'static str {
        match self {
            Type::Float => "float64",
            Type::Int => "int64",
            Type::UInt => "uint64",
            Type::Bool => "bool",
            Type::Str => "string",
            Type::Bytes => "[]uint8",
            Type::Duration => "time.Duration",
            Type::Null => "<nil>",
        }
    }

    pub(super) fn save(self, writer: &mut Writer<'_>) {
        writer.uint(TYPES.iter().position(|known| *known == self).unwrap_or_default() as u64);
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Type, StateError> {
        let value = reader.uint()?;
        let found = usize::try_from(value).ok().and_then(|at| TYPES.get(at));
        found.copied().ok_or(StateError::Unknown { what: "type", value })
    }
}

// === impl Words ===

impl Words {
    /// Reports one trouble.
    #[cold]
    pub(super) fn report(&self, trouble: Trouble, out: &mut Out<'_>) {
        const REALIZE: &str = "failed to realize reduce context from fields";
        let Words { function, field, aggregate } = self;
        match trouble {
            Trouble::NoField => {
                out.error(REALIZE, &format!("field \"{field}\" missing from point"), &[]);
            }
            Trouble::NotFor(kind) => {
                let kind = kind.name();
                let cause = format!(
                    "invalid influxql func {function} with field {field}: \
                     cannot apply {function} to {kind} field"
                );
                out.error(REALIZE, &cause, &[]);
            }
            Trouble::Missing => {
                let cause = format!("field {field} missing from point cannot aggregate");
                out.error(aggregate, &cause, &[]);
            }
            Trouble::Wrong { got, expected } => {
                let (got, expected) = (got.name(), expected.name());
                let cause = format!("field {field} has wrong type: got {got} exp {expected}");
                out.error(aggregate, &cause, &[]);
            }
            Trouble::TooMany => out.error("too many buffered points", field, &[]),
        }
    }
}

// === impl Troubles ===

impl Troubles {
    #[cold]
    pub(super) fn add(&mut self, trouble: Trouble) {
        let is_full = self.runs.len() >= RUNS_MAX;
        match self.runs.last_mut() {
            Some((last, count)) if *last == trouble || is_full => *count = count.saturating_add(1),
            _ => self.runs.push((trouble, 1)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Reports all of them and forgets them.
    #[cold]
    pub(super) fn report(&mut self, words: &Words, out: &mut Out<'_>) {
        for (trouble, count) in self.runs.drain(..) {
            for _ in 0..count {
                words.report(trouble, out);
            }
        }
    }

    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.runs.iter(), |writer, (trouble, count)| {
            writer.uint(u64::from(*count));
            match trouble {
                Trouble::NoField => writer.uint(0),
                Trouble::NotFor(kind) => {
                    writer.uint(1);
                    kind.save(writer);
                }
                Trouble::Missing => writer.uint(2),
                Trouble::Wrong { got, expected } => {
                    writer.uint(3);
                    got.save(writer);
                    expected.save(writer);
                }
                Trouble::TooMany => writer.uint(4),
            }
        });
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let runs = reader.list(|reader| {
            // Damaged bytes must not report for hours.
            let count = reader.uint()?.min(COUNT_MAX) as u32;
            let trouble = match reader.uint()? {
                0 => Trouble::NoField,
                1 => Trouble::NotFor(Type::load(reader)?),
                2 => Trouble::Missing,
                3 => Trouble::Wrong { got: Type::load(reader)?, expected: Type::load(reader)? },
                4 => Trouble::TooMany,
                value => return Err(StateError::Unknown { what: "trouble", value }),
            };
            Ok((trouble, count))
        })?;
        Ok(Troubles { runs })
    }
}
