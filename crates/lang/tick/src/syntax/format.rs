//! Trees to text.
//!
//! ```text
//! // about x
//! var x = stream
//!     |from()
//!         .measurement('cpu')
//!
//! x
//!     |alert()
//!         .crit(lambda: "usage_idle" < 10)
//! ```
//!
//! Formatting what was formatted changes nothing, so every choice here must be one that reading it again makes again:
//! what spans lines in the output is laid out as if it had spanned lines in the input.

use super::ast::{Call, Comment, Kind, Node, Operator};
use super::duration::format_duration;
use super::error::ParseError;
use super::parser::parse;

/// Lays out a script.
pub fn format(text: &str) -> Result<String, ParseError> {
    parse(text).map(|program| format_node(&program))
}

/// Writes a tree; a program ends with a newline, everything else does not.
pub fn format_node(node: &Node) -> String {
    let mut writer = Writer { out: String::new(), in_lambda: false, guarded: Vec::new() };
    match &node.kind {
        Kind::Program(statements) => writer.program(node, statements),
        _ => writer.node(node, 0),
    }
    writer.out
}

/// Writes what stands behind `lambda:`, so that [`parse_lambda`](super::parse_lambda) reads it.
pub fn format_lambda(body: &Node) -> String {
    let mut writer = Writer { out: String::new(), in_lambda: true, guarded: Vec::new() };
    writer.node(body, 0);
    writer.out
}

/// Spaces per level; properties of a node stand two levels deep.
const INDENT: usize = 4;

struct Writer {
    out: String,
    in_lambda: bool,
    /// Operands that need parentheses because of the operator behind them.
    guarded: Vec<*const Node>,
}

// === impl Writer ===

