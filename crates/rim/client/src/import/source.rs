//! What should be there: read from a running original, or from a load directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use levada_tick::syntax::{self, Kind as Syntax};
use serde_json::{Map, Value, json};

use super::{Kind, Wanted, What};
use crate::api::{Api, ApiError};
use crate::files;
use crate::kapacitor::define::{handler_file, known_task_keys};
use crate::kapacitor::objects::{
    self, Collection, TASKS, TEMPLATES, handlers, pages, text, topics,
};

/// Scripts are compared as they were written.
const RAW: (&str, &str) = ("script-format", "raw");

/// Reads a running original.
pub(super) fn server(api: &Api) -> Result<Vec<Wanted>, ApiError> {
    let mut all = Vec::new();
    let read = |collection: Collection, fields: &[&str]| {
        let query: Vec<(&str, &str)> =
            fields.iter().map(|field| ("fields", *field)).chain([RAW]).collect();
        pages(api, collection, "", &query)
    };
    for template in read(TEMPLATES, &["type", "script"])? {
        all.push(definition(Kind::Template, &template, template_body(&template)));
    }
    let fields = ["type", "script", "dbrps", "vars", "status", "template-id"];
    for task in read(TASKS, &fields)? {
        all.push(definition(Kind::Task, &task, task_body(&task)));
    }
    let topics = topics(api, &[])?;
    for topic in &topics {
        let topic = text(topic, "id");
        for handler in handlers(api, topic, &[])? {
            all.push(wanted_handler(topic.to_owned(), handler_body(&handler)));
        }
    }
    for topic in &topics {
        let topic = text(topic, "id").to_owned();
        let what = match events(api, &topic) {
            Ok(events) if events.is_empty() => continue,
            Ok(events) => Ok(What::Events { topic: topic.clone(), events }),
            // What the original answers about one topic says nothing about the others.
            Err(ApiError { message, status: Some(_) }) => Err(message),
            Err(error) => return Err(error),
        };
        all.push(Wanted { kind: Kind::TopicEvents, name: topic, what });
    }
    Ok(all)
}

fn events(api: &Api, topic: &str) -> Result<Vec<Value>, ApiError> {
    let answer = api.get(&["alerts", "topics", topic, "events"], &[])?;
    let events = objects::list_of(answer, "events").into_iter();
    Ok(events.map(|event| json!({"id": event["id"], "state": event["state"]})).collect())
}

/// Reads a load directory; files that are wrong are told in the result.
///
/// - Errors: the folder cannot be read, or has none of the folders of a load directory.
pub(super) fn folder(root: &Path) -> Result<Vec<Wanted>, String> {
    let shown = root.display();
    fs::read_dir(root).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let folders = ["templates", "tasks", "handlers"];
    if !folders.iter().any(|folder| root.join(folder).is_dir()) {
        return Err(format!("{shown} has none of the folders {}", folders.join(", ")));
    }
    let mut all = Vec::new();
    let mut scripts = BTreeMap::new();
    for path in list(&root.join("templates"))? {
        if is_script(&path) {
            let script = files::text(&path);
            let id = stem(&path);
            if let Ok(script) = &script {
                scripts.insert(id.clone(), script.clone());
            }
            let what =
                script.map(|script| What::Definition(object(json!({"id": id, "script": script}))));
            all.push(Wanted { kind: Kind::Template, name: id, what });
        }
    }
    for path in list(&root.join("tasks"))? {
        let what = match (is_script(&path), files::is_data(&path)) {
            (true, _) => files::text(&path).map(|script| {
                let body = json!({"id": stem(&path), "script": script, "status": "enabled"});
                What::Definition(object(body))
            }),
            (_, true) => task_file(&path, &scripts).map(What::Definition),
            _ => continue,
        };
        all.push(Wanted { kind: Kind::Task, name: stem(&path), what });
    }
    for path in list(&root.join("handlers"))? {
        if files::is_data(&path) {
            all.push(match handler_file(&path) {
                Ok((topic, body)) => wanted_handler(topic, body),
                Err(problem) => {
                    Wanted { kind: Kind::TopicHandler, name: stem(&path), what: Err(problem) }
                }
            });
        }
    }
    mark_twins(&mut all);
    Ok(all)
}

