//! Named texts of a record, and which of its members are left.

use std::collections::BTreeMap;

use levada_condition::Path;
use levada_model::tree::NodeKind;
use levada_model::{RecordError, Timestamp};
use levada_registry::{FieldPath, Report};

use super::{Document, TextRule, plain_path};

/// Names with their texts: labels or tags.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedTexts {
    /// By name.
    rules: Vec<(String, TextRule)>,
    /// Objects whose scalar members are taken under their own names.
    objects: Vec<Path>,
    text: String,
}

/// Members at the top of a record that have another use already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    keys: Vec<String>,
}

// === impl NamedTexts ===

impl NamedTexts {
    /// Compiles names with their rules, and paths of objects.
    ///
    /// Errors: the first setting that is wrong; `check` found it before.
    pub(crate) fn compile(
        rules: &BTreeMap<String, String>,
        objects: &[String],
    ) -> Result<NamedTexts, String> {
        let rules = rules
            .iter()
            .map(|(name, text)| Ok((name.clone(), TextRule::compile(text)?)))
            .collect::<Result<_, String>>()?;
        let objects = objects.iter().map(|text| plain_path(text)).collect::<Result<_, String>>()?;
        Ok(NamedTexts { rules, objects, text: String::new() })
    }

    /// Reports rules and paths that cannot be compiled.
    pub(crate) fn check(
        rules: &BTreeMap<String, String>,
        rules_at: &FieldPath,
        objects: &[String],
        objects_at: &FieldPath,
        report: &mut Report,
    ) {
        for (name, text) in rules {
            let at = rules_at.key(name);
            if text.is_empty() {
                report.required(&at, "give a text, a path such as `$.host` or a template");
            }
            super::check_text(text, &at, report);
        }
        for (index, text) in objects.iter().enumerate() {
            if text.is_empty() {
                report.required(&objects_at.index(index), "give the path of an object");
            }
            super::check_path(text, &objects_at.index(index), report);
        }
    }

    /// Gives every name and text of a record to `each`, those of objects first; what is missing or
    /// empty is left out.
    ///
    /// Errors: a value is no scalar, a member of objects aside; or `each` fails.
    pub(crate) fn each(
        &mut self,
        document: &Document<'_>,
        time: Timestamp,
        mut each: impl FnMut(&str, &str) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for path in &self.objects {
            let Some(object) = document.find(path) else { continue };
            if document.tree.kind(object) != NodeKind::Object {
                let kind = document.tree.kind(object).name();
                let message = format!("`{path}` is of kind {kind}; an object is needed");
                return Err(RecordError::invalid(message));
            }
            for member in document.tree.children(object) {
                let Some(name) = document.tree.key(document.text, member) else { continue };
                if matches!(
                    document.tree.kind(member),
                    NodeKind::Null | NodeKind::Object | NodeKind::Array
                ) {
                    continue;
                }
                self.text.clear();
                document.append_scalar(member, &name, &mut self.text)?;
                if !self.text.is_empty() {
                    each(&name, &self.text)?;
                }
            }
        }
        for (name, rule) in &mut self.rules {
            self.text.clear();
            let is_missing = rule.append(Some(document), time, &mut self.text)?.is_some();
            if !is_missing && !self.text.is_empty() {
                each(name, &self.text)?;
            }
        }
        Ok(())
    }
}

// === impl Used ===

impl Used {
    /// Adds the member that a path is, if it is one of the top.
    pub(crate) fn add(&mut self, path: &Path) {
        if let Some([key]) = path.keys().as_deref() {
            self.keys.push((*key).to_owned());
        }
    }

    /// Adds the members that names and texts are made of.
    pub(crate) fn add_texts(&mut self, texts: &NamedTexts) {
        for path in texts.rules.iter().flat_map(|(_, rule)| rule.paths()).chain(&texts.objects) {
            self.add(path);
        }
    }

    /// Adds the members that a text is made of.
    pub(crate) fn add_text(&mut self, rule: &TextRule) {
        for path in rule.paths() {
            self.add(path);
        }
    }

    /// Tells whether a member has another use.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
    }
}
