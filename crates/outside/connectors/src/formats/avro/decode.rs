//! One pass from Avro's binary form to JSON text, along a compiled schema.
//!
//! Nothing is allocated but what `out` needs. Bounds, whatever the bytes say:
//! - a length is compared with the bytes that are left before anything is read;
//! - nesting is at most that of our documents, so that recursion is safe and the result can be parsed;
//! - the text of one record is bounded, because small bytes can become large text: long names of
//!   fields and symbols, elements that take no bytes at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::text::encode_string;
use levada_model::tree::MAX_DEPTH;

use super::schema::{Schema, Type, TypeId};
use super::text;

/// Why bytes do not fit a schema.
#[derive(Debug)]
pub(crate) struct Fault(Box<Place>);

#[derive(Debug)]
struct Place {
    what: String,
    /// Offset in the bytes at which it was noticed.
    at: usize,
    /// Fields and elements around it, the innermost first.
    path: Vec<String>,
}

/// Steps of a path that a message shows; deeper ones are left out.
const PATH_MAX: usize = 16;

struct Decoder<'a> {
    schema: &'a Schema,
    bytes: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
    /// The length of `out` at which the text of the record is too long.
    out_max: usize,
}

/// Appends the JSON text of one record; all bytes must belong to it.
///
/// - Errors: `out` is as it was before.
pub(crate) fn decode(
    schema: &Schema,
    bytes: &[u8],
    text_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let out_max = start.saturating_add(text_max);
    let mut decoder = Decoder { schema, bytes, at: 0, out, out_max };
    let result = decoder.value(schema.root(), 0).and_then(|()| {
        let rest = bytes.len() - decoder.at;
        if rest == 0 {
            return Ok(());
        }
        Err(decoder.fault(format!("{rest} bytes are left over: another schema wrote the record")))
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends bytes as a JSON string in base64.
pub(crate) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room was just made, so it cannot be too small.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

// === impl Fault ===

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = &self.0;
        if !place.path.is_empty() {
            write!(f, "field `")?;
            for (number, step) in place.path.iter().rev().enumerate() {
                let dot = if number > 0 && !step.starts_with('[') { "." } else { "" };
                write!(f, "{dot}{step}")?;
            }
            write!(f, "`: ")?;
        }
        write!(f, "{} (at byte {})", place.what, place.at)
    }
}

impl Fault {
    #[cold]
    fn inside(mut self, step: impl FnOnce() -> String) -> Fault {
        if self.0.path.len() == PATH_MAX {
            self.0.path.remove(0);
        }
        self.0.path.push(step());
        self
    }
}

// === impl Decoder ===

impl<'a> Decoder<'a> {
    fn value(&mut self, kind: &'a Type, depth: usize) -> Result<(), Fault> {
        match kind {
            Type::Null | Type::Alias(_) => self.out.extend_from_slice(b"null"),
            Type::Boolean => match self.take(1)?[0] {
                0 => self.out.extend_from_slice(b"false"),
                1 => self.out.extend_from_slice(b"true"),
                other => return Err(self.fault(format!("{other} is no boolean"))),
            },
            Type::Int => {
                let number = self.int()?;
                self.integer(number.into());
            }
            Type::Long => {
                let number = self.long()?;
                self.integer(number);
            }
            Type::Float => {
                let bytes = self.take(4)?.try_into().expect("four bytes were taken");
                text::push_float(f32::from_le_bytes(bytes), self.out);
            }
            Type::Double => {
                let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
                text::push_double(f64::from_le_bytes(bytes), self.out);
            }
            Type::Bytes => {
                let bytes = self.sized()?;
                self.check_text(bytes.len().saturating_mul(4) / 3)?;
                push_base64(bytes, self.out);
            }
            Type::String => self.string()?,
            Type::Fixed(size) => {
                let bytes = self.take(*size)?;
                self.check_text(bytes.len().saturating_mul(4) / 3)?;
                push_base64(bytes, self.out);
            }
            Type::Enum(symbols) => {
                let index = self.int()?;
                match usize::try_from(index).ok().and_then(|index| symbols.get(index)) {
                    Some(symbol) => self.out.extend_from_slice(symbol),
                    None => {
                        let count = symbols.len();
                        let text = format!("symbol {index} of an enum of {count} symbols");
                        return Err(self.fault(text));
                    }
                }
            }
            Type::Union(branches) => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|index| branches.get(index)) {
                    // Unions do not nest directly, so they need no depth of their own.
                    Some(&branch) => return self.value(self.schema.get(branch), depth),
                    None => {
                        let count = branches.len();
                        let text = format!("branch {index} of a union of {count} types");
                        return Err(self.fault(text));
                    }
                }
            }
            Type::Array(items) => return self.array(*items, depth),
            Type::Map(values) => return self.map(*values, depth),
            Type::Record(fields) => {
                self.check_depth(depth)?;
                if fields.is_empty() {
                    self.out.push(b'{');
                }
                for field in fields {
                    self.out.extend_from_slice(&field.head);
                    self.value(self.schema.get(field.kind), depth + 1)
                        .map_err(|fault| fault.inside(|| field.name.to_string()))?;
                }
                self.out.push(b'}');
            }
            Type::Decimal { scale, size } => {
                let bytes = match size {
                    Some(size) => self.take(*size)?,
                    None => self.sized()?,
                };
                self.decimal(bytes, i64::from(*scale))?;
            }
            Type::BigDecimal => self.big_decimal()?,
            Type::Uuid => {
                let bytes = self.take(16)?.try_into().expect("sixteen bytes were taken");
                text::push_uuid(bytes, self.out);
            }
            Type::Date => {
                let days = self.int()?;
                self.out.push(b'"');
                text::push_date(days.into(), self.out);
                self.out.push(b'"');
            }
            Type::Time { per_second, is_long } => {
                let time = if *is_long { self.long()? } else { self.int()?.into() };
                if !text::push_time(time, *per_second, self.out) {
                    return Err(self.fault(format!("{time} is no time of a day")));
                }
            }
            Type::Timestamp { per_second, is_local } => {
                let time = self.long()?;
                text::push_timestamp(time, *per_second, *is_local, self.out);
            }
            Type::Duration => {
                let bytes = self.take(12)?.try_into().expect("twelve bytes were taken");
                text::push_duration(bytes, self.out);
            }
        }
        self.check_text(0)
    }

    fn array(&mut self, items: TypeId, depth: usize) -> Result<(), Fault> {
        self.check_depth(depth)?;
        let items = self.schema.get(items);
        self.out.push(b'[');
        let mut index = 0u64;
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if index > 0 {
                    self.out.push(b',');
                }
                self.value(items, depth + 1)
                    .map_err(|fault| fault.inside(|| format!("[{index}]")))?;
                index += 1;
            }
        }
        self.out.push(b']');
        self.check_text(0)
    }

    fn map(&mut self, values: TypeId, depth: usize) -> Result<(), Fault> {
        self.check_depth(depth)?;
        let values = self.schema.get(values);
        self.out.push(b'{');
        let mut is_first = true;
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                self.string()?;
                self.out.push(b':');
                self.value(values, depth + 1).map_err(|fault| fault.inside(|| "{}".to_owned()))?;
            }
        }
        self.out.push(b'}');
        self.check_text(0)
    }

    /// Reads how many elements follow; a negative number is followed by their size in bytes.
    fn block(&mut self) -> Result<u64, Fault> {
        let count = self.long()?;
        if count < 0 {
            let size = self.long()?;
            let left = self.bytes.len() - self.at;
            if usize::try_from(size).map_or(true, |size| size > left) {
                let text = format!("a block of {size} bytes where {left} are left");
                return Err(self.fault(text));
            }
        }
        Ok(count.unsigned_abs())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let bytes = self.sized()?;
        match std::str::from_utf8(bytes) {
            Ok(text) => encode_string(text, self.out),
            Err(error) => {
                let text =
                    format!("a string is not UTF-8 from its byte {} on", error.valid_up_to());
                return Err(self.fault(text));
            }
        }
        self.check_text(0)
    }

    fn decimal(&mut self, bytes: &[u8], scale: i64) -> Result<(), Fault> {
        if !text::push_decimal(bytes, scale, self.out) {
            let most = text::DECIMAL_BYTES_MAX;
            let text = format!("a decimal of {} bytes; at most {most} are read", bytes.len());
            return Err(self.fault(text));
        }
        Ok(())
    }

    /// A decimal that brings its scale: bytes in which a length, the integer and an `int` stand.
    ///
    /// Source: Java's `Conversions.BigDecimalConversion`.
    fn big_decimal(&mut self) -> Result<(), Fault> {
        let length = self.length()?;
        let end = self.at + length;
        let unscaled = self.sized()?;
        let scale = self.long()?;
        if self.at != end {
            return Err(self.fault("a big-decimal is longer or shorter than it says".into()));
        }
        if i32::try_from(scale).is_err() {
            return Err(self.fault(format!("{scale} is no scale of a decimal")));
        }
        self.decimal(unscaled, scale)
    }

    fn integer(&mut self, number: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn int(&mut self) -> Result<i32, Fault> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| self.fault(format!("{number} is no 32-bit integer")))
    }

    /// Reads a zigzag number of up to ten bytes.
    #[inline]
    fn long(&mut self) -> Result<i64, Fault> {
        let mut value = 0u64;
        for shift in 0..10 {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.fault("the record ends inside a number".into()));
            };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 9 && bits > 1 {
                break;
            }
            value |= bits << (shift * 7);
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.fault("a number is longer than 64 bits".into()))
    }

    /// Reads a length, which is no more than what is left.
    fn length(&mut self) -> Result<usize, Fault> {
        let length = self.long()?;
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(length),
            _ => Err(self.fault(format!("a length of {length} bytes where {left} are left"))),
        }
    }

    fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.at..];
        match left.get(..count) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => {
                let text = format!("{count} bytes are expected where {} are left", left.len());
                Err(self.fault(text))
            }
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(self.fault(format!("nesting is deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    fn check_text(&self, more: usize) -> Result<(), Fault> {
        if self.out.len().saturating_add(more) > self.out_max {
            return Err(self.fault("the record becomes too long as JSON".into()));
        }
        Ok(())
    }

    #[cold]
    fn fault(&self, what: String) -> Fault {
        Fault(Box::new(Place { what, at: self.at, path: Vec::new() }))
    }
}

#[cfg(test)]
mod tests;
