//! The steps once more, on values and without a thought for speed.

use serde_json::{Map, Value, json};

/// A step: how a manifest writes it is [`Step::manifest`], what it does is [`Step::apply`].
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Filter(Test),
    Mask(Vec<&'static str>),
    Select(Vec<&'static str>),
    Remove(Vec<&'static str>),
    SnakeCase(bool),
    CamelCase(bool),
    Flatten(&'static str),
    Include(Vec<&'static str>),
    Exclude(Vec<&'static str>),
    Rename(&'static str, &'static str),
    Cast(&'static str, &'static str),
    Insert(&'static str, &'static str),
    Hoist(&'static str),
    Extract(&'static str),
    StructFlatten(&'static str),
    Router(Vec<(Test, bool)>),
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Path(&'static str),
    Equal(&'static str, &'static str),
    Not(Box<Test>),
    Both(Box<Test>, Box<Test>),
    Either(Box<Test>, Box<Test>),
}

/// A record under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) value: Value,
    pub(crate) route: Option<String>,
    pub(crate) condition: Option<String>,
}

/// The step that failed first.
pub(crate) type Failed = Option<usize>;

/// Runs a record through steps, each with its `when`; gives what leaves, in order, and the step that
/// failed first.
pub(crate) fn run(steps: &[(Step, Option<Test>)], value: Value) -> (Vec<Record>, Failed) {
    let (mut leaving, mut failed) = (Vec::new(), None);
    let record = Record { value, route: None, condition: None };
    drive(steps, 0, record, &mut leaving, &mut failed);
    (leaving, failed)
}

/// Takes a record through the steps from `from` on, and each of its children before the next one.
fn drive(
    steps: &[(Step, Option<Test>)],
    from: usize,
    record: Record,
    leaving: &mut Vec<Record>,
    failed: &mut Failed,
) {
    let Some((step, when)) = steps.get(from) else {
        leaving.push(record);
        return;
    };
    let applies = when.as_ref().is_none_or(|when| when.holds(&record.value));
    let after = if applies { step.apply(from, record) } else { Some(vec![record]) };
    match after {
        Some(children) => {
            for child in children {
                drive(steps, from + 1, child, leaving, failed);
            }
        }
        None => *failed = failed.or(Some(from)),
    }
}

// === impl Test ===

impl Test {
    pub(crate) fn text(&self) -> String {
        match self {
            Test::Path(path) => (*path).to_owned(),
            Test::Equal(path, text) => format!("{path} == '{text}'"),
            Test::Not(test) => format!("!({})", test.text()),
            Test::Both(one, other) => format!("({}) && ({})", one.text(), other.text()),
            Test::Either(one, other) => format!("{} || ({})", one.text(), other.text()),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Test::Path(path) => match at(value, path) {
                None | Some(Value::Null) => false,
                Some(Value::Bool(value)) => *value,
                Some(Value::String(text)) => !text.is_empty() && text != "false",
                Some(Value::Number(number)) => number
                    .to_string()
                    .split(['e', 'E'])
                    .next()
                    .unwrap()
                    .contains(|c| ('1'..='9').contains(&c)),
                Some(_) => true,
            },
            Test::Equal(path, text) => at(value, path).is_some_and(|found| match found {
                Value::Null => text.is_empty(),
                Value::String(found) => found == text,
                Value::Array(_) | Value::Object(_) => false,
                scalar => {
                    let shown = scalar.to_string();
                    shown == *text
                }
            }),
            Test::Not(test) => !test.holds(value),
            Test::Both(one, other) => one.holds(value) && other.holds(value),
            Test::Either(one, other) => one.holds(value) || other.holds(value),
        }
    }
}

// === impl Step ===

impl Step {
    /// Gives the step as it stands in a manifest; `index` makes the names of routes differ.
    pub(crate) fn manifest(&self, index: usize) -> Value {
        let (kind, config) = match self {
            Step::Filter(test) => ("filter", json!({"condition": test.text()})),
            Step::Mask(fields) => ("mask", json!({"fields": fields})),
            Step::Select(fields) => ("select", json!({"fields": fields})),
            Step::Remove(fields) => ("remove", json!({"fields": fields})),
            Step::SnakeCase(deep) => ("snakeCase", json!({"deep": deep})),
            Step::CamelCase(deep) => ("camelCase", json!({"deep": deep})),
            Step::Flatten(field) => ("flatten", json!({"field": field})),
            Step::Include(fields) => ("replaceField", json!({"include": fields})),
            Step::Exclude(fields) => ("replaceField", json!({"exclude": fields})),
            Step::Rename(old, new) => {
                ("replaceField", json!({"renames": [format!("{old}:{new}")]}))
            }
            Step::Cast(path, wanted) => ("cast", json!({"spec": {*path: wanted}})),
            Step::Insert(path, written) => ("insertField", json!({"fields": {*path: written}})),
            Step::Hoist(field) => ("hoistField", json!({"field": field})),
            Step::Extract(field) => ("extractField", json!({"field": field})),
            Step::StructFlatten(delimiter) => ("structFlatten", json!({"delimiter": delimiter})),
            Step::Router(routes) => {
                let routes: Vec<Value> = routes
                    .iter()
                    .enumerate()
                    .map(|(route, (test, goes_on))| {
                        json!({
                            "name": name(index, route),
                            "condition": test.text(),
                            "continue": goes_on,
                            "sink": {"type": "blackhole", "config": {}},
                        })
                    })
                    .collect();
                ("router", json!({"routes": routes}))
            }
        };
        json!({"type": kind, "config": config})
    }

    /// Gives what leaves; `None`: the record fails.
    fn apply(&self, index: usize, record: Record) -> Option<Vec<Record>> {
        let with = |value: Value| Record { value, ..record.clone() };
        let one = |value: Value| Some(vec![with(value)]);
        let mut value = record.value.clone();
        match self {
            Step::Filter(test) => Some(if test.holds(&value) { vec![record] } else { Vec::new() }),
            Step::Mask(fields) => {
                for path in fields {
                    if let Some(place) = at_mut(&mut value, path) {
                        *place = "***".into();
                    }
                }
                one(value)
            }
            Step::Select(fields) => {
                let found = fields.iter().filter_map(|path| {
                    let name = path.rsplit('.').next()?;
                    Some((name.to_owned(), at(&value, path)?.clone()))
                });
                one(Value::Object(found.collect()))
            }
            Step::Remove(fields) => {
                fields.iter().for_each(|path| drop(take(&mut value, path)));
                one(value)
            }
            Step::SnakeCase(deep) => one(respell(value, *deep, true, &snake)),
            Step::CamelCase(deep) => one(respell(value, *deep, true, &pascal)),
            Step::Flatten(path) => Some(flatten(value, path).into_iter().map(with).collect()),
            Step::Insert(path, written) if value.is_object() => {
                let new = match written.strip_prefix("json:") {
                    Some(json) => serde_json::from_str(json).unwrap(),
                    None => (*written).into(),
                };
                set(&mut value, path, new)?;
                one(value)
            }
            Step::Include(paths) if value.is_object() => {
                let mut kept = Value::Object(Map::new());
                for path in paths {
                    include(&value, path, &mut kept);
                }
                one(kept)
            }
            Step::Exclude(paths) if value.is_object() => {
                for path in paths {
                    if take(&mut value, path).is_some() {
                        prune(&mut value, path);
                    }
                }
                one(value)
            }
            Step::Rename(old, new) if value.is_object() => {
                let Some(found) = take(&mut value, old) else { return Some(vec![record]) };
                prune(&mut value, old);
                set(&mut value, new, found)?;
                one(value)
            }
            Step::StructFlatten(delimiter) if value.is_object() => {
                let mut flat = Map::new();
                struct_flatten(value.as_object()?, "", delimiter, &mut flat);
                one(Value::Object(flat))
            }
            Step::Insert(..)
            | Step::Include(_)
            | Step::Exclude(_)
            | Step::Rename(..)
            | Step::StructFlatten(_) => Some(vec![record]),
            Step::Cast(path, wanted) => {
                if let Some(place) = at_mut(&mut value, path) {
                    *place = cast(place, wanted)?;
                }
                one(value)
            }
            Step::Hoist(field) => one(json!({*field: value})),
            Step::Extract(field) => one(at(&value, field).cloned().unwrap_or(value)),
            Step::Router(routes) => {
                let mut taken = Vec::new();
                for (route, (test, goes_on)) in routes.iter().enumerate() {
                    if test.holds(&record.value) {
                        taken.push(Record {
                            value: record.value.clone(),
                            route: Some(name(index, route)),
                            condition: Some(test.text()),
                        });
                        if !goes_on {
                            break;
                        }
                    }
                }
                Some(if taken.is_empty() { vec![record] } else { taken })
            }
        }
    }
}

fn name(step: usize, route: usize) -> String {
    format!("{step}-{route}")
}

fn child<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn child_mut<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(members) => members.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, child)
}

fn at_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, child_mut)
}

/// Takes a value out of its place.
fn take(value: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = match path.rsplit_once('.') {
        Some((parent, last)) => (at_mut(value, parent)?, last),
        None => (value, path),
    };
    match parent {
        Value::Object(members) => members.shift_remove(last),
        Value::Array(items) => {
            let index: usize = last.parse().ok().filter(|&index| index < items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}

/// Takes out the objects above a path that are empty now; elements of arrays stay.
fn prune(value: &mut Value, path: &str) {
    let Some((parent, _)) = path.rsplit_once('.') else { return };
    let is_empty = at(value, parent).and_then(Value::as_object).is_some_and(Map::is_empty);
    let holder = match parent.rsplit_once('.') {
        Some((holder, _)) => at(value, holder),
        None => Some(&*value),
    };
    if is_empty && holder.is_some_and(Value::is_object) {
        take(value, parent);
        prune(value, parent);
    }
}

/// Sets a value below member names; `None` when an array is in the way.
fn set(value: &mut Value, path: &str, new: Value) -> Option<()> {
    let mut place = value;
    for key in path.split('.') {
        if place.is_array() {
            return None;
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = place.as_object_mut()?.entry(key).or_insert(Value::Null);
    }
    *place = new;
    Some(())
}

/// Copies what a path of member names means, with its nesting, unless an object on the way is none.
fn include(value: &Value, path: &str, kept: &mut Value) {
    let mut seen = value;
    for key in path.split('.') {
        match seen.as_object().and_then(|members| members.get(key)) {
            Some(next) => seen = next,
            None => return,
        }
    }
    // A path that is kept whole holds what a longer one adds.
    let mut place = &*kept;
    let is_there = path.split('.').all(|key| match place.get(key) {
        Some(next) => {
            place = next;
            true
        }
        None => false,
    });
    if !is_there || place != seen {
        set(kept, path, seen.clone());
    }
}

fn flatten(value: Value, path: &str) -> Vec<Value> {
    let array = match at(&value, path) {
        Some(Value::Array(items)) => Some(items),
        Some(Value::Object(members)) => members.get("array").and_then(Value::as_array),
        _ => None,
    };
    let Some(items) = array.filter(|_| value.is_object()).cloned() else { return vec![value] };
    let mut parent = value;
    take(&mut parent, path);
    if items.is_empty() {
        return vec![parent];
    }
    let name = path.rsplit('.').next().unwrap();
    let children = items.into_iter().map(|item| {
        let mut child = parent.clone();
        let members = child.as_object_mut().unwrap();
        match item {
            Value::Object(own) => members.extend(own),
            other => drop(members.insert(name.to_owned(), other)),
        }
        child
    });
    children.collect()
}

fn struct_flatten(
    object: &Map<String, Value>,
    prefix: &str,
    delimiter: &str,
    out: &mut Map<String, Value>,
) {
    for (key, value) in object.iter().filter(|(_, value)| !value.is_object()) {
        out.insert(format!("{prefix}{key}"), value.clone());
    }
    for (key, value) in object {
        if let Value::Object(nested) = value {
            struct_flatten(nested, &format!("{prefix}{key}{delimiter}"), delimiter, out);
        }
    }
}

/// Spells names anew; of equal ones the last wins.
fn respell(value: Value, deep: bool, is_root: bool, spell: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) if deep || is_root => {
            let renamed = members
                .into_iter()
                .map(|(key, value)| (spell(&key), respell(value, deep, false, spell)));
            Value::Object(renamed.collect())
        }
        Value::Array(items) if deep => {
            items.into_iter().map(|item| respell(item, deep, false, spell)).collect()
        }
        other => other,
    }
}

fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let after_is_lower = letters.get(index + 1).is_some_and(|after| after.is_lowercase());
        let ends_word = before.is_some_and(|before| {
            before.is_lowercase()
                || before.is_numeric()
                || (before.is_uppercase() && after_is_lower)
        });
        if letter.is_uppercase() && ends_word {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn pascal(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let mut letters = part.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(letters.as_str());
    }
    if out.is_empty() { name.to_owned() } else { out }
}

fn cast(value: &Value, wanted: &str) -> Option<Value> {
    let number = match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let number = number.filter(|text| text.parse::<f64>().is_ok_and(f64::is_finite));
    Some(match (wanted, value) {
        ("null", _) => Value::Null,
        ("string", Value::String(_)) | ("bool", Value::Bool(_)) => value.clone(),
        ("string", Value::Number(_) | Value::Bool(_)) => value.to_string().into(),
        ("int64", _) => match number?.as_str() {
            whole if whole.parse::<i64>().is_ok() => whole.parse::<i64>().ok()?.into(),
            text => {
                let number: f64 = text.parse().ok()?;
                (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(number as i64)?.into()
            }
        },
        ("float64", _) => serde_json::from_str(&number?).ok()?,
        ("bool", Value::Number(_)) => match number?.parse::<f64>().ok()? {
            0.0 => false.into(),
            1.0 => true.into(),
            _ => return None,
        },
        ("bool", Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            _ => return None,
        },
        _ => return None,
    })
}
