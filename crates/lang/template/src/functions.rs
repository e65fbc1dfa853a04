//! The functions that templates call: the built-in ones and those of the caller.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::go::{json, print, printf};
use crate::tree::FunctionRef;
use crate::value::Value;

/// A function that templates can call.
#[derive(Clone, Copy, Debug)]
pub struct CustomFunction {
    /// The name in templates.
    pub name: &'static str,
    /// What the arguments must be; the last stands for all that follow when `variadic`.
    pub params: &'static [Param],
    /// Whether the last parameter may be given any number of times, also never.
    pub variadic: bool,
    /// Computes the value, or says what is wrong.
    pub call: for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Any value.
    Any,
    /// A `string`.
    Text,
    /// An `int`.
    Int,
    /// A `time.Duration`; integer literals are nanoseconds.
    Duration,
    /// A `time.Time`.
    Time,
}

impl Param {
    /// Gives the Go type that error messages name.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Int => "int",
            Param::Duration => "time.Duration",
            Param::Time => "time.Time",
        }
    }
}

type Call = for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>;

const ANY: &[Param] = &[Param::Any];
const TWO: &[Param] = &[Param::Any, Param::Any];

const fn exactly(name: &'static str, params: &'static [Param], call: Call) -> CustomFunction {
    CustomFunction { name, params, variadic: false, call }
}

const fn at_least(name: &'static str, params: &'static [Param], call: Call) -> CustomFunction {
    CustomFunction { name, params, variadic: true, call }
}

/// The functions that `details` templates of alerts have besides the built-in ones.
pub static JSON_FUNCTIONS: &[CustomFunction] = &[
    exactly("json", ANY, |args| {
        let mut out = String::new();
        json::write(&mut out, &args[0]);
        out.push('\n');
        Ok(Value::from(out))
    }),
    exactly("jsonCompact", ANY, |args| {
        let mut out = String::new();
        json::write(&mut out, &args[0]);
        Ok(Value::from(out))
    }),
];

/// The functions that every template has.
pub(crate) static BUILTINS: &[CustomFunction] = &[
    // These two are evaluated argument by argument; see `short_circuit`.
    at_least("and", TWO, |_| Ok(Value::Nil)),
    at_least("or", TWO, |_| Ok(Value::Nil)),
    exactly("not", ANY, |args| Ok(Value::Bool(!args[0].is_true()))),
    at_least("call", TWO, |args| match &args[0] {
        Value::Nil => Err(String::from("call of nil")),
        Value::Str(text) => Err(format!("non-function {text} of type string")),
        other => {
            let name = other.type_name();
            Err(format!("non-function <{name} Value> of type {name}"))
        }
    }),
    at_least("print", ANY, |args| {
        let mut out = String::new();
        print::print(&mut out, args);
        Ok(Value::from(out))
    }),
    at_least("println", ANY, |args| {
        let mut out = String::new();
        print::println(&mut out, args);
        Ok(Value::from(out))
    }),
    at_least("printf", &[Param::Text, Param::Any], |args| {
        let mut out = String::new();
        if let Value::Str(format) = &args[0] {
            printf::printf(&mut out, format, &args[1..]);
        }
        Ok(Value::from(out))
    }),
    exactly("len", ANY, |args| len(&args[0])),
    at_least("index", TWO, |args| {
        let mut item = args[0].clone();
        if matches!(item, Value::Nil) {
            return Err(String::from("index of untyped nil"));
        }
        for index in &args[1..] {
            item = index_of(&item, index)?;
        }
        Ok(item)
    }),
    at_least("slice", TWO, slice),
    at_least("html", ANY, |args| Ok(escaped(args, crate::html::text::html))),
    at_least("js", ANY, |args| Ok(escaped(args, crate::html::text::js))),
    at_least("urlquery", ANY, |args| Ok(escaped(args, crate::html::text::urlquery))),
    at_least("eq", TWO, |args| {
        let Some((first, others)) = args[1..].split_first() else {
            return Err(String::from("missing argument for comparison"));
        };
        let mut equal = equals(&args[0], first)?;
        for other in others {
            equal = equal || equals(&args[0], other)?;
        }
        Ok(Value::Bool(equal))
    }),
    exactly("ne", TWO, |args| Ok(Value::Bool(!equals(&args[0], &args[1])?))),
    exactly("lt", TWO, |args| Ok(Value::Bool(compare(args)? == Some(Ordering::Less)))),
    exactly("le", TWO, |args| {
        Ok(Value::Bool(matches!(compare(args)?, Some(Ordering::Less | Ordering::Equal))))
    }),
    exactly("gt", TWO, |args| {
        compare(args).map(|order| Value::Bool(order == Some(Ordering::Greater)))
    }),
    exactly("ge", TWO, |args| {
        Ok(Value::Bool(matches!(compare(args)?, Some(Ordering::Greater | Ordering::Equal))))
    }),
];