impl Writer {
    fn program(&mut self, program: &Node, statements: &[Node]) {
        let mut previous: Option<&Node> = None;
        for statement in statements {
            if let Some(previous) = previous {
                self.out.push_str("\n\n");
                self.statement(statement, Some(previous));
            } else {
                self.statement(statement, None);
            }
            previous = Some(statement);
        }
        if let Some(comment) = &program.comment {
            if previous.is_some() {
                self.out.push_str("\n\n");
            }
            self.comment(Some(comment), 0);
        }
        let length = self.out.trim_end().len();
        self.out.truncate(length);
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn statement(&mut self, statement: &Node, previous: Option<&Node>) {
        let first = first_operand(statement);
        let joins = previous.is_some_and(|previous| match &first.kind {
            // Behind an operand these would be read as operators.
            Kind::Star | Kind::Regex(_) => !leads_with_comment(statement),
            Kind::Unary { operator: Operator::Minus, .. } => is_open(previous),
            _ => false,
        });
        self.expression(statement, 0, joins);
    }

    fn node(&mut self, node: &Node, indent: usize) {
        self.expression(node, indent, false);
    }

    /// Writes a node; with `parens` its first operand stands in parentheses.
    fn expression(&mut self, node: &Node, indent: usize, parens: bool) {
        match &node.kind {
            Kind::Binary { .. } => self.binary(node, indent, parens),
            Kind::Chain { .. } => self.chain(node, indent, parens),
            _ => {
                self.comment(node.comment.as_deref(), indent);
                self.bare(node, indent, parens);
            }
        }
    }

    /// Writes a node without its comment.
    fn bare(&mut self, node: &Node, indent: usize, parens: bool) {
        let parens = self.is_guarded(node) || parens;
        if parens {
            self.out.push('(');
        }
        match &node.kind {
            Kind::Declaration { name, value } => self.declaration(name, value, indent),
            Kind::TypeDeclaration { name, type_name } => {
                self.comment(name.comment.as_deref(), indent);
                self.comment(type_name.comment.as_deref(), indent);
                self.out.push_str("var ");
                self.bare(name, indent, false);
                self.out.push(' ');
                self.bare(type_name, indent, false);
            }
            Kind::Dbrp { database, retention } => {
                self.out.push_str("dbrp ");
                self.quoted(database, '"');
                self.out.push('.');
                self.quoted(retention, '"');
            }
            Kind::Call(call) => self.call(call, indent),
            Kind::Lambda(body) => self.lambda(body, indent),
            Kind::List(items) => self.list(items, indent),
            Kind::Unary { operator, operand } => {
                self.out.push_str(operator.text());
                self.node(operand, indent);
            }
            Kind::Int { value, is_octal: true } => self.out.push_str(&format!("0{value:o}")),
            Kind::Int { value, .. } => self.out.push_str(&value.to_string()),
            Kind::Float(value) => {
                let written = value.to_string();
                self.out.push_str(&written);
                if !written.contains('.') {
                    self.out.push_str(".0");
                }
            }
            Kind::Duration { nanos, literal } if literal.is_empty() => {
                self.out.push_str(&format_duration(*nanos));
            }
            Kind::Duration { literal, .. } => self.out.push_str(literal),
            Kind::Bool(value) => self.out.push_str(if *value { "TRUE" } else { "FALSE" }),
            Kind::String { value, is_triple } => self.string(value, *is_triple),
            Kind::Reference(name) => self.quoted(name, '"'),
            Kind::Regex(regex) if regex.pattern.is_empty() => self.out.push_str("/(?:)/"),
            Kind::Regex(regex) => self.quoted(&regex.pattern, '/'),
            Kind::Star => self.out.push('*'),
            Kind::Identifier(name) => self.out.push_str(name),
            Kind::Program(_) | Kind::Binary { .. } | Kind::Chain { .. } => {
                self.out.push_str(&format_node(node));
            }
        }
        if parens {
            self.out.push(')');
        }
    }

    fn declaration(&mut self, name: &Node, value: &Node, indent: usize) {
        self.comment(name.comment.as_deref(), indent);
        self.out.push_str("var ");
        self.bare(name, indent, false);
        self.out.push_str(" = ");
        let inner = if leads_with_comment(value) { indent + INDENT } else { indent };
        self.node(value, inner);
    }

    fn lambda(&mut self, body: &Node, indent: usize) {
        if self.in_lambda {
            // A lambda that a variable brought in; only parentheses can be read there.
            self.out.push('(');
            self.node(body, indent);
            self.out.push(')');
            return;
        }
        self.out.push_str("lambda: ");
        // Right behind the colon these would be read as operators.
        let parens = matches!(first_operand(body).kind, Kind::Star | Kind::Regex(_))
            && !leads_with_comment(body);
        self.in_lambda = true;
        self.expression(body, indent, parens);
        self.in_lambda = false;
    }

    fn chain(&mut self, node: &Node, indent: usize, parens: bool) {
        let mut steps = Vec::new();
        let mut first = node;
        while let Kind::Chain { operator, left, right } = &first.kind {
            steps.push((*operator, first, &**right));
            first = left;
        }
        self.expression(first, indent, parens);
        for (operator, chain, right) in steps.into_iter().rev() {
            let levels = if operator == Operator::Dot { 2 } else { 1 };
            let indent = indent + levels * INDENT;
            self.new_line(indent);
            self.comment(chain.comment.as_deref(), indent);
            self.comment(right.comment.as_deref(), indent);
            self.out.push_str(operator.text());
            self.bare(right, indent, false);
        }
    }

    fn binary(&mut self, node: &Node, indent: usize, parens: bool) {
        let mut row = Vec::new();
        let mut first = node;
        while let Kind::Binary { left, .. } = &first.kind {
            row.push(first);
            first = left;
        }
        // What is said inside of the row is said before it.
        if !matches!(first.kind, Kind::Chain { .. }) {
            self.comment(first.comment.as_deref(), indent);
        }
        for binary in row.iter().rev() {
            self.comment(binary.comment.as_deref(), indent);
        }
        for binary in &row {
            if let Kind::Binary { in_parens: true, .. } = binary.kind {
                self.out.push('(');
            }
        }
        self.guard(first, &row);
        match &first.kind {
            Kind::Chain { .. } => self.chain(first, indent, false),
            _ => self.bare(first, indent, parens),
        }
        for binary in row.into_iter().rev() {
            let Kind::Binary { operator, right, in_parens, is_multi_line, .. } = &binary.kind
            else {
                continue;
            };
            self.out.push(' ');
            self.out.push_str(operator.text());
            if *is_multi_line || leads_with_comment(right) {
                self.new_line(indent + INDENT);
                self.node(right, indent + INDENT);
            } else {
                self.out.push(' ');
                self.node(right, indent);
            }
            if *in_parens {
                self.out.push(')');
            }
        }
    }

    /// Notes the operands of a row that need parentheses: behind a star or a pattern only some operators are read.
    fn guard(&mut self, first: &Node, row: &[&Node]) {
        let mut before = Some(first);
        for binary in row.iter().rev() {
            let Kind::Binary { operator, right, in_parens, .. } = &binary.kind else { continue };
            let is_read = matches!(operator, Operator::And | Operator::Or | Operator::Minus);
            let last = before.map(last_operand).filter(|_| !is_read);
            self.guarded.extend(
                last.filter(|last| matches!(last.kind, Kind::Star | Kind::Regex(_)))
                    .map(std::ptr::from_ref),
            );
            before = Some(&**right).filter(|_| !in_parens);
        }
    }

    fn is_guarded(&mut self, node: &Node) -> bool {
        let found = self.guarded.iter().position(|guarded| std::ptr::eq(*guarded, node));
        found.map(|index| self.guarded.swap_remove(index)).is_some()
    }

    fn call(&mut self, call: &Call, indent: usize) {
        self.out.push_str(&call.name);
        self.out.push('(');
        let is_multi_line =
            !call.args.is_empty() && (call.is_multi_line || call.args.iter().any(spans_lines));
        let inner = if is_multi_line { indent + INDENT } else { indent };
        for (index, arg) in call.args.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            if is_multi_line {
                self.new_line(inner);
            } else if index > 0 {
                self.out.push(' ');
            }
            self.node(arg, inner);
        }
        if is_multi_line {
            self.new_line(indent);
        }
        self.out.push(')');
    }

