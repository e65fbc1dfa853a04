//! JSON values as SQL literals of a column's type, exactly or not at all.
//!
//! | column | JSON that it takes |
//! |---|---|
//! | boolean | `true`, `false`, or such a text |
//! | tinyint to bigint | a whole number in range, or such a text |
//! | real, double | a number, a text of one, `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | decimal | a number or a text of one that loses no digit |
//! | varchar, char | a text that fits; numbers, booleans, objects and arrays as their JSON text |
//! | varbinary | base64 |
//! | date, time, timestamp | text, see [`super::temporal`]; timestamps also from numbers |
//! | interval | text as Trino writes it, such as `1 02:03:04.567` and `1-2` |
//! | json | anything; the server keeps numbers with a point or an exponent as doubles |
//! | uuid, ipaddress | text |
//! | array, map, row | arrays and objects; rows by name or by place |
//!
//! `null` is `NULL` everywhere. What does not fit is an error that says why; no value is guessed.
//! Differs: the original writes 0 or `false` for what it cannot read (dataflow-operator.md §3.5).

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use levada_model::{NodeId, NodeKind, Tree};

use super::number::{Number, integer};
use super::sql::push_text;
use super::temporal::{Date, Moment, TimeOfDay};
use super::types::Type;

/// Why a value has no literal; the sentence begins with what the value is.
pub(crate) type Problem = String;

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type as the server writes it.
    pub(crate) declared: String,
    pub(crate) ty: Type,
}

/// A value that holds no others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'v> {
    Bool(bool),
    /// As it is written.
    Number(&'v str),
    Text(&'v str),
}

/// A document whose values become literals.
#[derive(Clone, Copy)]
pub(crate) struct Document<'d> {
    pub(crate) tree: &'d Tree,
    pub(crate) text: &'d [u8],
}

// === impl Column ===

impl Column {
    /// Makes a column from its name and the name of its type.
    pub(crate) fn new(name: String, declared: String) -> Self {
        let ty = Type::parse(&declared);
        Column { name, declared, ty }
    }

    /// Appends the literal of a value.
    pub(crate) fn push(
        &self,
        document: Document<'_>,
        node: NodeId,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        if !self.ty.is_nested() || document.tree.kind(node) == NodeKind::Null {
            return document.push(node, &self.ty, out);
        }
        // The elements decide about the type of such a literal, so it is said once for all.
        out.extend_from_slice(b"CAST(");
        document.push(node, &self.ty, out)?;
        out.extend_from_slice(b" AS ");
        out.extend_from_slice(self.declared.as_bytes());
        out.push(b')');
        Ok(())
    }

    /// Appends the literal of a value that holds no others.
    pub(crate) fn push_scalar(&self, value: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        push_scalar(value, &self.ty, out)
    }
}

// === impl Document ===

impl<'d> Document<'d> {
    fn push(self, node: NodeId, ty: &Type, out: &mut Vec<u8>) -> Result<(), Problem> {
        let kind = self.tree.kind(node);
        if kind == NodeKind::Null {
            out.extend_from_slice(b"NULL");
            return Ok(());
        }
        match ty {
            Type::Array(element) => self.push_array(node, element, out),
            Type::Map(key, value) => self.push_map(node, key, value, out),
            Type::Row(fields) => self.push_row(node, fields, out),
            Type::Json => {
                self.check_json(node)?;
                out.extend_from_slice(b"JSON ");
                self.push_printed(node, out);
                Ok(())
            }
            _ => match kind {
                NodeKind::Array | NodeKind::Object => self.push_as_text(node, ty, out),
                NodeKind::String => {
                    let text = self.tree.string(self.text, node).unwrap_or_default();
                    push_scalar(Scalar::Text(&text), ty, out)
                }
                NodeKind::Number => {
                    let text = self.tree.literal(self.text, node).unwrap_or_default();
                    push_scalar(Scalar::Number(text), ty, out)
                }
                kind => push_scalar(Scalar::Bool(kind == NodeKind::True), ty, out),
            },
        }
    }

