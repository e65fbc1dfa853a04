//! A template, ready to be rendered.

use crate::error::{ExecError, ParseError};
use crate::exec;
use crate::functions::{CustomFunction, JSON_FUNCTIONS};
use crate::go::time::Zone;
use crate::html;
use crate::parse;
use crate::tree::Node;
use crate::uses::{self, Uses};
use crate::value::Value;

/// A parsed template.
///
/// ```
/// use levada_template::{Template, Value};
///
/// let template = Template::text("message", "{{ . | printf \"%0.2f\" }} is high")?;
/// let mut out = String::new();
/// template.execute(&Value::Float(1.5), &mut out)?;
/// assert_eq!(out, "1.50 is high");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The template itself, then those that it names.
    pub(crate) bodies: Vec<Body>,
    pub(crate) functions: &'static [CustomFunction],
    pub(crate) local: Zone,
    uses: Uses,
}

/// The nodes under one name.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
}

/// How a template is parsed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Functions besides the built-in ones, e.g. [`JSON_FUNCTIONS`].
    pub functions: &'static [CustomFunction],
    /// Whether values are escaped for their place in HTML.
    pub html: bool,
    /// What `.Local` of times means.
    pub local: Zone,
}

impl Template {
    /// Parses a text template with the built-in functions.
    ///
    /// - Errors: the texts of Go, e.g. `template: id:1: unclosed action`.
    pub fn text(name: &str, text: &str) -> Result<Self, ParseError> {
        Self::parse(name, text, &Options::default())
    }

    /// Parses an HTML template with the built-in functions and [`JSON_FUNCTIONS`].
    ///
    /// - Errors: as [`text`](Template::text), and those of contexts.
    pub fn html(name: &str, text: &str) -> Result<Self, ParseError> {
        let options = Options { functions: JSON_FUNCTIONS, html: true, local: Zone::Utc };
        Self::parse(name, text, &options)
    }

    /// Parses a template.
    ///
    /// - Errors: as [`text`](Template::text); upstream tells errors of contexts only when it renders.
    pub fn parse(name: &str, text: &str, options: &Options) -> Result<Self, ParseError> {
        let parsed = parse::parse(name, text, options.functions)?;
        let main = Body { name: name.to_owned(), nodes: parsed.main };
        let defined = parsed.defined.into_iter().map(|(name, nodes)| Body { name, nodes });
        let mut bodies: Vec<Body> = std::iter::once(main).chain(defined).collect();
        let uses = uses::of(&bodies);
        if options.html {
            bodies = html::escape::escape(name, text, bodies)?;
        } else {
            link(&mut bodies);
        }
        Ok(Template {
            name: name.to_owned(),
            text: text.to_owned(),
            bodies,
            functions: options.functions,
            local: options.local.clone(),
            uses,
        })
    }

    /// Renders the template; what was written before an error stays in `out`.
    ///
    /// - Errors: `template: id:1:3: executing "id" at <.Foo>: can't evaluate field Foo in type
    ///   kapacitor.idInfo`, and the bounds of [`bounds`](crate::bounds).
    pub fn execute<'a>(&'a self, data: &Value<'a>, out: &mut String) -> Result<(), ExecError> {
        exec::execute(self, data, out)
    }

    /// Gives the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the text.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Gives the fields of the data that the template can read, sorted; nothing when it takes the
    /// data as a whole.
    pub fn fields_used(&self) -> Option<&[String]> {
        self.uses.fields()
    }

    /// Says whether the output depends on nothing but these fields, so that one rendering serves as
    /// long as they stay the same.
    pub fn is_constant_of(&self, fields: &[&str]) -> bool {
        self.uses
            .fields()
            .is_some_and(|used| used.iter().all(|name| fields.contains(&name.as_str())))
    }
}

/// Gives the calls of named templates their targets.
fn link(bodies: &mut [Body]) {
    let names: Vec<String> = bodies.iter().map(|body| body.name.clone()).collect();
    for body in bodies {
        uses::each_node_mut(&mut body.nodes, &mut |node| {
            if let Node::Template { name, target, .. } = node {
                // A definition under the name of the template itself was put in its place.
                *target = names.iter().position(|known| known == name);
            }
        });
    }
}
