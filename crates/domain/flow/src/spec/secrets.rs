//! Secret references become values, just before a connector is built.
//!
//! A reference `<field>SecretRef: {name, key, namespace}` is looked up in `Secret` manifests given with the
//! flow, in a folder of files, then in the environment. The value takes the place of `<field>`,
//! whatever that held, and is used as it is, a trailing newline included.
//!
//! Source: dataflow-operator.md §1.3. Differs: nothing is written to temporary files and nothing is resolved
//! before it is used; `errors` and `avroSchemaSecretRef` are resolved like all others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use levada_registry::{Document, FieldPath, Node, NodeValue, Report};

/// Where secrets are looked up.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// `(namespace, name, key)` of `Secret` manifests.
    manifests: BTreeMap<(String, String, String), Vec<u8>>,
    /// A folder with `<namespace>/<name>/<key>` or `<name>/<key>`.
    folder: Option<PathBuf>,
}

/// The beginning of the names of environment variables with secrets.
pub const VARIABLE_PREFIX: &str = levada_settings::env::SECRET_PREFIX;

// A larger file is no secret but a mistake.
const SECRET_BYTES_MAX: u64 = 1 << 20;

impl Secrets {
    /// Looks secrets up in this folder too.
    pub fn with_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.folder = folder;
        self
    }

    /// Tells whether a document is a Kubernetes `Secret`.
    pub fn is_secret(document: &Document) -> bool {
        document.root.get("kind").and_then(Node::text) == Some("Secret")
    }

    /// Takes over a `Secret` manifest: `data` in base64, `stringData` as it is.
    pub fn add(&mut self, document: &Document, report: &mut Report) {
        let root = &document.root;
        let metadata = root.get("metadata");
        let text = |key: &str| metadata.and_then(|node| node.get(key)).and_then(Node::scalar_text);
        let Some(name) = text("name") else {
            report.required(&FieldPath::field("metadata").child("name"), "secret name is required");
            return;
        };
        let namespace = text("namespace").unwrap_or_else(|| "default".into());
        for (field, is_base64) in [("data", true), ("stringData", false)] {
            for entry in root.get(field).and_then(Node::map).unwrap_or_default() {
                let at = FieldPath::field(field).key(&entry.key);
                let Some(text) = entry.value.scalar_text() else {
                    report.error(&at, "Invalid value: must be a string".into());
                    continue;
                };
                let value = if is_base64 {
                    match base64::engine::general_purpose::STANDARD.decode(text.trim()) {
                        Ok(bytes) => bytes,
                        Err(_) => {
                            // The value itself is not shown: it may be the secret in clear text.
                            report.error(&at, "Invalid value: must be base64".into());
                            continue;
                        }
                    }
                } else {
                    text.into_bytes()
                };
                let id = (namespace.clone(), name.clone(), entry.key.clone());
                self.manifests.insert(id, value);
            }
        }
    }

    /// Gives a copy of a block in which every reference is replaced by its value.
    pub fn resolve(
        &self,
        block: &Node,
        namespace: &str,
        at: &FieldPath,
        report: &mut Report,
    ) -> Node {
        let mut resolved = block.clone();
        self.resolve_in(&mut resolved, namespace, at, report);
        resolved
    }

    fn resolve_in(&self, node: &mut Node, namespace: &str, at: &FieldPath, report: &mut Report) {
        match &mut node.value {
            NodeValue::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.resolve_in(item, namespace, &at.index(index), report);
                }
            }
            NodeValue::Map(entries) => {
                let mut values = Vec::new();
                for entry in entries.iter_mut() {
                    let at = at.child(&entry.key);
                    match entry.key.strip_suffix("SecretRef") {
                        Some(field) if entry.value.map().is_some() => {
                            if let Some(value) = self.look_up(&entry.value, namespace, &at, report)
                            {
                                values.push((entry.key.clone(), target(field), value));
                            }
                        }
                        _ => self.resolve_in(&mut entry.value, namespace, &at, report),
                    }
                }
                for (reference, field, value) in values {
                    node.remove(&reference);
                    node.set(&field, literal(&field, &value));
                }
            }
            _ => {}
        }
    }

    fn look_up(
        &self,
        reference: &Node,
        namespace: &str,
        at: &FieldPath,
        report: &mut Report,
    ) -> Option<String> {
        let text = |key: &str| reference.get(key).and_then(Node::scalar_text);
        let (Some(name), Some(key)) = (text("name"), text("key")) else { return None };
        let namespace = text("namespace").unwrap_or_else(|| namespace.to_owned());
        match self.find(&namespace, &name, &key) {
            Ok(Some(value)) => match String::from_utf8(value) {
                Ok(text) => return Some(text),
                Err(_) => {
                    report.error(at, format!("secret {namespace}/{name} key {key} is not UTF-8"))
                }
            },
            Ok(None) => {
                let mut places = vec!["a Secret manifest beside the flow".to_owned()];
                if self.folder.is_some() {
                    places.push("the secrets folder".into());
                }
                places.push(format!(
                    "the environment variable {}",
                    variable(&namespace, &name, &key)
                ));
                let text = format!(
                    "key {key} not found in secret {namespace}/{name}; looked for it in {}",
                    places.join(", ")
                );
                report.error(at, text);
            }
            Err(error) => {
                let text = format!("failed to get secret {namespace}/{name}: {error}");
                report.error(at, text);
            }
        }
        None
    }

    fn find(&self, namespace: &str, name: &str, key: &str) -> std::io::Result<Option<Vec<u8>>> {
        let id = (namespace.to_owned(), name.to_owned(), key.to_owned());
        if let Some(value) = self.manifests.get(&id) {
            return Ok(Some(value.clone()));
        }
        let is_plain = |part: &str| !part.is_empty() && !part.contains('/') && part != "..";
        if let Some(folder) = &self.folder
            && [namespace, name, key].into_iter().all(is_plain)
        {
            let paths = [folder.join(namespace).join(name).join(key), folder.join(name).join(key)];
            for path in paths {
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.len() > SECRET_BYTES_MAX => {
                        return Err(std::io::Error::other("the file is larger than 1 MiB"));
                    }
                    Ok(_) => return std::fs::read(&path).map(Some),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let names = [variable(namespace, name, key), variable("", name, key)];
        Ok(names.into_iter().find_map(|name| std::env::var(name).ok()).map(String::into_bytes))
    }
}

/// Gives the environment variable of a secret: upper case, everything else than letters and digits as `_`.
fn variable(namespace: &str, name: &str, key: &str) -> String {
    let parts = [namespace, name, key];
    let parts: Vec<String> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| {
            let upper = part.to_ascii_uppercase();
            upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
        })
        .collect();
    format!("{VARIABLE_PREFIX}{}", parts.join("_"))
}