    /// Refuses numbers that the server would turn into the text `"Infinity"`.
    ///
    /// Trees have a bounded depth, see [`levada_model::tree`].
    fn check_json(self, node: NodeId) -> Result<(), Problem> {
        if self.tree.kind(node) == NodeKind::Number {
            let text = self.tree.literal(self.text, node).unwrap_or_default();
            // Whole numbers keep their digits there, others become doubles.
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            if !is_whole && !text.parse::<f64>().is_ok_and(f64::is_finite) {
                return Err(format!("{} is out of the range of numbers in json", shown(text)));
            }
        }
        self.tree.children(node).try_for_each(|child| self.check_json(child))
    }

    /// Appends the JSON text of a value as a text literal.
    fn push_printed(self, node: NodeId, out: &mut Vec<u8>) {
        let mut printed = Vec::new();
        self.tree.print(self.text, node, &mut printed);
        push_text(out, &String::from_utf8_lossy(&printed));
    }

    fn push_as_text(self, node: NodeId, ty: &Type, out: &mut Vec<u8>) -> Result<(), Problem> {
        if !matches!(ty, Type::Varchar(_) | Type::Char(_)) {
            return Err(mismatch(self.tree.kind(node).name(), ty));
        }
        let mut printed = Vec::new();
        self.tree.print(self.text, node, &mut printed);
        push_scalar(Scalar::Text(&String::from_utf8_lossy(&printed)), ty, out)
    }

    fn push_array(self, node: NodeId, element: &Type, out: &mut Vec<u8>) -> Result<(), Problem> {
        if self.tree.kind(node) != NodeKind::Array {
            return Err(format!("{} and no array", self.tree.kind(node).name()));
        }
        out.extend_from_slice(b"ARRAY[");
        for (index, child) in self.tree.children(node).enumerate() {
            separate(index, out);
            self.push(child, element, out).map_err(|problem| format!("[{index}]: {problem}"))?;
        }
        out.push(b']');
        Ok(())
    }

