//! What is drawn: the chain of source and steps, and where records leave it.
//!
//! Every text in here is on one line, short, and free of characters that a terminal or an XML
//! document would not take as text.

use levada_registry::Node as Setting;

use crate::spec::{Flow, SinkRef, Step};
use crate::transforms::router;

/// How many characters of a condition are shown.
pub const CONDITION_CHARS_MAX: usize = 40;

/// How many characters of a name or a detail are shown.
pub const TEXT_CHARS_MAX: usize = 48;

/// How many details a node has at most.
pub const DETAILS_MAX: usize = 2;

/// A flow as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The name of the flow.
    pub name: String,
    /// The source and the steps after it, in order; never empty.
    pub chain: Vec<Node>,
    /// Where records leave: routes in order, the main sink, the error sink.
    pub exits: Vec<Exit>,
}

/// A box of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is in the flow.
    pub role: Role,
    /// Its type.
    pub title: String,
    /// What it works on, in at most [`DETAILS_MAX`] lines.
    pub details: Vec<String>,
}

/// What a node is in the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where records come from.
    Source,
    /// What is done with them.
    Step,
    /// A step that chooses their sink.
    Router,
    /// Where they go.
    Sink,
    /// Where they go when they cannot be processed.
    Errors,
}

/// A way out of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Which records take it.
    pub way: Way,
    /// Where it leads.
    pub sink: Node,
}

/// Which records take an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// All that do not fail; there is no router.
    All,
    /// Those that meet the condition of a route.
    Route {
        /// The name of the route.
        name: String,
        /// Its condition.
        condition: String,
    },
    /// Those without a route.
    NoRoute,
    /// Those that fail anywhere in the chain.
    Failed,
}

// === impl Role ===

impl Role {
    /// Gives the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Step => "step",
            Role::Router => "router",
            Role::Sink => "sink",
            Role::Errors => "errors",
        }
    }

    /// Every role.
    pub(super) const ALL: [Role; 5] =
        [Role::Source, Role::Step, Role::Router, Role::Sink, Role::Errors];
}

// === impl Way ===

impl Way {
    /// Gives the name of the edge and the condition; either may be empty.
    pub fn parts(&self) -> (&str, &str) {
        match self {
            Way::All => ("", ""),
            Way::Route { name, condition } => (name, condition),
            Way::NoRoute => ("no route", ""),
            Way::Failed => ("failed", ""),
        }
    }

    /// Gives the label of the edge on one line, e.g. `cpu ($.metric == 'cpu')`.
    pub fn label(&self) -> String {
        match self.parts() {
            (name, "") => name.to_owned(),
            (name, condition) => format!("{name} ({condition})"),
        }
    }
}

// === impl Graph ===

impl Graph {
    /// Gives the graph of a flow.
    pub fn of(flow: &Flow) -> Self {
        let source = Node {
            role: Role::Source,
            title: clean(flow.source.entry.name),
            details: connector_details(&flow.source.block),
        };
        let steps = flow.steps.iter().enumerate().map(|(index, step)| {
            let next = flow.steps.get(index + 1..).unwrap_or_default();
            let end = next.first().map(|step| usize::from(step.context.route_base));
            let end = end.unwrap_or(flow.routes.len());
            step_node(step, end)
        });
        let routes = flow.routes.iter().map(|route| Exit {
            way: Way::Route {
                name: shorten(&clean(&route.label), TEXT_CHARS_MAX),
                condition: shorten(&clean(&route.condition), CONDITION_CHARS_MAX),
            },
            sink: sink_node(Role::Sink, &route.sink),
        });
        let main = Exit {
            way: if flow.routes.is_empty() { Way::All } else { Way::NoRoute },
            sink: sink_node(Role::Sink, &flow.sink),
        };
        let errors = flow
            .errors
            .as_ref()
            .map(|errors| Exit { way: Way::Failed, sink: sink_node(Role::Errors, &errors.sink) });
        Graph {
            name: shorten(&clean(&flow.object.name), TEXT_CHARS_MAX),
            chain: std::iter::once(source).chain(steps).collect(),
            exits: routes.chain([main]).chain(errors).collect(),
        }
    }
}

