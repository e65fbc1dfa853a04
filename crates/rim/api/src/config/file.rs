//! Kapacitor's own configuration file, and its environment variables on top.
//!
//! Source: reference (server) §7.1.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::sections::{FUNCTIONS, OPAQUE, Reach, Section, TOP_LEVEL, section, sections};
use super::values;
use levada_alert::services::{OptionRule, SectionRule};

/// What was set, without defaults; the elements of each section.
pub(super) type Given = BTreeMap<&'static str, Vec<Map<String, Value>>>;

/// Start of the variables. Those of Kapacitor's clients begin alike.
const PREFIX: &str = levada_settings::env::KAPACITOR_PREFIX;

/// Variables of Kapacitor's clients. Source: reference (server) §6.1.
const OF_CLIENTS: &[&str] = &[
    "KAPACITOR_URL",
    "KAPACITOR_UNSAFE_SSL",
    "KAPACITOR_USERNAME",
    "KAPACITOR_PASSWORD",
    "KAPACITOR_SUPPRESS_LOGGING",
];

/// Reads what was set, and collects what is odd about it.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) given: Given,
    /// What keeps the server from starting.
    pub(super) problems: Vec<String>,
    /// What has no effect.
    pub(super) warnings: Vec<String>,
}

// === impl Reader ===

