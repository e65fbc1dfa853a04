//! Look-ups in static tables.

use thiserror::Error;

/// An entry of a table.
pub trait Named {
    /// Gives the wire name.
    fn name(&self) -> &'static str;

    /// Gives other names that mean the same.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A name that no entry has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown {what} `{name}`; known: {}", known.join(", "))]
pub struct UnknownName {
    /// What kind of thing was looked for, e.g. `sink type`.
    pub what: &'static str,
    /// The name as it was given.
    pub name: String,
    /// The names that exist, in table order.
    pub known: Vec<&'static str>,
}

/// Finds an entry by its name or an alias.
///
/// Errors: the unknown name with the known ones.
pub fn find<'t, T: Named>(
    table: &'t [T],
    what: &'static str,
    name: &str,
) -> Result<&'t T, UnknownName> {
    table.iter().find(|entry| entry.name() == name || entry.aliases().contains(&name)).ok_or_else(
        || UnknownName {
            what,
            name: name.to_owned(),
            known: table.iter().map(Named::name).collect(),
        },
    )
}
