//! The contents of messages, field by field.

use levada_model::{FieldValue, Str};

use super::UdfError;
use super::message::{
    Begin, EdgeKind, End, Info, Init, InitOption, OptionValue, Outcome, Point, Tags, ValueType,
};
use super::wire::{Field, fields, push_flag, push_int, push_text};
use crate::wire::{push_bytes, push_fixed64, push_message, push_number};

// === impl EdgeKind ===

impl EdgeKind {
    fn of(number: u64) -> Result<Self, UdfError> {
        match number {
            0 => Ok(EdgeKind::Stream),
            1 => Ok(EdgeKind::Batch),
            _ => Err(UdfError::Unknown { what: "edge", number }),
        }
    }
}

// === impl ValueType ===

impl ValueType {
    fn of(number: u64) -> Result<Self, UdfError> {
        Ok(match number {
            0 => ValueType::Bool,
            1 => ValueType::Int,
            2 => ValueType::Double,
            3 => ValueType::String,
            4 => ValueType::Duration,
            _ => return Err(UdfError::Unknown { what: "type", number }),
        })
    }
}

// === impl Info ===

impl Info {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.wants as i64, out);
        push_int(2, self.provides as i64, out);
        for (name, types) in &self.options {
            push_message(3, out, |out| {
                push_bytes(1, name.as_bytes(), out);
                push_message(2, out, |out| {
                    if !types.is_empty() {
                        push_message(1, out, |out| {
                            out.extend(types.iter().map(|value_type| *value_type as u8));
                        });
                    }
                });
            });
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut info = Info::default();
        fields(bytes, |field| {
            match field.number {
                1 => info.wants = EdgeKind::of(field.uint()?)?,
                2 => info.provides = EdgeKind::of(field.uint()?)?,
                3 => {
                    let (mut name, mut types) = (String::new(), Vec::new());
                    fields(field.bytes()?, |field| {
                        match field.number {
                            1 => name = field.text()?.to_owned(),
                            2 => types = read_types(field.bytes()?)?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    info.options.retain(|(known, _)| *known != name);
                    info.options.push((name, types));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }
}

fn read_types(bytes: &[u8]) -> Result<Vec<ValueType>, UdfError> {
    let mut types = Vec::new();
    fields(bytes, |field| match field.number {
        1 => field.uints(|number| {
            types.push(ValueType::of(number)?);
            Ok(())
        }),
        _ => Ok(()),
    })?;
    Ok(types)
}

// === impl Init ===

impl Init {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for option in &self.options {
            push_message(1, out, |out| {
                push_text(1, &option.name, out);
                for value in &option.values {
                    push_message(2, out, |out| value.write(out));
                }
            });
        }
        push_text(2, &self.task, out);
        push_text(3, &self.node, out);
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut init = Init::default();
        fields(bytes, |field| {
            match field.number {
                1 => {
                    let mut option = InitOption::default();
                    fields(field.bytes()?, |field| {
                        match field.number {
                            1 => option.name = field.text()?.to_owned(),
                            2 => option.values.push(OptionValue::read(field.bytes()?)?),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    init.options.push(option);
                }
                2 => init.task = field.text()?.to_owned(),
                3 => init.node = field.text()?.to_owned(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(init)
    }
}

// === impl OptionValue ===

impl OptionValue {
    /// Gives its type.
    pub fn value_type(&self) -> ValueType {
        match self {
            OptionValue::Bool(_) => ValueType::Bool,
            OptionValue::Int(_) => ValueType::Int,
            OptionValue::Double(_) => ValueType::Double,
            OptionValue::String(_) => ValueType::String,
            OptionValue::Duration(_) => ValueType::Duration,
        }
    }

    /// The value is one of several that may be there, so it is written also when it is empty.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.value_type() as i64, out);
        match self {
            OptionValue::Bool(flag) => push_number(2, u64::from(*flag), out),
            OptionValue::Int(number) => push_number(3, *number as u64, out),
            OptionValue::Double(number) => push_fixed64(4, (*number).to_bits(), out),
            OptionValue::String(text) => push_bytes(5, text.as_bytes(), out),
            OptionValue::Duration(nanos) => push_number(6, *nanos as u64, out),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut read = None;
        fields(bytes, |field| {
            read = Some(match field.number {
                2 => OptionValue::Bool(field.flag()?),
                3 => OptionValue::Int(field.int()?),
                4 => OptionValue::Double(field.double()?),
                5 => OptionValue::String(field.text()?.to_owned()),
                6 => OptionValue::Duration(field.int()?),
                _ => return Ok(()),
            });
            Ok(())
        })?;
        read.ok_or(UdfError::Empty)
    }
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_flag(1, self.success, out);
        push_text(2, &self.error, out);
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut outcome = Outcome::default();
        fields(bytes, |field| {
            match field.number {
                1 => outcome.success = field.flag()?,
                2 => outcome.error = String::from_utf8_lossy(field.bytes()?).into_owned(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(outcome)
    }
}

// === impl Begin ===

impl Begin {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_text(1, &self.name, out);
        push_text(2, &self.group, out);
        write_tags(3, &self.tags, out);
        push_int(4, self.size, out);
        push_flag(5, self.by_name, out);
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut begin = Begin::default();
        fields(bytes, |field| {
            match field.number {
                1 => begin.name = field.text()?.into(),
                2 => begin.group = field.text()?.into(),
                3 => begin.tags.push(read_tag(field)?),
                4 => begin.size = field.int()?,
                5 => begin.by_name = field.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(begin)
    }
}

// === impl Point ===

impl Point {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.time, out);
        push_text(2, &self.name, out);
        push_text(3, &self.database, out);
        push_text(4, &self.retention, out);
        push_text(5, &self.group, out);
        for dimension in &self.dimensions {
            push_bytes(6, dimension.as_bytes(), out);
        }
        write_tags(7, &self.tags, out);
        // The messages have no place for other kinds; who fills a point leaves them out.
        self.write_fields(8, out, |value, out| match value {
            FieldValue::Float(number) => {
                push_fixed64(2, (*number).to_bits(), out);
                true
            }
            _ => false,
        });
        self.write_fields(9, out, |value, out| match value {
            FieldValue::Int(number) => {
                push_number(2, *number as u64, out);
                true
            }
            _ => false,
        });
        self.write_fields(10, out, |value, out| match value {
            FieldValue::Str(text) => {
                push_bytes(2, text.as_bytes(), out);
                true
            }
            _ => false,
        });
        push_flag(11, self.by_name, out);
        self.write_fields(12, out, |value, out| match value {
            FieldValue::Bool(flag) => {
                push_number(2, u64::from(*flag), out);
                true
            }
            _ => false,
        });
    }

    /// Appends the fields of one kind: those whose value is written.
    fn write_fields(
        &self,
        number: u8,
        out: &mut Vec<u8>,
        write: impl Fn(&FieldValue, &mut Vec<u8>) -> bool,
    ) {
        for (name, value) in &self.fields {
            let before = out.len();
            let mut is_written = false;
            push_message(number, out, |out| {
                push_bytes(1, name.as_bytes(), out);
                is_written = write(value, out);
            });
            if !is_written {
                out.truncate(before);
            }
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut point = Point::default();
        fields(bytes, |field| {
            match field.number {
                1 => point.time = field.int()?,
                2 => point.name = field.text()?.into(),
                3 => point.database = field.text()?.into(),
                4 => point.retention = field.text()?.into(),
                5 => point.group = field.text()?.into(),
                6 => point.dimensions.push(field.text()?.into()),
                7 => point.tags.push(read_tag(field)?),
                8 => point.fields.push(entry(field, FieldValue::Float(0.0), |value| {
                    value.double().map(FieldValue::Float)
                })?),
                9 => point.fields.push(entry(field, FieldValue::Int(0), |value| {
                    value.int().map(FieldValue::Int)
                })?),
                10 => point.fields.push(entry(field, FieldValue::Str("".into()), |value| {
                    Ok(FieldValue::Str(value.text()?.into()))
                })?),
                11 => point.by_name = field.flag()?,
                12 => point.fields.push(entry(field, FieldValue::Bool(false), |value| {
                    value.flag().map(FieldValue::Bool)
                })?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }
}

// === impl End ===

impl End {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        push_text(1, &self.name, out);
        push_text(2, &self.group, out);
        push_int(3, self.tmax, out);
        write_tags(4, &self.tags, out);
        push_flag(5, self.by_name, out);
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut end = End::default();
        fields(bytes, |field| {
            match field.number {
                1 => end.name = field.text()?.into(),
                2 => end.group = field.text()?.into(),
                3 => end.tmax = field.int()?,
                4 => end.tags.push(read_tag(field)?),
                5 => end.by_name = field.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(end)
    }
}

// === maps ===

fn write_tags(field: u8, tags: &Tags, out: &mut Vec<u8>) {
    for (name, value) in tags {
        push_message(field, out, |out| {
            push_bytes(1, name.as_bytes(), out);
            push_bytes(2, value.as_bytes(), out);
        });
    }
}

fn read_tag(field: Field<'_>) -> Result<(Str, Str), UdfError> {
    entry(field, Str::from(""), |value| value.text().map(Str::from))
}

/// Reads an entry of a map; a key or a value that is not there is empty.
fn entry<T>(
    field: Field<'_>,
    empty: T,
    read: impl Fn(Field<'_>) -> Result<T, UdfError>,
) -> Result<(Str, T), UdfError> {
    let (mut key, mut value) = (Str::from(""), empty);
    fields(field.bytes()?, |field| {
        match field.number {
            1 => key = field.text()?.into(),
            2 => value = read(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}