impl Reader {
    /// Reads the text of the file.
    pub(super) fn file(&mut self, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                // The lines that the whole error shows may hold secrets.
                let line = error.span().map_or(1, |span| {
                    text.get(..span.start).unwrap_or_default().matches('\n').count() + 1
                });
                return self.problems.push(format!("line {line}: {}", error.message().trim_end()));
            }
        };
        let Ok(Value::Object(entries)) = serde_json::to_value(table) else { return };
        let mut top = Map::new();
        for (name, value) in entries {
            if OPAQUE.contains(&&*name) {
                if values::is_set(&value) {
                    self.warnings.push(format!("`{name}` has no effect in Levada"));
                }
                continue;
            }
            match section(&name).filter(|_| name != TOP_LEVEL) {
                Some(section) if name == FUNCTIONS.0 => {
                    let functions = self.functions(value);
                    self.section(section, functions);
                }
                Some(section) => self.section(section, value),
                None if value.is_object() => {
                    self.warnings.push(format!("`{name}`: unknown section, ignored"));
                }
                None => {
                    top.insert(name, value);
                }
            }
        }
        if let Some(section) = section(TOP_LEVEL) {
            self.section(section, Value::Object(top));
        }
    }

    /// Makes a list of named tables.
    fn functions(&mut self, value: Value) -> Value {
        let (section, holder) = FUNCTIONS;
        let mut named = Vec::new();
        let Value::Object(entries) = value else { return value };
        for (key, value) in entries {
            let Value::Object(functions) = value else {
                self.warnings.push(format!("`{section}.{key}`: unknown key, ignored"));
                continue;
            };
            if key != holder {
                self.warnings.push(format!("`{section}.{key}`: unknown section, ignored"));
                continue;
            }
            for (name, mut function) in functions {
                if let Value::Object(options) = &mut function {
                    options.insert("name".to_owned(), name.into());
                }
                named.push(function);
            }
        }
        Value::Array(named)
    }

    fn section(&mut self, section: Section, value: Value) {
        let rule = section.rule;
        let elements = match value {
            Value::Array(elements) => elements,
            one => vec![one],
        };
        if rule.element_key.is_none() && elements.len() > 1 {
            self.problems.push(format!("`{}` is there more than once", rule.name));
            return;
        }
        let mut read = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let place = place(rule, index);
            match element {
                Value::Object(options) => read.push(self.options(rule, &place, options)),
                _ => self.problems.push(format!("`{}`: expected a section", rule.name)),
            }
        }
        if let Reach::Instead(setting) = section.reach
            && read.iter().any(|options| !options.is_empty())
        {
            self.has_no_effect(rule.name, setting);
        }
        self.given.insert(rule.name, read);
    }

    fn options(
        &mut self,
        rule: &'static SectionRule,
        place: &str,
        options: Map<String, Value>,
    ) -> Map<String, Value> {
        let mut read = Map::new();
        for (key, value) in options {
            let path = format!("{place}{key}");
            let Some(option) = rule.option(&key) else {
                self.warnings.push(format!("`{path}`: unknown key, ignored"));
                continue;
            };
            match values::read(&value, option.default) {
                Ok(value) => {
                    read.insert(key, value);
                }
                Err(expected) => self.problems.push(format!("`{path}`: {expected}")),
            }
        }
        read
    }

    fn has_no_effect(&mut self, name: &str, setting: &str) {
        let hint = match setting {
            "" => String::new(),
            setting => format!("; Levada's own settings do: {setting}"),
        };
        let warning = format!("`[{name}]` has no effect{hint}");
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Puts environment variables over what was read.
    pub(super) fn environment<'a>(&mut self, variables: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut variables: Vec<(&str, &str)> = variables
            .filter(|(name, value)| !value.is_empty() && !OF_CLIENTS.contains(name))
            .collect();
        // `…_9` before `…_10`, so that elements are added in their order.
        variables.sort_by_cached_key(|(name, _)| natural(name));
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if let Err(reason) = self.variable(name, rest, value) {
                self.warnings.push(format!("`{name}`: {reason}, ignored"));
            }
        }
    }

    fn variable(&mut self, name: &str, rest: &str, text: &str) -> Result<(), String> {
        let of_section =
            sections().filter(|section| section.rule.name != TOP_LEVEL).find_map(|section| {
                let (start, rest) = rest.split_at_checked(section.rule.name.len())?;
                let rest = rest.strip_prefix('_')?;
                values::is_like(section.rule.name, start).then_some((section, rest))
            });
        let Some((section, rest)) = of_section.or_else(|| Some((section(TOP_LEVEL)?, rest))) else {
            return Err("unknown section".to_owned());
        };
        let rule = section.rule;
        let (index, rest) = match rule.element_key {
            Some(_) => self.index(section, rest)?,
            None => (0, rest),
        };
        let Some((option, path)) = find(rule, rest) else {
            return Err(match rule.name {
                TOP_LEVEL => "unknown variable".to_owned(),
                name => format!("`{name}` has no such key"),
            });
        };
        if let Reach::Instead(setting) = section.reach {
            self.has_no_effect(rule.name, setting);
        }
        let elements = self.given.entry(rule.name).or_default();
        while elements.len() <= index {
            elements.push(Map::new());
        }
        let options = &mut elements[index];
        let current = options.get(option.name).cloned().unwrap_or_else(|| option.default.to_json());
        match values::put(&current, option.default, path, text) {
            Ok(value) => {
                options.insert(option.name.to_owned(), value);
            }
            Err(_) => {
                let shown = if option.is_secret { "***" } else { text };
                self.problems.push(format!(
                    "failed to apply {name} to {} using type {} and value '{shown}'",
                    go_name(option.name),
                    values::go_type(option.default)
                ));
            }
        }
        Ok(())
    }

    /// Takes the index from the front of the rest of a name; a section with one element may do without it.
    fn index<'n>(&self, section: Section, rest: &'n str) -> Result<(usize, &'n str), String> {
        let name = section.rule.name;
        let given = self.given.get(name).map_or(0, Vec::len);
        let count = given.max(usize::from(section.has_default));
        let (digits, after) = rest.split_once('_').unwrap_or((rest, ""));
        match digits.parse::<usize>() {
            Ok(index) if index <= count => Ok((index, after)),
            Ok(index) => {
                Err(format!("`{name}` has {count} elements, the next one is {count}, not {index}"))
            }
            Err(_) if count <= 1 => Ok((0, rest)),
            Err(_) => Err(format!("`{name}` has {count} elements: the name needs an index")),
        }
    }
}

