//! Filters as texts.
//!
//! [`canonical`] gives a text that is read back as the same tree: `{ a = 'x', b in [1, nil] }; { c = re('^x') }`.
//! [`upstream`] gives the text that upstream's logs show, which is for people: it joins elements by `and`, leaves
//! quotes inside of texts as they are and cuts floats to six places. Differs: `notin` has one spelling (B30).

use std::fmt::Write as _;

use super::ast::{Call, Kind, Literal, Node, Statements};
use super::token::{append_escaped, is_plain_name};

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Canonical,
    Upstream,
}

pub(super) fn canonical(statements: &Statements) -> String {
    let mut printer = Printer { out: String::new(), style: Style::Canonical };
    if statements.is_late {
        printer.out.push(';');
        if !statements.list.is_empty() {
            printer.out.push(' ');
        }
    }
    printer.statements(statements);
    printer.out
}

pub(super) fn upstream(statements: &Statements) -> String {
    let mut printer = Printer { out: String::new(), style: Style::Upstream };
    printer.statements(statements);
    printer.out
}

/// Gives the canonical text of the elements of one statement.
pub(super) fn statement(elements: &[Node]) -> String {
    let mut printer = Printer { out: String::new(), style: Style::Canonical };
    printer.statement(elements);
    printer.out
}

/// Gives the canonical text of a part.
pub(super) fn node(node: &Node) -> String {
    let mut printer = Printer { out: String::new(), style: Style::Canonical };
    printer.node(node);
    printer.out
}

/// Gives a text in single quotes with escapes.
pub(super) fn text(text: &str) -> String {
    let mut printer = Printer { out: String::new(), style: Style::Canonical };
    printer.text(text);
    printer.out
}

/// Gives a float so that it is read back as one.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    format!("{number:?}")
}

struct Printer {
    out: String,
    style: Style,
}

// === impl Printer ===

impl Printer {
    fn statements(&mut self, statements: &Statements) {
        for (index, elements) in statements.list.iter().enumerate() {
            if index > 0 {
                self.out.push_str("; ");
            }
            self.statement(elements);
        }
    }

    fn statement(&mut self, elements: &[Node]) {
        if elements.is_empty() {
            self.out.push_str("{}");
            return;
        }
        let separator = if self.style == Style::Canonical { ", " } else { " and " };
        self.out.push_str("{ ");
        self.joined(elements, separator);
        self.out.push_str(" }");
    }

    fn joined(&mut self, nodes: &[Node], separator: &str) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                self.out.push_str(separator);
            }
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Column(name) => self.name(name),
            Kind::Dotted(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        self.out.push('.');
                    }
                    self.name(part);
                }
            }
            Kind::Literal(literal) => self.literal(literal),
            Kind::Regex(pattern) => {
                self.out.push_str("re(");
                self.text(pattern);
                self.out.push(')');
            }
            Kind::Star => self.out.push('*'),
            Kind::Calls(calls) => self.calls(calls),
            Kind::Parentheses(inner) => {
                self.out.push('(');
                self.node(inner);
                self.out.push(')');
            }
            Kind::Chain(operator, operands) => {
                self.joined(operands, &format!(" {} ", operator.sign()));
            }
            Kind::Binary(operator, operands) => {
                self.joined(&operands[..], &format!(" {} ", operator.sign()));
            }
            Kind::List { operator, column, items, .. } => {
                self.node(column);
                self.out.push(' ');
                self.out.push_str(operator.sign());
                self.out.push_str(" [");
                self.joined(items, ", ");
                self.out.push(']');
            }
        }
    }

    fn calls(&mut self, calls: &[Call]) {
        for (index, call) in calls.iter().enumerate() {
            if index > 0 {
                self.out.push('.');
            }
            self.out.push_str(&call.name);
            self.out.push('(');
            self.joined(&call.arguments, ", ");
            self.out.push(')');
        }
    }

    fn name(&mut self, name: &str) {
        if is_plain_name(name) || self.style == Style::Upstream {
            self.out.push_str(name);
        } else if name.contains('`') {
            self.out.push_str("identifier(");
            self.text(name);
            self.out.push(')');
        } else {
            self.out.push('`');
            self.out.push_str(name);
            self.out.push('`');
        }
    }

    fn literal(&mut self, literal: &Literal) {
        let written = match literal {
            Literal::Nil => self.out.write_str("nil"),
            Literal::Bool(value) => write!(self.out, "{value}"),
            Literal::Int(number) => write!(self.out, "{number}"),
            Literal::UInt(number) if self.style == Style::Upstream => {
                write!(self.out, "{:.6}", *number as f64)
            }
            Literal::UInt(number) => write!(self.out, "{number}"),
            Literal::Float(number) if self.style == Style::Upstream => {
                write!(self.out, "{number:.6}")
            }
            Literal::Float(number) => self.out.write_str(&float(*number)),
            Literal::Str(text) => {
                self.text(text);
                Ok(())
            }
        };
        debug_assert!(written.is_ok(), "a string takes every text");
    }

    fn text(&mut self, text: &str) {
        self.out.push('\'');
        match self.style {
            Style::Canonical => {
                text.chars().for_each(|character| append_escaped(&mut self.out, character, '\''));
            }
            Style::Upstream => self.out.push_str(text),
        }
        self.out.push('\'');
    }
}