/// Gives the field that a reference fills; certificates are content or the path of a file.
fn target(field: &str) -> String {
    match field {
        "cert" | "key" | "ca" => format!("{field}File"),
        _ => field.to_owned(),
    }
}

fn literal(field: &str, value: &str) -> Node {
    let node = |text: &str| Node::new(NodeValue::String(text.to_owned()));
    if field == "brokers" {
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        return Node::new(NodeValue::List(parts.map(node).collect()));
    }
    node(value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn documents(yaml: &str) -> Vec<Document> {
        levada_registry::manifest::parse(yaml).unwrap()
    }

    #[test]
    fn references_become_values() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("db")).unwrap();
        std::fs::write(folder.path().join("db/password"), "p\n").unwrap();
        let mut secrets = Secrets::default().with_folder(Some(folder.path().to_owned()));
        let mut report = Report::new();
        let manifest = "kind: Secret\nmetadata: {name: kafka, namespace: ns}\n\
                        data: {brokers: YToxLCBiOjIs}\nstringData: {topic: orders}\n";
        secrets.add(&documents(manifest)[0], &mut report);
        let block = &documents(
            "brokersSecretRef: {name: kafka, key: brokers}\ntopic: x\n\
             topicSecretRef: {name: kafka, key: topic, namespace: ns}\n\
             sasl: {passwordSecretRef: {name: db, key: password}}\n\
             otherSecretRef: {name: none, key: nowhere}\n",
        )[0]
        .root;
        let resolved = secrets.resolve(block, "ns", &FieldPath::root(), &mut report).to_json();
        assert_eq!(resolved["brokers"], serde_json::json!(["a:1", "b:2"]));
        assert_eq!(resolved["topic"], "orders");
        assert_eq!(resolved["sasl"], serde_json::json!({"password": "p\n"}));
        let texts: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["otherSecretRef: key nowhere not found in secret ns/none; looked for it in a Secret \
              manifest beside the flow, the secrets folder, the environment variable \
              LEVADA_SECRET_NS_NONE_NOWHERE"]
        );
    }
}