    fn push_map(
        self,
        node: NodeId,
        key: &Type,
        value: &Type,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        if self.tree.kind(node) != NodeKind::Object {
            return Err(format!("{} and no object", self.tree.kind(node).name()));
        }
        // Of equal keys the last one counts.
        let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
        let mut entries: Vec<(Cow<'_, str>, NodeId)> = Vec::new();
        for child in self.tree.children(node) {
            let name = self.tree.key(self.text, child).unwrap_or_default();
            match places.get(&name) {
                Some(&place) => entries[place].1 = child,
                None => {
                    places.insert(name.clone(), entries.len());
                    entries.push((name, child));
                }
            }
        }
        if entries.is_empty() {
            out.extend_from_slice(b"MAP()");
            return Ok(());
        }
        out.extend_from_slice(b"MAP(ARRAY[");
        for (index, (name, _)) in entries.iter().enumerate() {
            separate(index, out);
            push_scalar(Scalar::Text(name), key, out)
                .map_err(|problem| format!("key `{}`: {problem}", shown(name)))?;
        }
        out.extend_from_slice(b"],ARRAY[");
        for (index, (name, child)) in entries.iter().enumerate() {
            separate(index, out);
            self.push(*child, value, out)
                .map_err(|problem| format!("`{}`: {problem}", shown(name)))?;
        }
        out.extend_from_slice(b"])");
        Ok(())
    }

    fn push_row(
        self,
        node: NodeId,
        fields: &[(Option<String>, Type)],
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let mut places: Vec<Option<NodeId>> = vec![None; fields.len()];
        match self.tree.kind(node) {
            NodeKind::Array => {
                let count = self.tree.children(node).count();
                if count != fields.len() {
                    return Err(format!("{count} elements and not {}", fields.len()));
                }
                let children = self.tree.children(node);
                places.iter_mut().zip(children).for_each(|(place, child)| *place = Some(child));
            }
            NodeKind::Object => {
                for child in self.tree.children(node) {
                    let name = self.tree.key(self.text, child).unwrap_or_default();
                    match field_place(fields, &name) {
                        Some(place) => places[place] = Some(child),
                        None => return Err(format!("the row has no field `{}`", shown(&name))),
                    }
                }
            }
            kind => return Err(format!("{} and neither object nor array", kind.name())),
        }
        out.extend_from_slice(b"ROW(");
        for (index, ((name, ty), place)) in fields.iter().zip(places).enumerate() {
            separate(index, out);
            let Some(child) = place else {
                out.extend_from_slice(b"NULL");
                continue;
            };
            self.push(child, ty, out).map_err(|problem| match name {
                Some(name) => format!("`{name}`: {problem}"),
                None => format!("[{index}]: {problem}"),
            })?;
        }
        out.push(b')');
        Ok(())
    }
}

fn field_place(fields: &[(Option<String>, Type)], name: &str) -> Option<usize> {
    let find = |is_name: &dyn Fn(&str) -> bool| {
        fields.iter().position(|(known, _)| known.as_deref().is_some_and(is_name))
    };
    find(&|known| known == name).or_else(|| find(&|known| known.eq_ignore_ascii_case(name)))
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn mismatch(kind: &str, ty: &Type) -> Problem {
    format!("{kind}, which a column of type {} cannot take", name_of(ty))
}

fn name_of(ty: &Type) -> Cow<'_, str> {
    match ty {
        Type::Boolean => "boolean".into(),
        Type::Tinyint => "tinyint".into(),
        Type::Smallint => "smallint".into(),
        Type::Integer => "integer".into(),
        Type::Bigint => "bigint".into(),
        Type::Real => "real".into(),
        Type::Double => "double".into(),
        Type::Decimal(precision, scale) => format!("decimal({precision},{scale})").into(),
        Type::Varchar(None) => "varchar".into(),
        Type::Varchar(Some(length)) => format!("varchar({length})").into(),
        Type::Char(length) => format!("char({length})").into(),
        Type::Varbinary => "varbinary".into(),
        Type::Json => "json".into(),
        Type::Uuid => "uuid".into(),
        Type::IpAddress => "ipaddress".into(),
        Type::Date => "date".into(),
        Type::Time { .. } => "time".into(),
        Type::Timestamp { .. } => "timestamp".into(),
        Type::IntervalDayToSecond => "interval day to second".into(),
        Type::IntervalYearToMonth => "interval year to month".into(),
        Type::Array(_) => "array".into(),
        Type::Map(..) => "map".into(),
        Type::Row(_) => "row".into(),
        Type::Other(name) => name.as_str().into(),
    }
}

/// Gives the beginning of a text, for messages.
fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_MAX: usize = 40;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Appends the literal of a value that holds no others.
pub(crate) fn push_scalar(value: Scalar<'_>, ty: &Type, out: &mut Vec<u8>) -> Result<(), Problem> {
    match (ty, value) {
        (Type::Boolean, Scalar::Bool(true) | Scalar::Text("true")) => {
            out.extend_from_slice(b"true");
        }
        (Type::Boolean, Scalar::Bool(false) | Scalar::Text("false")) => {
            out.extend_from_slice(b"false");
        }
        (Type::Tinyint, Scalar::Number(text) | Scalar::Text(text)) => {
            push_integer(text, ty, i8::MIN.into(), i8::MAX.into(), out)?;
        }
        (Type::Smallint, Scalar::Number(text) | Scalar::Text(text)) => {
            push_integer(text, ty, i16::MIN.into(), i16::MAX.into(), out)?;
        }
        (Type::Integer, Scalar::Number(text) | Scalar::Text(text)) => {
            push_integer(text, ty, i32::MIN.into(), i32::MAX.into(), out)?;
        }
        (Type::Bigint, Scalar::Number(text) | Scalar::Text(text)) => {
            push_integer(text, ty, i64::MIN, i64::MAX, out)?;
        }
        (Type::Real | Type::Double, Scalar::Number(text) | Scalar::Text(text)) => {
            push_float(text, ty, out)?;
        }
        (Type::Decimal(precision, scale), Scalar::Number(text) | Scalar::Text(text)) => {
            push_decimal(text, ty, *precision, *scale, out)?;
        }
        (Type::Varchar(_) | Type::Char(_), value) => {
            let text = match value {
                Scalar::Bool(true) => "true",
                Scalar::Bool(false) => "false",
                Scalar::Number(text) | Scalar::Text(text) => text,
            };
            check_length(text, ty)?;
            push_text(out, text);
        }
        (Type::Varbinary, Scalar::Text(text)) => push_binary(text, out)?,
        (Type::Json, value) => push_json(value, out),
        (Type::Uuid, Scalar::Text(text)) => {
            is_uuid(text).then_some(()).ok_or_else(|| format!("`{}` is no UUID", shown(text)))?;
            out.extend_from_slice(b"UUID ");
            push_text(out, text);
        }
        (Type::IpAddress, Scalar::Text(text)) => {
            let problem = |_| format!("`{}` is no IP address", shown(text));
            text.parse::<std::net::IpAddr>().map_err(problem)?;
            out.extend_from_slice(b"IPADDRESS ");
            push_text(out, text);
        }
        (Type::Date | Type::Time { .. } | Type::Timestamp { .. }, Scalar::Text(text)) => {
            let problem = || format!("`{}` is no {}", shown(text), name_of(ty));
            push_temporal(text, ty, out).ok_or_else(problem)?;
        }
        (Type::Timestamp { precision, has_zone }, Scalar::Number(text)) => {
            let mut digits = String::new();
            let problem = || format!("{} is no time that a timestamp can hold", shown(text));
            let moment = Moment::of_number(text, &mut digits).ok_or_else(problem)?;
            push_timestamp(moment, *precision, *has_zone, out);
        }
        (Type::IntervalDayToSecond, Scalar::Text(text)) => {
            is_day_interval(text).then_some(()).ok_or_else(|| interval_problem(text, ty))?;
            out.extend_from_slice(b"INTERVAL ");
            push_text(out, text);
            out.extend_from_slice(b" DAY TO SECOND");
        }
        (Type::IntervalYearToMonth, Scalar::Text(text)) => {
            is_year_interval(text).then_some(()).ok_or_else(|| interval_problem(text, ty))?;
            out.extend_from_slice(b"INTERVAL ");
            push_text(out, text);
            out.extend_from_slice(b" YEAR TO MONTH");
        }
        (ty, Scalar::Bool(_)) => return Err(mismatch("boolean", ty)),
        (ty, Scalar::Number(_)) => return Err(mismatch("number", ty)),
        (ty, Scalar::Text(_)) => return Err(mismatch("string", ty)),
    }
    Ok(())
}

fn push_integer(
    text: &str,
    ty: &Type,
    least: i64,
    most: i64,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let number = integer(text)
        .ok_or_else(|| format!("`{}` is no {} without loss", shown(text), name_of(ty)))?;
    if !(least..=most).contains(&number) {
        return Err(format!("{number} is out of the range of {}", name_of(ty)));
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    Ok(())
}

fn push_float(text: &str, ty: &Type, out: &mut Vec<u8>) -> Result<(), Problem> {
    let is_real = *ty == Type::Real;
    let special = match text {
        "NaN" => Some("nan()"),
        "Infinity" | "+Infinity" => Some("infinity()"),
        "-Infinity" => Some("-infinity()"),
        _ => None,
    };
    if let Some(call) = special {
        let (before, after) = if is_real { ("CAST(", " AS real)") } else { ("", "") };
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(call.as_bytes());
        out.extend_from_slice(after.as_bytes());
        return Ok(());
    }
    let is_number = Number::parse(text).is_some();
    let value = text.parse::<f64>().ok().filter(|_| is_number);
    let value = value.map(|value| if is_real { f64::from(value as f32) } else { value });
    let value = value.ok_or_else(|| format!("`{}` is no number", shown(text)))?;
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = digits.bytes().all(|byte| !(b'1'..=b'9').contains(&byte));
    if !value.is_finite() || value == 0.0 && !is_zero {
        return Err(format!("{} is out of the range of {}", shown(text), name_of(ty)));
    }
    out.extend_from_slice(if is_real { b"REAL '" } else { b"DOUBLE '" });
    out.extend_from_slice(text.as_bytes());
    out.push(b'\'');
    Ok(())
}

/// All literals of a column have its scale, so that those of many rows have a common type.
fn push_decimal(
    text: &str,
    ty: &Type,
    precision: u8,
    scale: u8,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let number = Number::parse(text).ok_or_else(|| format!("`{}` is no number", shown(text)))?;
    out.extend_from_slice(b"DECIMAL '");
    let digits = number
        .push_fixed(usize::from(scale), out)
        .ok_or_else(|| format!("{} has more digits than {} holds", shown(text), name_of(ty)))?;
    if digits > usize::from(precision - scale) {
        return Err(format!("{} is out of the range of {}", shown(text), name_of(ty)));
    }
    out.push(b'\'');
    Ok(())
}

fn check_length(text: &str, ty: &Type) -> Result<(), Problem> {
    let (length, most) = match ty {
        Type::Varchar(Some(most)) => (text, *most),
        // Blanks at the end do not count there.
        Type::Char(most) => (text.trim_end_matches(' '), *most),
        _ => return Ok(()),
    };
    // Bytes are never fewer than characters.
    if length.len() <= most as usize {
        return Ok(());
    }
    let count = length.chars().count();
    if count <= most as usize {
        return Ok(());
    }
    Err(format!("text of {count} characters, and {} holds {most}", name_of(ty)))
}

fn push_binary(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .or_else(|_| base64::engine::general_purpose::STANDARD_NO_PAD.decode(text))
        .map_err(|_| "text that is no base64, which a column of type varbinary takes".to_owned())?;
    out.extend_from_slice(b"X'");
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
    out.push(b'\'');
    Ok(())
}

fn push_json(value: Scalar<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"JSON ");
    match value {
        Scalar::Bool(true) => push_text(out, "true"),
        Scalar::Bool(false) => push_text(out, "false"),
        Scalar::Number(text) => push_text(out, text),
        Scalar::Text(text) => {
            let mut json = Vec::new();
            levada_model::text::encode_string(text, &mut json);
            push_text(out, &String::from_utf8_lossy(&json));
        }
    }
}

fn push_temporal(text: &str, ty: &Type, out: &mut Vec<u8>) -> Option<()> {
    match ty {
        Type::Date => {
            let date = Date::parse(text)?;
            out.extend_from_slice(b"DATE '");
            date.push(out);
            out.push(b'\'');
        }
        Type::Time { precision, has_zone } => {
            let time = TimeOfDay::parse(text)?;
            out.extend_from_slice(b"TIME '");
            if *has_zone {
                time.push_with_zone(*precision, out)
            } else {
                time.push(*precision, out)
            }
            out.push(b'\'');
        }
        Type::Timestamp { precision, has_zone } => {
            push_timestamp(Moment::parse(text)?, *precision, *has_zone, out);
        }
        _ => return None,
    }
    Some(())
}

fn push_timestamp(moment: Moment<'_>, precision: u8, has_zone: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"TIMESTAMP '");
    moment.push(precision, out);
    out.extend_from_slice(if has_zone { b" UTC'" } else { b"'" });
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn interval_problem(text: &str, ty: &Type) -> Problem {
    format!("`{}` is no {}", shown(text), name_of(ty))
}

/// Tells whether a text is `1 02:03:04.567`, with a sign before it or not.
fn is_day_interval(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let Some((days, clock)) = text.split_once(' ') else { return false };
    let is_days = (1..=10).contains(&days.len()) && days.bytes().all(|byte| byte.is_ascii_digit());
    // A time of day has no sign and no zone here.
    let is_clock = clock.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    is_days && is_clock && TimeOfDay::parse(clock).is_some()
}

/// Tells whether a text is `1-2`, with a sign before it or not.
fn is_year_interval(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let is_number = |text: &str| {
        (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('-').is_some_and(|(years, months)| is_number(years) && is_number(months))
}

#[cfg(test)]
mod tests;