/// Says for `and` and `or` at which truth they stop.
pub(crate) fn short_circuit(target: FunctionRef, name: &str) -> Option<bool> {
    match (target, name) {
        (FunctionRef::Builtin(_), "and") => Some(false),
        (FunctionRef::Builtin(_), "or") => Some(true),
        _ => None,
    }
}

/// Joins values to one text, as `print` does, and escapes it.
fn escaped<'v>(args: &[Value<'v>], escape: fn(&mut String, &str)) -> Value<'v> {
    let mut text = String::new();
    print_arguments(&mut text, args);
    let mut out = String::with_capacity(text.len());
    escape(&mut out, &text);
    Value::from(out)
}

/// Writes the arguments of an escaper; nothing shows as `<no value>`.
fn print_arguments(out: &mut String, args: &[Value<'_>]) {
    let shown: Vec<Value<'_>> = args
        .iter()
        .map(|value| match value {
            Value::Nil => Value::from("<no value>"),
            other => other.clone(),
        })
        .collect();
    print::print(out, &shown);
}

fn len<'v>(value: &Value<'v>) -> Result<Value<'v>, String> {
    let len = match value {
        // The text of upstream for a missing key.
        Value::Nil => {
            return Err(String::from("reflect: call of reflect.Value.Type on zero Value"));
        }
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(len as i64))
}

fn index_of<'v>(item: &Value<'v>, index: &Value<'v>) -> Result<Value<'v>, String> {
    match item {
        Value::Nil => Err(String::from("index of nil pointer")),
        Value::List(list) => {
            let at = position(index, list.len(), true)?;
            list.get(at).ok_or_else(|| String::from("reflect: slice index out of range"))
        }
        Value::Str(text) => {
            let at = position(index, text.len(), true)?;
            let byte = text.as_bytes().get(at);
            byte.map(|byte| Value::Byte(*byte))
                .ok_or_else(|| String::from("reflect: string index out of range"))
        }
        Value::Map(map) => match index {
            Value::Str(key) => Ok(match map.get(key) {
                Some(value) => value,
                None if map.element_type() == "string" => Value::from(""),
                None => Value::Nil,
            }),
            Value::Nil => Err(String::from("value is nil; should be of type string")),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

/// Gives an index within a length; `inclusive` allows the length itself.
fn position(index: &Value<'_>, len: usize, inclusive: bool) -> Result<usize, String> {
    let number = match index {
        Value::Nil => return Err(String::from("cannot index slice/array with nil")),
        other => match (other.as_int(), other.as_uint()) {
            (Some(number), _) => number,
            (None, Some(number)) => i64::try_from(number).unwrap_or(-1),
            (None, None) => {
                let name = other.type_name();
                return Err(format!("cannot index slice/array with type {name}"));
            }
        },
    };
    match usize::try_from(number) {
        Ok(at) if at < len || (inclusive && at == len) => Ok(at),
        _ => Err(format!("index out of range: {number}")),
    }
}

fn slice<'v>(args: &[Value<'v>]) -> Result<Value<'v>, String> {
    let (item, indexes) = (&args[0], &args[1..]);
    if let Value::Nil = item {
        return Err(String::from("slice of untyped nil"));
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let len = match item {
        Value::Str(_) if indexes.len() == 3 => {
            return Err(String::from("cannot 3-index slice a string"));
        }
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len, true)?;
    }
    if bounds[0] > bounds[1] {
        return Err(format!("invalid slice index: {} > {}", bounds[0], bounds[1]));
    }
    if indexes.len() == 3 && bounds[1] > bounds[2] {
        return Err(format!("invalid slice index: {} > {}", bounds[1], bounds[2]));
    }
    Ok(match item {
        Value::List(list) => Value::List(list.part(bounds[0], bounds[1])),
        Value::Str(Cow::Borrowed(text)) if text.get(bounds[0]..bounds[1]).is_some() => {
            Value::from(&text[bounds[0]..bounds[1]])
        }
        Value::Str(text) => {
            // Differs: a cut inside a character leaves U+FFFD, since texts are UTF-8 here.
            let bytes = &text.as_bytes()[bounds[0]..bounds[1]];
            Value::from(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => Value::Nil,
    })
}

/// The kinds that compare with each other.
#[derive(Clone, Copy, PartialEq)]
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'v str),
}

fn basic<'v>(value: &'v Value<'_>) -> Option<Basic<'v>> {
    Some(match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Float(value) => Basic::Float(*value),
        Value::Str(text) => Basic::Text(text),
        number => match (number.as_int(), number.as_uint()) {
            (Some(number), _) => Basic::Int(number),
            (None, Some(number)) => Basic::Uint(number),
            (None, None) => return None,
        },
    })
}

