//! What the elements of a section must be like together.
//!
//! Source: reference (server) §4.5, §7.2. Texts are upstream's where the reference has them.

use std::collections::BTreeSet;

use levada_alert::services::Element;
use serde_json::Value;

use super::sections::{Reach, Section};

type Check = fn(&[Element]) -> Result<(), String>;

/// The checks of single sections.
const CHECKS: &[(&str, Check)] = &[
    ("influxdb", influxdb),
    ("slack", |elements| named(elements, "slack", "workspace")),
    ("discord", |elements| named(elements, "discord", "workspace")),
    ("mqtt", |elements| named(elements, "mqtt", "name")),
    ("httppost", httppost),
    ("udf", functions),
    ("opsgenie2", |elements| one_of(elements, "recovery_action", &["", "notes", "close"])),
    ("telegram", |elements| one_of(elements, "parse-mode", &["", "Markdown", "HTML"])),
];

/// Checks all elements of a section.
///
/// - Errors: what is wrong, without values that may be secrets.
pub(super) fn check(section: Section, elements: &[Element]) -> Result<(), String> {
    let name = section.rule.name;
    if section.rule.element_key.is_some() {
        let mut names = BTreeSet::new();
        for element in elements {
            if !names.insert(&*element.name) {
                return Err(format!("duplicate name {:?} for {name} configs", element.name));
            }
        }
    }
    if section.reach == Reach::Missing && elements.iter().any(Element::is_enabled) {
        return Err(format!("`{name}` is not built into Levada and cannot be enabled"));
    }
    for (checked, check) in CHECKS {
        if *checked == name {
            check(elements)?;
        }
    }
    for option in section.rule.options.iter().filter(|option| option.name == "url") {
        // Templates are addresses only when they are filled in.
        let is_address = |text: &str| {
            text.is_empty() || text.contains("{{") || text.parse::<hyper::Uri>().is_ok()
        };
        if elements.iter().any(|element| !is_address(element.text(option.name))) {
            return Err("invalid url".to_owned());
        }
    }
    Ok(())
}

fn influxdb(elements: &[Element]) -> Result<(), String> {
    if elements.iter().any(|element| element.name.is_empty()) {
        return Err("influxdb cluster must be given a name".to_owned());
    }
    let enabled: Vec<&Element> = elements.iter().filter(|element| element.is_enabled()).collect();
    let defaults: Vec<&str> = elements
        .iter()
        .filter(|element| element.flag("default"))
        .map(|element| &*element.name)
        .collect();
    if defaults.len() > 1 {
        let defaults = defaults.join(" ");
        return Err(format!("More than one InfluxDB default was specified: {defaults}"));
    }
    if enabled.len() > 1 && !enabled.iter().any(|element| element.flag("default")) {
        return Err(
            "at least one of the enabled InfluxDB clusters must be marked as default.".to_owned()
        );
    }
    for element in enabled {
        let urls = element.options.get("urls").and_then(Value::as_array);
        let urls: Vec<&str> = urls.into_iter().flatten().filter_map(Value::as_str).collect();
        if urls.is_empty() {
            return Err("must specify at least one InfluxDB URL".to_owned());
        }
        if urls.iter().any(|url| url.parse::<hyper::Uri>().is_err()) {
            return Err("invalid InfluxDB URL".to_owned());
        }
        let protocol = element.text("subscription-protocol");
        if !["udp", "http", "https"].contains(&protocol) {
            return Err(format!(
                "invalid subscription protocol, must be one of 'udp', 'http' or 'https', got {protocol:?}"
            ));
        }
        let mode = element.text("subscription-mode");
        if !["cluster", "server"].contains(&mode) {
            return Err(format!(
                "invalid subscription mode, must be one of 'cluster' or 'server', got {mode:?}"
            ));
        }
        let compression = element.text("compression");
        if !["gzip", "none"].contains(&compression) {
            return Err(format!(
                "Invalid compression, must be one of 'gzip' or 'none', got {compression}"
            ));
        }
    }
    Ok(())
}

/// Several elements need one that is meant where none is named.
fn named(elements: &[Element], section: &str, key: &str) -> Result<(), String> {
    let enabled: Vec<&Element> = elements.iter().filter(|element| element.is_enabled()).collect();
    if enabled.len() < 2 {
        return Ok(());
    }
    if enabled.iter().any(|element| element.name.is_empty()) {
        return Err(format!("{section} must have a {key}, there are several"));
    }
    match enabled.iter().filter(|element| element.flag("default")).count() {
        1 => Ok(()),
        0 => Err(format!("at least one enabled {section} must be marked as default")),
        _ => Err(format!("more than one {section} is marked as default")),
    }
}

fn httppost(elements: &[Element]) -> Result<(), String> {
    // An element of defaults is nobody's mistake.
    let is_used = |element: &&Element| !element.name.is_empty() || !element.text("url").is_empty();
    for element in elements.iter().filter(is_used) {
        if element.name.is_empty() {
            return Err("must specify an endpoint name".to_owned());
        }
        if element.text("url").is_empty() {
            return Err("must specify url".to_owned());
        }
        for kind in ["alert", "row"] {
            let (template, file) = (format!("{kind}-template"), format!("{kind}-template-file"));
            if !element.text(&template).is_empty() && !element.text(&file).is_empty() {
                return Err(format!("must specify only one of {template} and {file}"));
            }
            let path = element.text(&file);
            if !path.is_empty() && !std::path::Path::new(path).is_absolute() {
                return Err(format!("must use an absolute path for {file}"));
            }
        }
    }
    Ok(())
}

/// Source: kapacitor reference §5.26; the texts are ours.
fn functions(elements: &[Element]) -> Result<(), String> {
    for function in elements {
        let name = &function.name;
        if function.text("prog").is_empty() == function.text("socket").is_empty() {
            return Err(format!("function {name:?}: either prog or socket must be set"));
        }
        let timeout = function.text("timeout").parse::<levada_settings::Duration>();
        let is_enough =
            timeout.is_ok_and(|timeout| std::time::Duration::from(timeout).as_nanos() > 1_000_000);
        if !is_enough {
            let timeout = function.text("timeout");
            return Err(format!("function {name:?}: timeout is too small: {timeout}"));
        }
    }
    Ok(())
}

fn one_of(elements: &[Element], option: &str, known: &[&str]) -> Result<(), String> {
    match elements.iter().all(|element| known.contains(&element.text(option))) {
        true => Ok(()),
        false => Err(format!("{option} must be one of '{}'", known[1..].join("', '"))),
    }
}