    fn list(&mut self, items: &[Node], indent: usize) {
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            self.node(item, indent + INDENT);
        }
        self.out.push(']');
    }

    fn string(&mut self, value: &str, is_triple: bool) {
        // A backslash at the end would keep the closing quote inside.
        let fits_triple = !value.contains("'''") && !value.ends_with('\'');
        if (is_triple || value.ends_with('\\')) && fits_triple {
            self.out.push_str("'''");
            self.out.push_str(value);
            self.out.push_str("'''");
        } else {
            self.quoted(value, '\'');
        }
    }

    fn quoted(&mut self, value: &str, quote: char) {
        self.out.push(quote);
        for c in value.chars() {
            if c == quote {
                self.out.push('\\');
            }
            self.out.push(c);
        }
        self.out.push(quote);
    }

    /// Writes a comment on lines of its own and goes to the line below.
    fn comment(&mut self, comment: Option<&Comment>, indent: usize) {
        let Some(comment) = comment else { return };
        let line_start = self.out.rfind('\n').map_or(0, |newline| newline + 1);
        if !self.out[line_start..].trim().is_empty() {
            self.new_line(indent);
        }
        for line in &comment.lines {
            if &**line != Comment::BLOCK_END {
                self.out.push_str("//");
                if !line.is_empty() && !line.starts_with(char::is_whitespace) {
                    self.out.push(' ');
                }
                self.out.push_str(line);
            }
            self.new_line(indent);
        }
    }

    /// Ends the line; nothing but the text of strings ends in spaces.
    fn new_line(&mut self, indent: usize) {
        let length = self.out.trim_end_matches(' ').len();
        self.out.truncate(length);
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Gives the operand that stands first in the text of a node.
fn first_operand(node: &Node) -> &Node {
    let mut node = node;
    loop {
        node = match &node.kind {
            Kind::Binary { left, in_parens: false, .. } | Kind::Chain { left, .. } => left,
            _ => return node,
        };
    }
}

/// Gives the operand that stands last in the text of a node.
fn last_operand(node: &Node) -> &Node {
    let mut node = node;
    loop {
        node = match &node.kind {
            Kind::Binary { right, in_parens: false, .. } => right,
            Kind::Unary { operand, .. } => operand,
            _ => return node,
        };
    }
}

/// Says whether the text of a node begins with a comment.
fn leads_with_comment(node: &Node) -> bool {
    let mut node = node;
    loop {
        node = match &node.kind {
            Kind::Binary { .. } if node.comment.is_some() => return true,
            Kind::Binary { left, .. } | Kind::Chain { left, .. } => left,
            _ => return node.comment.is_some(),
        };
    }
}

/// Says whether an operator behind a statement would go on with it.
fn is_open(statement: &Node) -> bool {
    match &statement.kind {
        Kind::Declaration { value, .. } => is_open(value),
        Kind::Chain { .. }
        | Kind::List(_)
        | Kind::Dbrp { .. }
        | Kind::TypeDeclaration { .. }
        | Kind::Program(_) => false,
        _ => true,
    }
}

/// Says whether the text of a node has more than one line.
fn spans_lines(node: &Node) -> bool {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        let spans = node.comment.is_some()
            || match &node.kind {
                Kind::Chain { .. } => true,
                Kind::Binary { is_multi_line, .. } => *is_multi_line,
                Kind::Call(call) => call.is_multi_line && !call.args.is_empty(),
                Kind::String { value: text, .. } | Kind::Reference(text) => text.contains('\n'),
                Kind::Regex(regex) => regex.pattern.contains('\n'),
                _ => false,
            };
        if spans {
            return true;
        }
        node.each_child(|child| waiting.push(child));
    }
    false
}

#[cfg(test)]
mod tests;
