//! The files of a folder: one flat object each, under its path in the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use levada_model::FieldValue;
use serde_json::Value as Json;

use super::flat;

/// What was read: path in the folder, or key → name → value.
pub type Tables = BTreeMap<String, BTreeMap<String, FieldValue>>;

/// Files of one folder.
///
/// - Source: ours; one file per host of a large installation.
pub const FILES_MAX: usize = 100_000;
/// Bytes of one file.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// Reads all `.yml`, `.yaml` and `.json` files of a folder and those below it.
pub fn read_folder(folder: &Path) -> Result<Tables, String> {
    let mut tables = Tables::new();
    walk(folder, "", 0, &mut tables)?;
    Ok(tables)
}

fn walk(folder: &Path, prefix: &str, depth: usize, tables: &mut Tables) -> Result<(), String> {
    let trouble = |error: std::io::Error| {
        format!("failed to read sideload source {:?}: {error}", folder.display().to_string())
    };
    // A link that leads up would go round for ever.
    if depth > DEPTH_MAX {
        return Err(format!(
            "sideload source {:?} has more than {DEPTH_MAX} levels of folders",
            folder.display().to_string()
        ));
    }
    for entry in fs::read_dir(folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        // Through links, as configuration that is mounted has them.
        let about = fs::metadata(&path).map_err(trouble)?;
        if about.is_dir() {
            walk(&path, &key, depth + 1, tables)?;
            continue;
        }
        let Some(read) = reader(&key) else { continue };
        if tables.len() >= FILES_MAX {
            return Err(format!("a sideload source has at most {FILES_MAX} files"));
        }
        if about.len() > FILE_BYTES_MAX {
            return Err(format!("sideload file {key:?} is larger than {FILE_BYTES_MAX} bytes"));
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("failed to read sideload file {key:?}: {error}"))?;
        let table = read(&text)
            .map_err(|error| format!("failed to read sideload file {key:?}: {error}"))?;
        tables.insert(key, table);
    }
    Ok(())
}

type ReadTable = fn(&str) -> Result<BTreeMap<String, FieldValue>, String>;

fn reader(name: &str) -> Option<ReadTable> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension {
        "json" => Some(json),
        "yml" | "yaml" => Some(flat::read),
        _ => None,
    }
}

/// Reads an object.
pub(super) fn json(text: &str) -> Result<BTreeMap<String, FieldValue>, String> {
    let members: serde_json::Map<String, Json> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let values = members.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        // What is not flat is a text like any other.
        (name.clone(), scalar(value).unwrap_or_else(|| FieldValue::Str(value.to_string().into())))
    });
    Ok(values.collect())
}

/// Gives a number, a text or a boolean.
pub(super) fn scalar(value: &Json) -> Option<FieldValue> {
    Some(match value {
        Json::Bool(flag) => FieldValue::Bool(*flag),
        Json::String(text) => FieldValue::Str(text.as_str().into()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => FieldValue::Int(number),
            None => FieldValue::Float(number.as_f64()?),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    })
}
