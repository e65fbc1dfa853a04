//! `define`, `define-template`, `define-topic-handler`: create what is not there, change what is.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::objects::text as text_of;
use super::{Command, Failure, Run, Session};
use crate::files;
use crate::flags::{Flag, Parsed, switch, text};

const TICK: Flag = text("tick", "FILE", "the script");
const TYPE: Flag = text("type", "TYPE", "stream or batch; the script says it too");

pub(super) const TASK: Command = Command {
    name: "define",
    arguments: "ID [options]",
    summary: "create or change a task",
    detail: "A new task is disabled. A task that is enabled is started again with its new definition.\n\
             What is not given stays as it is.\n\n\
             Examples:\n  kapacitor define cpu -tick cpu.tick -dbrp telegraf.autogen\n  \
             kapacitor define cpu -template mean_alert -vars cpu.json -dbrp '\"telegraf\".\"autogen\"'\n  \
             kapacitor define cpu -file cpu.yaml",
    leading: "Must provide a task ID.",
    flags: &[
        TICK,
        TYPE,
        text("dbrp", "DBRP", "a database and a retention policy, \"db\".\"rp\"; may be repeated"),
        text("template", "ID", "the template that the task is made of"),
        text(
            "vars",
            "FILE",
            "values of variables as JSON: {\"NAME\": {\"type\": \"int\", \"value\": 1}}",
        ),
        text("file", "FILE", "YAML or JSON with template-id, dbrps, vars and, if it must, id"),
        switch("no-reload", "do not start an enabled task again"),
    ],
    run: Run::Server(task),
};

pub(super) const TEMPLATE: Command = Command {
    name: "define-template",
    arguments: "ID [options]",
    summary: "create or change a template",
    detail: "Tasks that are made of the template change with it.\n\n\
             Example:\n  kapacitor define-template mean_alert -tick mean_alert.tick -type stream",
    leading: "Must provide a template ID.",
    flags: &[TICK, TYPE],
    run: Run::Server(template),
};

pub(super) const TOPIC_HANDLER: Command = Command {
    name: "define-topic-handler",
    arguments: "FILE",
    summary: "create or replace a handler of a topic",
    detail: "The file is YAML or JSON with topic, id, kind, match and options.\n\n\
             Example:\n  kapacitor define-topic-handler slack.yaml",
    leading: "",
    flags: &[],
    run: Run::Server(topic_handler),
};

fn task(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let (id, rest) = parsed.rest.split_first().expect("the table asks for the ID");
    super::no_more(rest)?;
    let mut given = match parsed.get("file") {
        Some(path) => task_file(Path::new(path), id)?,
        None => Map::new(),
    };
    if let Some(template) = parsed.get("template") {
        given.insert("template-id".into(), template.into());
    }
    given.extend(kind(parsed)?);
    let dbrps = parsed.all("dbrp").map(dbrp).collect::<Result<Vec<Value>, String>>();
    let dbrps = dbrps.map_err(Failure::missing)?;
    if !dbrps.is_empty() {
        given.insert("dbrps".into(), dbrps.into());
    }
    given.extend(script(parsed)?);
    if let Some(path) = parsed.get("vars") {
        given.insert("vars".into(), vars(Path::new(path))?);
    }
    let path = ["tasks", id.as_str()];
    let Some(before) = session.api.find(&path, &[])? else {
        given.insert("status".into(), "disabled".into());
        session.api.post(&["tasks"], &Value::Object(ordered(id, given)))?;
        return Ok(());
    };
    let mut body = ordered(id, given);
    body.remove("id");
    session.api.patch(&path, &Value::Object(body))?;
    if text_of(&before, "status") == "enabled" && !parsed.is_set("no-reload") {
        session.api.patch(&path, &json!({"status": "disabled"}))?;
        session.api.patch(&path, &json!({"status": "enabled"}))?;
    }
    Ok(())
}

fn template(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let (id, rest) = parsed.rest.split_first().expect("the table asks for the ID");
    super::no_more(rest)?;
    let mut given = kind(parsed)?;
    given.extend(script(parsed)?);
    let path = ["templates", id.as_str()];
    if session.api.find(&path, &[("script-format", "raw")])?.is_some() {
        session.api.patch(&path, &Value::Object(given))?;
    } else {
        session.api.post(&["templates"], &Value::Object(ordered(id, given)))?;
    }
    Ok(())
}

fn topic_handler(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [path] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must provide a path to a topic handler file."));
    };
    let (topic, handler) = handler_file(Path::new(path)).map_err(Failure::error)?;
    let id = text_of(&handler, "id").to_owned();
    let path = ["alerts", "topics", &topic, "handlers", &id];
    if session.api.find(&path, &[])?.is_some() {
        session.api.put(&path, &handler)?;
    } else {
        session.api.post(&path[..4], &handler)?;
    }
    Ok(())
}

