//! Endpoints of the configuration, by which `post` and the node `httpPost` may be told where to go.
//!
//! Source: kapacitor: `[[httppost]]`, reference (server) §4.5.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::services::{Element, OptionDefault, OptionRule, SectionRule, Services};
use crate::topics::HandlerError;

/// Bytes of a file with a template. Ours: nobody writes so much by hand.
const TEMPLATE_MAX: u64 = 1 << 20;

pub(super) static SECTION: SectionRule = SectionRule {
    name: "httppost",
    element_key: Some("endpoint"),
    options: &[
        OptionRule::text("endpoint", ""),
        OptionRule::text("url", ""),
        OptionRule::new("headers", OptionDefault::Table(&[])),
        OptionRule::new("basic-auth", OptionDefault::Table(&[("username", ""), ("password", "")]))
            .secret(),
        OptionRule::text("alert-template", ""),
        OptionRule::text("alert-template-file", ""),
        OptionRule::text("row-template", ""),
        OptionRule::text("row-template-file", ""),
    ],
};

/// An endpoint.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to; a template.
    pub url: String,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// User and password; used when both are there.
    pub basic_auth: Option<(String, String)>,
    /// The body in place of the alert's JSON; a template.
    pub alert_template: Option<String>,
    /// The body in place of the JSON of a row, for the node; a template.
    pub row_template: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    headers: Map<String, Value>,
    basic_auth: BasicAuth,
    alert_template: String,
    alert_template_file: String,
    row_template: String,
    row_template_file: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BasicAuth {
    username: String,
    password: String,
}

/// Finds an endpoint by its name.
///
/// Errors: it does not exist; a file of it cannot be read.
pub fn endpoint(services: &dyn Services, name: &str) -> Result<Endpoint, HandlerError> {
    Endpoint::of(&find(services, name)?)
}

/// Finds the element of an endpoint.
pub(super) fn find(services: &dyn Services, name: &str) -> Result<Element, HandlerError> {
    let mut elements = services.elements(SECTION.name).into_iter();
    let unknown = || HandlerError::new(format!("endpoint '{name}' does not exist")).finally();
    elements.find(|element| element.name == name && !name.is_empty()).ok_or_else(unknown)
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads an endpoint, and the files with its templates.
    pub(super) fn of(element: &Element) -> Result<Self, HandlerError> {
        let settings: Settings = element.read()?;
        let BasicAuth { username, password } = settings.basic_auth;
        let header = |(key, value): (String, Value)| {
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            (key, text)
        };
        Ok(Endpoint {
            url: settings.url,
            headers: settings.headers.into_iter().map(header).collect(),
            basic_auth: (!username.is_empty() && !password.is_empty())
                .then_some((username, password)),
            alert_template: template(settings.alert_template, &settings.alert_template_file)?,
            row_template: template(settings.row_template, &settings.row_template_file)?,
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses, headers and passwords may be secrets.
        f.write_str("Endpoint(***)")
    }
}

/// Gives a template that is written in the settings, else in a file.
fn template(text: String, path: &str) -> Result<Option<String>, HandlerError> {
    if !text.is_empty() || path.is_empty() {
        return Ok(Some(text).filter(|text| !text.is_empty()));
    }
    let failed =
        |error: std::io::Error| HandlerError::new(format!("cannot read `{path}`: {error}"));
    if std::fs::metadata(path).map_err(failed)?.len() > TEMPLATE_MAX {
        return Err(HandlerError::new(format!("`{path}` is larger than {TEMPLATE_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(failed).map(Some)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn files_of_templates_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        let path = path.to_str().unwrap();
        let most = usize::try_from(TEMPLATE_MAX).unwrap();
        std::fs::write(path, vec![b'x'; most]).unwrap();
        assert_eq!(template(String::new(), path).unwrap().unwrap().len(), most);
        assert_eq!(template("text".to_owned(), path).unwrap().as_deref(), Some("text"));
        assert_eq!(template(String::new(), "").unwrap(), None);
        std::fs::write(path, vec![b'x'; most + 1]).unwrap();
        let error = template(String::new(), path).unwrap_err();
        assert_eq!(error.message, format!("`{path}` is larger than 1048576 bytes"));
    }
}
