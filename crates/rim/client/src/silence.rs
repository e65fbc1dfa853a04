//! `silence`: which events handlers shall not hear of for some time.
//!
//! - Every command gives silences as the server describes them; for people a table, or only the ID of a new one.
//! - One ID that is wrong stops no other; a server that cannot be reached stops all.

use serde_json::{Map, Value, json};

use crate::api::{Api, ApiError};
use crate::format::{Format, yaml};
use crate::table::{Table, fixed, longest, right};
use crate::times;
use crate::world::World;

/// Which server, and what results look like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL of the Levada server.
    pub server: String,
    /// Believe any TLS certificate.
    pub skip_verify: bool,
    /// What results look like.
    pub format: Format,
}

/// What to do with silences.
#[derive(Clone, Debug)]
pub enum Silence {
    /// Lists them.
    List {
        /// Only those in this state.
        state: Option<String>,
    },
    /// Makes one.
    Add(NewSilence),
    /// Ends some now.
    Expire {
        /// Their IDs.
        ids: Vec<String>,
    },
}

/// What is asked for; the server reads it.
#[derive(Clone, Debug, Default)]
pub struct NewSilence {
    /// All of them must match, such as `tag.host=db1`.
    pub matchers: Vec<String>,
    /// From when, RFC 3339; nothing for now.
    pub start: Option<String>,
    /// Until when, RFC 3339.
    pub end: Option<String>,
    /// How long, instead of `end`.
    pub duration: Option<String>,
    /// Who asks; nothing for the user of the URL.
    pub author: Option<String>,
    /// Why.
    pub comment: Option<String>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done.
    Done,
    /// The server refused something; what could be done is done.
    Refused,
    /// The server does not answer, or results cannot be written.
    Failed,
}

/// Runs a command and says how it ended.
pub fn run(command: &Silence, options: &Options, world: &mut World<'_>) -> Ended {
    let api = match Api::new(&options.server, options.skip_verify, world.answer_timeout) {
        Ok(api) => api,
        Err(message) => {
            world.note(&format!("error: {message}"));
            return Ended::Failed;
        }
    };
    let (found, errors) = match command {
        Silence::List { state } => one(list(&api, state.as_deref())),
        Silence::Add(new) => one(add(&api, new).map(|made| vec![made])),
        Silence::Expire { ids } => expire(&api, ids),
    };
    let text = match (options.format, command) {
        (Format::Json, _) => found.iter().map(|silence| format!("{silence}\n")).collect(),
        (Format::Yaml, _) => yaml(&Value::from(found)),
        (Format::Text, Silence::Add(_)) => {
            found.iter().map(|silence| format!("{}\n", text(silence, "id"))).collect()
        }
        (Format::Text, Silence::Expire { .. }) if found.is_empty() => String::new(),
        (Format::Text, _) => table(&found, world),
    };
    let printed = world.print(&text).and_then(|()| world.out.flush());
    for error in &errors {
        world.note(&format!("error: {}", error.message));
    }
    match printed {
        Err(error) => {
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                world.note(&format!("error: the output cannot be written: {error}"));
            }
            Ended::Failed
        }
        Ok(()) if errors.is_empty() => Ended::Done,
        Ok(()) if errors.iter().all(is_refusal) => Ended::Refused,
        Ok(()) => Ended::Failed,
    }
}

fn one(outcome: Result<Vec<Value>, ApiError>) -> (Vec<Value>, Vec<ApiError>) {
    match outcome {
        Ok(found) => (found, Vec::new()),
        Err(error) => (Vec::new(), vec![error]),
    }
}

/// Says whether the server understood and said no.
fn is_refusal(error: &ApiError) -> bool {
    matches!(error.status, Some(400..=499))
}

fn list(api: &Api, state: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let query: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
    let mut answer = api.get_own(&["silences"], &query)?;
    match answer.get_mut("silences").map(Value::take) {
        Some(Value::Array(silences)) => Ok(silences),
        _ => Ok(Vec::new()),
    }
}

fn add(api: &Api, new: &NewSilence) -> Result<Value, ApiError> {
    let mut body = Map::new();
    body.insert("matchers".to_owned(), json!(new.matchers));
    let texts = [
        ("start", &new.start),
        ("end", &new.end),
        ("duration", &new.duration),
        ("author", &new.author),
        ("comment", &new.comment),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            body.insert(key.to_owned(), json!(text));
        }
    }
    api.post_own(&["silences"], &Value::Object(body))
}

/// Ends silences and gives how they are then.
fn expire(api: &Api, ids: &[String]) -> (Vec<Value>, Vec<ApiError>) {
    let (mut ended, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        let path = ["silences", &**id];
        match api.delete_own(&path).and_then(|()| api.get_own(&path, &[])) {
            Ok(silence) => ended.push(silence),
            Err(error) => {
                let is_last = error.status.is_none();
                errors.push(error);
                if is_last {
                    break;
                }
            }
        }
    }
    (ended, errors)
}

fn table(silences: &[Value], world: &World<'_>) -> String {
    let mut table = Table::new([
        longest("ID"),
        longest("STATE"),
        longest("START"),
        longest("END"),
        right("SILENCED", 8),
        fixed("", 1),
        longest("AUTHOR"),
        longest("MATCHERS"),
        fixed("COMMENT", 0),
    ]);
    for silence in silences {
        let time = |key: &str| times::in_zone(text(silence, key), &world.zone);
        let matchers = silence.get("matchers").and_then(Value::as_array);
        let matchers: Vec<&str> =
            matchers.into_iter().flatten().filter_map(Value::as_str).collect();
        let silenced = silence.get("silenced").and_then(Value::as_u64).unwrap_or(0);
        table.row([
            text(silence, "id").to_owned(),
            text(silence, "state").to_owned(),
            time("start"),
            time("end"),
            silenced.to_string(),
            String::new(),
            in_a_line(text(silence, "author")),
            in_a_line(&matchers.join(" and ")),
            in_a_line(text(silence, "comment")),
        ]);
    }
    table.render().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn text<'v>(silence: &'v Value, key: &str) -> &'v str {
    silence.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Keeps a text of somebody else from breaking a table, or a terminal.
fn in_a_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_in_their_line() {
        assert_eq!(in_a_line("a\nb\u{1b}[2J\tä"), "a b [2J ä");
    }
}