/// Reads the file of a topic handler: its topic, and what the API takes.
pub(crate) fn handler_file(path: &Path) -> Result<(String, Value), String> {
    let shown = path.display();
    let Value::Object(read) = files::value(path)? else {
        return Err(format!("{shown}: expected an object"));
    };
    const KNOWN: [&str; 5] = ["topic", "id", "kind", "match", "options"];
    if let Some(key) = read.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("{shown}: unknown key {key:?}; known: {}", KNOWN.join(", ")));
    }
    let text = |key: &str| match read.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{shown}: {key} must be a text")),
    };
    let needed = |key: &str| match text(key)? {
        text if text.is_empty() => Err(format!("{shown}: {key} is missing")),
        text => Ok(text),
    };
    let options = match read.get("options") {
        None | Some(Value::Null) => json!({}),
        Some(Value::Object(options)) => Value::Object(options.clone()),
        Some(_) => return Err(format!("{shown}: options must be an object")),
    };
    let handler = json!({
        "id": needed("id")?, "kind": needed("kind")?, "options": options, "match": text("match")?,
    });
    Ok((needed("topic")?, handler))
}

/// Reads the file of a task: what the API takes.
///
/// - `id`: what the task is called; an ID in the file must be the same.
fn task_file(path: &Path, id: &str) -> Result<Map<String, Value>, Failure> {
    let shown = path.display();
    let Value::Object(mut read) = files::value(path).map_err(Failure::error)? else {
        return Err(Failure::error(format!("{shown}: expected an object")));
    };
    match read.remove("id") {
        None | Some(Value::Null) => {}
        Some(Value::String(same)) if same.is_empty() || same == id => {}
        // Source: Kapacitor's client.
        Some(_) => {
            let message = format!("Task id given on command line does not match id in {shown}");
            return Err(Failure::error(message));
        }
    }
    known_task_keys(&read).map_err(|problem| Failure::error(format!("{shown}: {problem}")))?;
    read.retain(|_, value| !value.is_null());
    Ok(read)
}

/// Checks the keys and shapes of a task file.
pub(crate) fn known_task_keys(read: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in read {
        let is_right = match key.as_str() {
            "template-id" => value.is_string(),
            "dbrps" => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
            "vars" => value.is_object(),
            _ => return Err(format!("unknown key {key:?}; known: id, template-id, dbrps, vars")),
        };
        if !is_right && !value.is_null() {
            return Err(format!("{key} has a wrong form"));
        }
    }
    Ok(())
}

fn kind(parsed: &Parsed) -> Result<Map<String, Value>, Failure> {
    match parsed.get("type") {
        None | Some("") => Ok(Map::new()),
        Some(kind @ ("stream" | "batch")) => Ok(Map::from_iter([("type".to_owned(), kind.into())])),
        Some(kind) => Err(Failure::error(format!("unknown type {kind:?}; known: stream, batch"))),
    }
}

fn script(parsed: &Parsed) -> Result<Map<String, Value>, Failure> {
    let Some(path) = parsed.get("tick") else { return Ok(Map::new()) };
    let script = files::text(Path::new(path)).map_err(Failure::error)?;
    Ok(Map::from_iter([("script".to_owned(), script.into())]))
}

fn vars(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = files::text(path).map_err(Failure::error)?;
    let vars: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::error(format!("invalid JSON in file {shown}: {error}")))?;
    match vars.is_object() {
        true => Ok(vars),
        false => Err(Failure::error(format!("invalid JSON in file {shown}: expected an object"))),
    }
}

/// Puts the keys of a definition into the order of the API.
fn ordered(id: &str, mut given: Map<String, Value>) -> Map<String, Value> {
    let mut body = Map::from_iter([("id".to_owned(), Value::from(id))]);
    for key in ["template-id", "type", "dbrps", "script", "status", "vars"] {
        body.extend(given.remove(key).map(|value| (key.to_owned(), value)));
    }
    body
}

/// Reads `"db"."rp"`; quotes are needed only around dots, and `\"` is a quote in a name.
fn dbrp(written: &str) -> Result<Value, String> {
    let wrong = || format!("invalid value {written:?} for flag -dbrp: expected \"db\".\"rp\"");
    let (db, rest) = name(written).ok_or_else(wrong)?;
    let rest = rest.strip_prefix('.').ok_or_else(wrong)?;
    let (rp, rest) = name(rest).ok_or_else(wrong)?;
    if db.is_empty() || !rest.is_empty() {
        return Err(wrong());
    }
    Ok(json!({"db": db, "rp": rp}))
}

/// Reads a name, quoted or up to a dot, and gives what stands behind it.
fn name(written: &str) -> Option<(String, &str)> {
    let Some(quoted) = written.strip_prefix('"') else {
        let end = written.find('.').unwrap_or(written.len());
        return Some((written[..end].to_owned(), &written[end..]));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, &quoted[at + 1..])),
            '\\' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
                name.push('"');
            }
            other => name.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dbrp_may_be_quoted() {
        for (written, db, rp) in [
            ("telegraf.autogen", "telegraf", "autogen"),
            ("\"telegraf\".\"autogen\"", "telegraf", "autogen"),
            ("telegraf.\"a.b\"", "telegraf", "a.b"),
            ("\"a\\\"b\".\"c\\d\"", "a\"b", "c\\d"),
            ("telegraf.\"\"", "telegraf", ""),
            ("telegraf.", "telegraf", ""),
        ] {
            assert_eq!(dbrp(written), Ok(json!({"db": db, "rp": rp})), "{written}");
        }
        for written in ["", "telegraf", "\"telegraf", "a.b.c", "\"a\"b.c", ".rp", "\"a\".\"b\"x"] {
            assert!(dbrp(written).is_err(), "{written}");
        }
    }
}
