//! Sections of which there may be several: `[influxdb.clusters.NAME]` has the keys of `[influxdb]`, with the same defaults.

use std::borrow::Cow;

use toml::{Table, Value};

use super::layer::leaves;
use crate::env;

/// Tables whose entries are copies, by name, of the section that the table is in.
const HOLDERS: [&str; 5] =
    ["influxdb.clusters", "udf.functions", "udp.listeners", "tcp.listeners", "http.listeners"];
/// What names are made of.
pub(super) const NAMES: &str = "1 to 64 letters a to z, digits, `-` and `_`";

/// Gives what is known of `name` in the section of `prefix`, whose keys are `known`.
pub(super) fn child<'t>(
    defaults: &Table,
    known: &'t Table,
    prefix: &str,
    name: &str,
) -> Option<Cow<'t, Value>> {
    match holder(prefix) {
        Some(holder) if is_name(name) => Some(Cow::Owned(Value::Table(copy(defaults, holder)))),
        Some(_) => None,
        None => known.get(name).map(Cow::Borrowed),
    }
}

/// Says whether the keys of a section are names.
pub(super) fn is_holder(prefix: &str) -> bool {
    holder(prefix).is_some()
}

/// Makes the copy that a key is in, when there is none of its name yet.
pub(super) fn make(table: &mut Table, defaults: &Table, key: &str) {
    for holder in HOLDERS {
        let Some(rest) = key.strip_prefix(holder).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let name = rest.split('.').next().unwrap_or(rest);
        let mut inner = &mut *table;
        for section in holder.split('.') {
            match inner.get_mut(section) {
                Some(Value::Table(found)) => inner = found,
                _ => return,
            }
        }
        if !inner.contains_key(name) {
            inner.insert(name.to_owned(), Value::Table(copy(defaults, holder)));
        }
    }
}

/// Gives the key that a variable sets; `known` are keys that were set before, whose spelling of a name counts.
///
/// - Otherwise names are in lower case, with `-` for `_`.
pub(super) fn key_of<'k>(
    defaults: &Table,
    variable: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> Option<String> {
    for holder in HOLDERS {
        let start = format!("{}_", env::variable_of(holder));
        let Some(rest) = variable.strip_prefix(&start) else { continue };
        let copy = copy(defaults, holder);
        let mut keys: Vec<String> = leaves(&copy).into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        for key in keys {
            let end = env::variable_of(&key).replacen(env::PREFIX, "_", 1);
            let Some(name) = rest.strip_suffix(&end).filter(|name| !name.is_empty()) else {
                continue;
            };
            let spelled = known.clone().find_map(|known| {
                let rest = known.strip_prefix(holder)?.strip_prefix('.')?;
                let spelled = rest.split('.').next()?;
                (env::variable_of(spelled) == format!("{}{name}", env::PREFIX)).then_some(spelled)
            });
            let name = spelled.map_or_else(|| name.to_lowercase().replace('_', "-"), str::to_owned);
            return Some(format!("{holder}.{name}.{key}"));
        }
    }
    None
}

fn holder(prefix: &str) -> Option<&'static str> {
    let section = prefix.strip_suffix('.')?;
    HOLDERS.into_iter().find(|holder| *holder == section)
}

fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(is_fine)
}

fn copy(defaults: &Table, holder: &str) -> Table {
    let Some((section, names)) = holder.rsplit_once('.') else { return Table::new() };
    let mut copy = match defaults.get(section) {
        Some(Value::Table(section)) => section.clone(),
        _ => Table::new(),
    };
    copy.remove(names);
    copy
}