fn step_node(step: &Step, routes_end: usize) -> Node {
    let kind = step.entry.name;
    let mut details = Vec::new();
    let is_router = kind == router::NAME;
    if is_router {
        let count = routes_end.saturating_sub(usize::from(step.context.route_base));
        details.push(if count == 1 { "1 route".into() } else { format!("{count} routes") });
    } else {
        details.extend(STEP_KEYS.iter().find_map(|key| words(step.block.get(key)?)));
    }
    details.extend(step.when.iter().map(|when| format!("when {}", clean(when))));
    let details = details.iter().map(|text| shorten(text, TEXT_CHARS_MAX)).take(DETAILS_MAX);
    Node {
        role: if is_router { Role::Router } else { Role::Step },
        title: clean(kind),
        details: details.collect(),
    }
}

fn sink_node(role: Role, sink: &SinkRef) -> Node {
    Node { role, title: clean(sink.entry.name), details: connector_details(&sink.block) }
}

/// The settings of steps that say what a step works on; the first one present is shown.
const STEP_KEYS: &[&str] = &[
    "fields",
    "condition",
    "field",
    "fieldName",
    "include",
    "exclude",
    "renames",
    "mappings",
    "spec",
];

/// The settings of connectors that say where records are; the first of a row that is present is shown.
const CONNECTOR_KEYS: &[(&[&str], Show)] = &[
    (&["topic", "topics"], Show::Plain),
    (&["table", "tables"], Show::Table),
    (&["path", "paths"], Show::Path),
    (&["listen", "address", "addr"], Show::Url),
    (&["url", "urls", "endpoint"], Show::Url),
    (&["collectors"], Show::Plain),
    (&["targets"], Show::Url),
    (&["serverUrl", "catalogUri", "baseUrl"], Show::Url),
    (&["interval"], Show::Interval),
    (&["pollInterval"], Show::Seconds),
];

#[derive(Clone, Copy)]
enum Show {
    Plain,
    Table,
    Path,
    Url,
    Interval,
    Seconds,
}

fn connector_details(block: &Setting) -> Vec<String> {
    let shown = CONNECTOR_KEYS.iter().filter_map(|(keys, show)| {
        let text = keys.iter().find_map(|key| detail(block, key, *show))?;
        Some(text).filter(|text| !text.is_empty())
    });
    shown.take(DETAILS_MAX).collect()
}

fn detail(block: &Setting, key: &str, show: Show) -> Option<String> {
    let node = block.get(key)?;
    let text = match show {
        Show::Plain => words(node)?,
        Show::Table => {
            let parts = ["catalog", "schema", "namespace"].iter().filter_map(|key| {
                let text = block.get(key)?.scalar_text()?;
                Some(clean(&text)).filter(|text| !text.is_empty())
            });
            let table = words(node).filter(|table| !table.is_empty())?;
            parts.chain([table]).collect::<Vec<_>>().join(".")
        }
        Show::Path => return Some(shorten_start(&words(node)?, TEXT_CHARS_MAX)),
        Show::Url => each(node, |text| mask_url(text, true))?,
        Show::Interval => format!("every {}", words(node)?),
        Show::Seconds => format!("every {}s", words(node)?),
    };
    Some(shorten(&text, TEXT_CHARS_MAX))
}

/// Gives a scalar, the items of a list, or the keys of a map, whose values may be anything.
fn words(node: &Setting) -> Option<String> {
    each(node, |text| mask_url(text, false))
}

fn each(node: &Setting, show: impl Fn(&str) -> String) -> Option<String> {
    // Masking comes first: cleaning could glue together what tells a URL from other text.
    let show = |text: &str| clean(&show(text));
    // More than this is cut away later in any case.
    let few = TEXT_CHARS_MAX + 1;
    if let Some(entries) = node.map() {
        let keys: Vec<String> = entries.iter().take(few).map(|entry| show(&entry.key)).collect();
        return Some(keys.join(", "));
    }
    if let Some(items) = node.list() {
        let texts = items.iter().filter_map(Setting::scalar_text).take(few);
        return Some(texts.map(|text| show(&text)).collect::<Vec<_>>().join(", "));
    }
    node.scalar_text().map(|text| show(&text))
}