fn incompatible(left: &Value<'_>, right: &Value<'_>) -> String {
    let (left, right) = (left.type_name(), right.type_name());
    format!("incompatible types for comparison: {left} and {right}")
}

fn equals(left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    match (basic(left), basic(right)) {
        (Some(a), Some(b)) => {
            match (a, b) {
                (Basic::Bool(a), Basic::Bool(b)) => Ok(a == b),
                (Basic::Text(a), Basic::Text(b)) => Ok(a == b),
                (a, b) => Ok(ordering(a, b).ok_or_else(|| incompatible(left, right))?
                    == Some(Ordering::Equal)),
            }
        }
        (None, None) => match (left, right) {
            (Value::Nil, Value::Nil) => Ok(true),
            (Value::Time(left), Value::Time(right)) => Ok(left == right),
            (Value::Nil, _) | (_, Value::Nil) => Ok(false),
            (Value::Map(_) | Value::List(_), _) | (_, Value::Map(_) | Value::List(_)) => {
                let mut shown = String::new();
                printf::printf(&mut shown, "%s", std::slice::from_ref(right));
                Err(format!("non-comparable type {shown}: {}", right.type_name()))
            }
            _ if left.type_name() == right.type_name() => {
                let (mut shown_left, mut shown_right) = (String::new(), String::new());
                print::value(&mut shown_left, left);
                print::value(&mut shown_right, right);
                Ok(shown_left == shown_right)
            }
            _ => Err(incompatible(left, right)),
        },
        _ if matches!(left, Value::Nil) || matches!(right, Value::Nil) => Ok(false),
        _ => Err(incompatible(left, right)),
    }
}

fn compare(args: &[Value<'_>]) -> Result<Option<Ordering>, String> {
    let invalid = || String::from("invalid type for comparison");
    let left = basic(&args[0]).ok_or_else(invalid)?;
    let right = basic(&args[1]).ok_or_else(invalid)?;
    if let (Basic::Bool(_), Basic::Bool(_)) = (left, right) {
        return Err(invalid());
    }
    ordering(left, right).ok_or_else(|| incompatible(&args[0], &args[1]))
}

/// Compares two of one kind, or signed and unsigned integers; NaN has no order.
fn ordering(left: Basic<'_>, right: Basic<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Basic::Int(left), Basic::Int(right)) => Some(left.cmp(&right)),
        (Basic::Uint(left), Basic::Uint(right)) => Some(left.cmp(&right)),
        (Basic::Int(left), Basic::Uint(right)) => {
            Some(u64::try_from(left).map_or(Ordering::Less, |left| left.cmp(&right)))
        }
        (Basic::Uint(left), Basic::Int(right)) => {
            Some(u64::try_from(right).map_or(Ordering::Greater, |right| left.cmp(&right)))
        }
        (Basic::Float(left), Basic::Float(right)) => left.partial_cmp(&right),
        (Basic::Text(left), Basic::Text(right)) => Some(left.cmp(right)),
        _ => return None,
    })
}
