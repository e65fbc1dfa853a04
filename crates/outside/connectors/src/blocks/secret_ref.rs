//! References to secrets.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

/// Names a key of a Kubernetes `Secret`, or of what stands for one outside a cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default)]
pub struct SecretRef {
    /// The name of the Secret.
    pub name: String,
    /// The key inside it.
    pub key: String,
    /// Its namespace; absent: that of the flow.
    pub namespace: Option<String>,
}

impl SecretRef {
    /// Reports a reference without a name or a key.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.name.is_empty() {
            report.required(&at.child("name"), "secret name is required");
        }
        if self.key.is_empty() {
            report.required(&at.child("key"), "secret key is required");
        }
    }
}

/// Reports a setting that is given neither literally nor by reference, or by a bad reference.
///
/// Source: dataflow-operator.md §7.1, `<f> or <f>SecretRef is required`.
pub fn check_either(
    field: &str,
    literal: &str,
    reference: Option<&SecretRef>,
    at: &FieldPath,
    report: &mut Report,
) {
    match reference {
        Some(reference) => reference.check(&at.child(&format!("{field}SecretRef")), report),
        None if literal.is_empty() => {
            let detail = format!("{field} or {field}SecretRef is required");
            report.required(&at.child(field), &detail);
        }
        None => {}
    }
}

/// Reports a reference without a name or a key, when there is one; `field` is its whole wire name.
pub fn check_reference(
    field: &str,
    reference: Option<&SecretRef>,
    at: &FieldPath,
    report: &mut Report,
) {
    if let Some(reference) = reference {
        reference.check(&at.child(field), report);
    }
}