/// Two files that mean one object would overwrite each other at every import.
fn mark_twins(all: &mut [Wanted]) {
    let mut seen = std::collections::HashSet::new();
    for wanted in all {
        if !seen.insert((wanted.kind, wanted.name.clone())) {
            wanted.what = Err("another file of the folder means the same object".to_owned());
        }
    }
}

fn definition(kind: Kind, object: &Value, body: Map<String, Value>) -> Wanted {
    let id = text(object, "id").to_owned();
    if id.is_empty() {
        // Source: lists of the original hold `{}` for templates that do not compile.
        let what =
            Err("the original lists it without an ID: its script does not compile".to_owned());
        return Wanted { kind, name: "?".to_owned(), what };
    }
    Wanted { kind, name: id, what: Ok(What::Definition(body)) }
}

fn wanted_handler(topic: String, body: Value) -> Wanted {
    let id = text(&body, "id").to_owned();
    let name = format!("{topic}/{id}");
    Wanted { kind: Kind::TopicHandler, name, what: Ok(What::Handler { topic, id, body }) }
}

fn template_body(template: &Value) -> Map<String, Value> {
    crate::format::only(template, &["id", "type", "script"])
}

/// Gives the body that creates a task as it is at the original.
fn task_body(task: &Value) -> Map<String, Value> {
    let has_template = !text(task, "template-id").is_empty();
    let mut body = Map::new();
    let keys: &[&str] =
        if has_template { &["id", "template-id"] } else { &["id", "type", "script"] };
    body.extend(crate::format::only(task, keys));
    // Databases that the script names may not be given beside it.
    if !names_databases(text(task, "script")) {
        body.extend(crate::format::only(task, &["dbrps"]));
    }
    body.extend(crate::format::only(task, &["status", "vars"]));
    body
}

fn handler_body(handler: &Value) -> Value {
    let options = match handler.get("options") {
        None | Some(Value::Null) => json!({}),
        Some(options) => options.clone(),
    };
    json!({
        "id": handler["id"], "kind": handler["kind"], "options": options, "match": text(handler, "match"),
    })
}

fn task_file(
    path: &Path,
    scripts: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, String> {
    let shown = path.display();
    let Value::Object(mut read) = files::value(path)? else {
        return Err(format!("{shown}: expected an object"));
    };
    // Source: the file name wins.
    read.remove("id");
    known_task_keys(&read).map_err(|problem| format!("{shown}: {problem}"))?;
    let template = match read.get("template-id") {
        Some(Value::String(template)) if !template.is_empty() => template.clone(),
        _ => return Err(format!("{shown}: template-id is missing")),
    };
    let mut body = object(json!({"id": stem(path), "template-id": template}));
    let is_implicit = scripts.get(&template).is_some_and(|script| names_databases(script));
    if !is_implicit {
        body.extend(crate::format::only(&Value::Object(read.clone()), &["dbrps"]));
    }
    body.insert("status".into(), "enabled".into());
    body.extend(crate::format::only(&Value::Object(read), &["vars"]));
    body.retain(|_, value| !value.is_null());
    Ok(body)
}

/// Says whether a script has `dbrp` statements; one that does not parse has none that count.
fn names_databases(script: &str) -> bool {
    let Ok(program) = syntax::parse(script) else { return false };
    match &program.kind {
        Syntax::Program(statements) => {
            statements.iter().any(|statement| matches!(statement.kind, Syntax::Dbrp { .. }))
        }
        _ => false,
    }
}

/// Lists the files of a folder by name; a folder that is not there has none.
fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let problem = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tick")
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
