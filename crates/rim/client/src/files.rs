//! Files that commands and the import read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use levada_registry::manifest;
use serde_json::Value;

/// The largest file that is read, in bytes. Ours, as for manifests.
const FILE_BYTES_MAX: u64 = manifest::FILE_BYTES_MAX as u64;

/// Reads a text.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown} is larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))
}

/// Says whether a name ends as that of a YAML or JSON file.
pub(crate) fn is_data(path: &Path) -> bool {
    matches!(extension(path), Some("yaml" | "yml" | "json"))
}

/// Reads the one value of a YAML or JSON file.
pub(crate) fn value(path: &Path) -> Result<Value, String> {
    if !is_data(path) {
        // Source: Kapacitor's client.
        return Err("bad file extension. Must be YAML or JSON".to_owned());
    }
    let text = text(path)?;
    let shown = path.display();
    if extension(path) == Some("json") {
        return serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"));
    }
    let documents = manifest::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
    match documents.as_slice() {
        [one] => Ok(one.root.to_json()),
        all => Err(format!("{shown}: expected one document, got {}", all.len())),
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tick");
        std::fs::write(&path, vec![b' '; FILE_BYTES_MAX as usize]).unwrap();
        assert_eq!(text(&path).map(|text| text.len()), Ok(FILE_BYTES_MAX as usize));
        std::fs::write(&path, vec![b' '; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(text(&path).unwrap_err().ends_with(" is larger than 16777216 bytes"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(text(&path).unwrap_err().ends_with(" is not UTF-8"));
    }

    #[test]
    fn a_file_holds_one_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, "a: 1\n---\nb: 2\n").unwrap();
        assert!(value(&path).unwrap_err().ends_with("expected one document, got 2"));
        std::fs::write(&path, "").unwrap();
        assert!(value(&path).unwrap_err().ends_with("expected one document, got 0"));
        assert_eq!(
            value(Path::new("x.txt")),
            Err("bad file extension. Must be YAML or JSON".into())
        );
    }
}
