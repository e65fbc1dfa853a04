//! What a request may ask for.

use std::collections::BTreeMap;

use levada_model::Str;
use levada_tick::vars::{self, Var, Vars};
use serde_json::{Map, Value as Json};

use super::error::{InvalidVars, ServiceError};

/// Values of variables as a request gives them; of one that cannot be used, why.
pub type GivenVars = BTreeMap<String, Result<Var, String>>;

/// Whether a change is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Apply,
    /// Only what would come of it is said.
    DryRun,
}

/// What is to be of a task; what is empty stays as it is, or takes its default.
#[derive(Clone, Debug, Default)]
pub struct TaskChange {
    /// The ID; another one than it has renames it.
    pub id: String,
    /// Its template.
    pub template_id: String,
    /// Databases and retention policies.
    pub dbrps: Vec<(Str, Str)>,
    /// Its script; not that of a task with a template.
    pub script: String,
    /// Whether it is to run.
    pub is_enabled: Option<bool>,
    /// Values of variables, all of them.
    pub vars: GivenVars,
}

/// What is to be of a template; what is empty stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TemplateChange {
    /// The ID; another one than it has renames it.
    pub id: String,
    /// Its script.
    pub script: String,
}

/// Reads variables of a request.
///
/// - Errors: the form is wrong. A value that does not fit its type is found out when the variable is used.
pub fn given_vars(json: &Map<String, Json>) -> Result<GivenVars, InvalidVars> {
    json.iter()
        .map(|(name, entry)| {
            let one = Json::Object(Map::from_iter([(name.clone(), entry.clone())]));
            let given = match vars::from_json(&one) {
                Ok(mut vars) => vars.remove(name).ok_or_else(String::new),
                Err(text) if is_of_form(&text) => return Err(InvalidVars(text)),
                Err(text) => Err(text),
            };
            Ok((name.clone(), given))
        })
        .collect()
}

/// Says whether an error is one that the original finds while it reads the JSON.
fn is_of_form(text: &str) -> bool {
    text.starts_with("invalid var ") || text.starts_with("unknown VarType ")
}

/// Gives the values, or the first one that cannot be used.
pub(super) fn usable(given: GivenVars) -> Result<Vars, ServiceError> {
    let entries = given.into_iter().map(|(name, var)| match var {
        Ok(var) => Ok((name, var)),
        Err(reason) => Err(ServiceError::Var { name, reason }),
    });
    entries.collect()
}