/// Segments of a URL's path that are at least this long and have digits and letters may be tokens.
const TOKEN_CHARS_MIN: usize = 20;

/// Hides what may be secret in a URL: user info, query, fragment, and segments that look like tokens.
///
/// Text without a scheme is treated like a URL only when `is_url`. Too much is hidden rather than too
/// little: everything up to the last `@` counts as user info.
fn mask_url(text: &str, is_url: bool) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None if is_url => ("", text),
        None => return text.to_owned(),
    };
    let (user, rest) = match rest.rfind('@') {
        Some(at) => ("***@", &rest[at + 1..]),
        None => ("", rest),
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let segments = rest[..end].split('/').map(|segment| {
        let has = |test: fn(&char) -> bool| segment.chars().any(|c| test(&c));
        let is_long = segment.chars().count() >= TOKEN_CHARS_MIN && !segment.contains('.');
        if is_long && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic) {
            "***"
        } else {
            segment
        }
    });
    format!("{scheme}{user}{}", segments.collect::<Vec<_>>().join("/"))
}

/// Gives a text on one line, without characters that a terminal or XML would not take as text.
pub(super) fn clean(text: &str) -> String {
    // More than this is never shown; what follows need not be looked at.
    const CHARS_MAX: usize = 512;
    let is_ignored = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
    };
    let mut line = String::new();
    for c in text.chars().take(CHARS_MAX) {
        if is_ignored(c) {
            continue;
        }
        if !c.is_control() && !c.is_whitespace() {
            line.push(c);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Gives at most `chars` characters, the last one an ellipsis when something is missing.
pub(super) fn shorten(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Gives at most `chars` characters, the first one an ellipsis when something is missing.
pub(super) fn shorten_start(text: &str, chars: usize) -> String {
    let count = text.chars().count();
    if count <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - chars.saturating_sub(1)).collect();
    format!("…{}", kept.trim_start())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn details(yaml: &str) -> Vec<String> {
        connector_details(&levada_registry::manifest::parse(yaml).unwrap()[0].root)
    }

    #[test]
    fn details_say_where_records_are() {
        assert_eq!(details("{topic: orders, brokers: [a]}"), ["orders"]);
        assert_eq!(
            details("{catalog: c, schema: s, table: t, pollInterval: 5}"),
            ["c.s.t", "every 5s"]
        );
        assert_eq!(details("{paths: [a.log, b.log]}"), ["a.log, b.log"]);
        assert_eq!(details("{collectors: [cpu, disk], interval: 10s}"), ["cpu, disk", "every 10s"]);
        assert_eq!(details("{collectors: {cpu: {token: x}}}"), ["cpu"]);
        assert_eq!(details("{topicSecretRef: {name: a, key: topic}, password: x}"), [""; 0]);
        let path = format!("{{path: /{}/end.ndjson}}", "long/".repeat(20));
        let shown = details(&path).remove(0);
        assert!(shown.starts_with('…') && shown.ends_with("/end.ndjson"), "{shown}");
        assert_eq!(shown.chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn urls_hide_what_may_be_secret() {
        let cases = [
            ("https://u:p@host/in", "https://***@host/in"),
            ("https://u:p/a?b@host:1/in?token=x#y", "https://***@host:1/in"),
            ("u:p@host:1", "***@host:1"),
            ("https://host/hook/T0123456789abcdefghij/x", "https://host/hook/***/x"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
        ];
        for (url, shown) in cases {
            assert_eq!(mask_url(url, true), shown);
        }
        assert_eq!(mask_url("user@example", false), "user@example");
        assert_eq!(details("{path: 's3://key:secret@bucket/x'}"), ["s3://***@bucket/x"]);
    }

    #[test]
    fn texts_are_clean_and_short() {
        assert_eq!(clean(" a\n\t b\u{1b}[31m\u{202e}c "), "a b [31mc");
        assert_eq!(shorten("abcd", 4), "abcd");
        assert_eq!(shorten("abc de", 5), "abc…");
        assert_eq!(shorten_start("abcde", 4), "…cde");
    }
}
