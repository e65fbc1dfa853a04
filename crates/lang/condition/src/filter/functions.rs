//! Functions of strict mode: what DataKit takes for false, so that no text of its own changes its meaning.
//!
//! | function | true when |
//! |---|---|
//! | `not(condition)` | the condition is false |
//! | `exists(key)` | the point has the key: `key != nil` |
//! | `contains(key, 'text', …)` | the value is a text that holds one of the texts |
//! | `startswith(key, 'text', …)` | the value is a text that begins with one of the texts |
//! | `cidr(key, '10.0.0.0/8', …)` | the value is an address in one of the networks |

use super::ast::{Call, Kind, Literal, Node};
use super::clause::Rule;
use super::compile::Compiler;
use super::pattern::{AnyOf, Pattern};
use super::test::{Network, Test};
use super::token::quoted;

/// Compiles the call behind a name.
type Compile = fn(&mut Compiler<'_>, &Call) -> Result<Rule, Refusal>;

/// Where a call is wrong, if there is an argument to blame, and why.
struct Refusal {
    at: Option<usize>,
    message: String,
}

const FUNCTIONS: &[(&str, Compile)] = &[
    ("cidr", cidr),
    ("contains", contains),
    ("exists", exists),
    ("not", not),
    ("startswith", startswith),
];

pub(super) fn compile(compiler: &mut Compiler<'_>, at: usize, calls: &[Call]) -> Rule {
    let [call] = calls else { return compiler.refuse(at, &unknown(calls)) };
    let Some((_, compile)) = FUNCTIONS.iter().find(|(name, _)| **name == *call.name) else {
        return compiler.refuse(at, &unknown(calls));
    };
    match compile(compiler, call) {
        Ok(rule) => rule,
        Err(refusal) => compiler.refuse(refusal.at.unwrap_or(at), &refusal.message),
    }
}

pub(super) fn is_known(calls: &[Call]) -> bool {
    matches!(calls, [call] if FUNCTIONS.iter().any(|(name, _)| **name == *call.name))
}

/// Says that there is no such function.
pub(super) fn unknown(calls: &[Call]) -> String {
    let names: Vec<&str> = calls.iter().map(|call| &*call.name).collect();
    let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    format!("unknown function {}; known: {}", quoted(&names.join("."), 64), known.join(", "))
}

fn not(compiler: &mut Compiler<'_>, call: &Call) -> Result<Rule, Refusal> {
    match call.arguments.as_slice() {
        [condition] => Ok(Rule::Not(Box::new(compiler.condition(condition)))),
        _ => Err(Refusal { at: None, message: "not() takes one condition".into() }),
    }
}

fn exists(compiler: &mut Compiler<'_>, call: &Call) -> Result<Rule, Refusal> {
    match call.arguments.as_slice() {
        [Node { kind: Kind::Column(name), .. }] => {
            Ok(Rule::Test { key: compiler.key(name), is_negated: true, test: Test::Missing })
        }
        _ => Err(Refusal { at: None, message: "exists() takes one key".into() }),
    }
}

fn contains(compiler: &mut Compiler<'_>, call: &Call) -> Result<Rule, Refusal> {
    with_texts(compiler, call, |text| Ok(Pattern::contains(text)), found)
}

fn startswith(compiler: &mut Compiler<'_>, call: &Call) -> Result<Rule, Refusal> {
    with_texts(compiler, call, |text| Ok(Pattern::prefix(text)), found)
}

fn cidr(compiler: &mut Compiler<'_>, call: &Call) -> Result<Rule, Refusal> {
    let network = |text: &str| {
        Network::parse(text).ok_or_else(|| format!("no network: {}", quoted(text, 64)))
    };
    with_texts(compiler, call, network, |networks| Test::InNetwork(networks.into()))
}

fn found(patterns: Vec<Pattern>) -> Test {
    Test::Found(Box::new(AnyOf::of_texts(patterns)))
}

/// Compiles a call with a key and one text or more.
fn with_texts<T>(
    compiler: &mut Compiler<'_>,
    call: &Call,
    read: impl Fn(&str) -> Result<T, String>,
    test: impl FnOnce(Vec<T>) -> Test,
) -> Result<Rule, Refusal> {
    let wrong = |at| Refusal { at, message: format!("{}() takes a key and texts", call.name) };
    let [Node { kind: Kind::Column(name), .. }, texts @ ..] = call.arguments.as_slice() else {
        return Err(wrong(None));
    };
    if texts.is_empty() {
        return Err(wrong(None));
    }
    let mut values = Vec::with_capacity(texts.len());
    for node in texts {
        let Kind::Literal(Literal::Str(text)) = &node.kind else {
            return Err(wrong(Some(node.at)));
        };
        values.push(read(text).map_err(|message| Refusal { at: Some(node.at), message })?);
    }
    Ok(Rule::Test { key: compiler.key(name), is_negated: false, test: test(values) })
}