fn place(rule: &SectionRule, index: usize) -> String {
    match (rule.name, rule.element_key) {
        (TOP_LEVEL, _) => String::new(),
        (name, Some(_)) => format!("{name}[{index}]."),
        (name, None) => format!("{name}."),
    }
}

/// Finds the option that the rest of a name begins with; the longest one that fits.
fn find<'n>(rule: &'static SectionRule, rest: &'n str) -> Option<(&'static OptionRule, &'n str)> {
    let fits = |option: &'static OptionRule| {
        let (start, after) = rest.split_at_checked(option.name.len())?;
        let after = if after.is_empty() { after } else { after.strip_prefix('_')? };
        values::is_like(option.name, start).then_some((option, after))
    };
    rule.options.iter().filter_map(fits).max_by_key(|(option, _)| option.name.len())
}

/// Gives the name of a Go field, as far as it follows from the key.
fn go_name(key: &str) -> String {
    let parts = key.split(['-', '_']).map(|part| {
        let mut characters = part.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect::<String>()
    });
    parts.collect()
}

/// Pads numbers, so that texts sort by them.
fn natural(name: &str) -> String {
    let parts = name.split('_').map(|part| match part.parse::<u32>() {
        Ok(number) => format!("{number:010}"),
        Err(_) => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = r#"
hostname = "box"
colour = "red"
[http]
bind-address = ":9999"
[nonsense]
x = 1
[[udp]]
enabled = true
[smtp]
[[influxdb]]
name = "one"
urls = ["http://a:8086"]
timeout = "5s"
[influxdb.subscriptions]
telegraf = ["autogen"]
[[influxdb]]
name = "two"
nmae = "x"
[telegram]
enabled = true
[[httppost]]
endpoint = "e"
headers = { A = "b" }
[slack]
channel = "c#x"
"#;

    /// Variables, a section, its elements.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Value);

    fn read(file: &str, variables: &[(&str, &str)]) -> Reader {
        let mut reader = Reader::default();
        reader.file(file);
        reader.environment(variables.iter().copied());
        reader
    }

    #[test]
    fn a_file_is_read_and_what_is_odd_is_named() {
        let reader = read(FILE, &[]);
        assert_eq!(reader.problems, Vec::<String>::new());
        let mut warnings = reader.warnings.clone();
        warnings.retain(|warning| !warning.contains("smtp"));
        assert_eq!(
            warnings,
            [
                "`[http]` has no effect; Levada's own settings do: http.listen, http.tls-certificate and http.tls-key",
                "`influxdb[1].nmae`: unknown key, ignored",
                "`nonsense`: unknown section, ignored",
                "`udp` has no effect in Levada",
                "`colour`: unknown key, ignored",
            ]
        );
        let given = |name: &str| Value::from_iter(reader.given[name].clone());
        assert_eq!(
            given("influxdb"),
            json!([
                {"name": "one", "urls": ["http://a:8086"], "timeout": "5s", "subscriptions": {"telegraf": ["autogen"]}},
                {"name": "two"},
            ])
        );
        assert_eq!(given("slack"), json!([{"channel": "c#x"}]));
        assert_eq!(given(TOP_LEVEL), json!([{"hostname": "box"}]));
    }

    #[test]
    fn functions_are_named_tables() {
        let text = r#"
[udf]
colour = "red"
[udf.functions]
[udf.functions.mean]
prog = "/usr/bin/python3"
args = ["-u", "mean.py"]
timeout = "3s"
[udf.functions.mean.env]
PYTHONPATH = "/agents"
[udf.functions.far]
socket = "/run/far.sock"
sockets = 2
[udf.others.x]
"#;
        let reader = read(text, &[]);
        assert_eq!(reader.problems, Vec::<String>::new());
        assert_eq!(
            Value::from_iter(reader.given["udf"].clone()),
            json!([
                {"name": "far", "socket": "/run/far.sock"},
                {"name": "mean", "prog": "/usr/bin/python3", "args": ["-u", "mean.py"],
                 "timeout": "3s", "env": {"PYTHONPATH": "/agents"}},
            ])
        );
        let mut warnings = reader.warnings;
        warnings.sort();
        assert_eq!(
            warnings,
            [
                "`udf.colour`: unknown key, ignored",
                "`udf.others`: unknown section, ignored",
                "`udf[0].sockets`: unknown key, ignored",
            ]
        );
        assert_eq!(read("[udf]\n[udf.functions]\n", &[]).warnings, Vec::<String>::new());
    }

    #[test]
    fn mistakes_are_named_without_the_value() {
        let problems = |text: &str| read(text, &[]).problems;
        assert_eq!(problems("[telegram]\ntoken = 5"), ["`telegram.token`: expected a text"]);
        assert_eq!(
            problems("[[slack]]\nenabled = \"s3cret\""),
            ["`slack[0].enabled`: expected true or false"]
        );
        assert_eq!(problems("[[telegram]]\n[[telegram]]"), ["`telegram` is there more than once"]);
        assert_eq!(problems("telegram = 1"), ["`telegram`: expected a section"]);
        let broken = problems("[telegram]\ntoken = \"s3cret\" x\n");
        assert!(broken[0].starts_with("line 2: ") && !broken[0].contains("s3cret"), "{broken:?}");
    }

    #[test]
    fn variables_go_over_the_file() {
        let cases: &[Case<'_>] = &[
            (&[("KAPACITOR_HOSTNAME", "other")], "", json!([{"hostname": "other"}])),
            (
                &[("KAPACITOR_SKIP_CONFIG_OVERRIDES", "true")],
                "",
                json!([{"hostname": "box", "skip-config-overrides": true}]),
            ),
            (
                &[("KAPACITOR_TELEGRAM_CHAT_ID", "7")],
                "telegram",
                json!([{"enabled": true, "chat-id": "7"}]),
            ),
            // An empty one is as none.
            (&[("KAPACITOR_TELEGRAM_TOKEN", "")], "telegram", json!([{"enabled": true}])),
            (
                &[
                    ("KAPACITOR_STATS_STATS_INTERVAL", "90s"),
                    ("KAPACITOR_STATS_TIMING_SAMPLE_RATE", "0.5"),
                ],
                "stats",
                json!([{"stats-interval": "1m30s", "timing-sample-rate": 0.5}]),
            ),
            // An element that is there, and keys that begin alike.
            (&[("KAPACITOR_SLACK_0_CHANNEL", "d")], "slack", json!([{"channel": "d"}])),
            (&[("KAPACITOR_OPSGENIE2_API_KEY", "k")], "opsgenie2", json!([{"api-key": "k"}])),
            (
                &[("KAPACITOR_OPSGENIE_RECOVERY_URL", "u")],
                "opsgenie",
                json!([{"recovery_url": "u"}]),
            ),
            // Maps keep the case of keys that nobody knows.
            (
                &[("KAPACITOR_HTTPPOST_0_HEADERS_Example", "x")],
                "httppost",
                json!([{"endpoint": "e", "headers": {"A": "b", "Example": "x"}}]),
            ),
            (
                &[("KAPACITOR_HTTPPOST_0_BASIC_AUTH_USERNAME", "u")],
                "httppost",
                json!([{"endpoint": "e", "headers": {"A": "b"}, "basic-auth": {"username": "u", "password": ""}}]),
            ),
            // Added in their order, whatever that of the variables is.
            (
                &[("KAPACITOR_DISCORD_1_WORKSPACE", "b"), ("KAPACITOR_DISCORD_0_WORKSPACE", "a")],
                "discord",
                json!([{"workspace": "a"}, {"workspace": "b"}]),
            ),
            (&[("KAPACITOR_KUBERNETES_NAMESPACE", "n")], "kubernetes", json!([{"namespace": "n"}])),
        ];
        for (variables, section, expected) in cases {
            let reader = read(FILE, variables);
            assert_eq!(reader.problems, Vec::<String>::new(), "{variables:?}");
            assert_eq!(
                reader.warnings.len(),
                read(FILE, &[]).warnings.len(),
                "{:?}",
                reader.warnings
            );
            let found = Value::from_iter(reader.given[section].clone());
            assert_eq!(&found, expected, "{variables:?}");
        }
    }

    #[test]
    fn lists_are_changed_and_grow() {
        let variables = [
            ("KAPACITOR_INFLUXDB_0_URLS_0", "http://b:8086"),
            ("KAPACITOR_INFLUXDB_0_URLS_1", "http://c:8086"),
            ("KAPACITOR_INFLUXDB_1_URLS_0", "http://d:8086"),
            ("KAPACITOR_INFLUXDB_0_SUBSCRIPTIONS_telegraf_1", "month"),
            ("KAPACITOR_INFLUXDB_0_EXCLUDED_SUBSCRIPTIONS_my_db_0", "autogen"),
            ("KAPACITOR_INFLUXDB_2_NAME", "three"),
        ];
        let reader = read(FILE, &variables);
        assert_eq!(reader.problems, Vec::<String>::new());
        let influxdb = &reader.given["influxdb"];
        assert_eq!(influxdb[0]["urls"], json!(["http://b:8086", "http://c:8086"]));
        assert_eq!(influxdb[0]["subscriptions"], json!({"telegraf": ["autogen", "month"]}));
        assert_eq!(
            influxdb[0]["excluded-subscriptions"],
            json!({"_kapacitor": ["autogen"], "my_db": ["autogen"]})
        );
        assert_eq!(influxdb[1]["urls"], json!(["http://d:8086"]));
        assert_eq!(influxdb[2], *json!({"name": "three"}).as_object().expect("an object"));
    }

    #[test]
    fn variables_that_cannot_be_used_are_named() {
        let cases = [
            (
                ("KAPACITOR_TELEGRAM_ENABLED", "maybe"),
                "failed to apply KAPACITOR_TELEGRAM_ENABLED to Enabled using type bool and value 'maybe'",
            ),
            (
                ("KAPACITOR_ALERT_TOPIC_BUFFER_LENGTH", "x"),
                "failed to apply KAPACITOR_ALERT_TOPIC_BUFFER_LENGTH to TopicBufferLength using type int64 and value 'x'",
            ),
            (
                ("KAPACITOR_INFLUXDB_0_URLS_7", "x"),
                "failed to apply KAPACITOR_INFLUXDB_0_URLS_7 to Urls using type string and value 'x'",
            ),
            (
                ("KAPACITOR_HTTPPOST_0_BASIC_AUTH", "s3cret"),
                "failed to apply KAPACITOR_HTTPPOST_0_BASIC_AUTH to BasicAuth using type string and value '***'",
            ),
            (("KAPACITOR_NONE", "x"), "`KAPACITOR_NONE`: unknown variable, ignored"),
            (
                ("KAPACITOR_TELEGRAM_NONE", "x"),
                "`KAPACITOR_TELEGRAM_NONE`: `telegram` has no such key, ignored",
            ),
            (
                ("KAPACITOR_INFLUXDB_NAME", "x"),
                "`KAPACITOR_INFLUXDB_NAME`: `influxdb` has 2 elements: the name needs an index, ignored",
            ),
            (
                ("KAPACITOR_INFLUXDB_9_NAME", "x"),
                "`KAPACITOR_INFLUXDB_9_NAME`: `influxdb` has 2 elements, the next one is 2, not 9, ignored",
            ),
        ];
        for (variable, expected) in cases {
            let reader = read(FILE, &[variable]);
            let said: Vec<&String> = reader.problems.iter().chain(&reader.warnings).collect();
            assert!(said.iter().any(|text| *text == expected), "{expected}\n{said:?}");
        }
        let of_client = read(FILE, &[("KAPACITOR_URL", "http://x")]);
        assert_eq!(of_client.warnings, read(FILE, &[]).warnings);
    }
}
