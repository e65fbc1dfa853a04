//! Turns items into trees, with the error texts of Go.

use crate::bounds::{NESTING_MAX, TEXT_MAX};
use crate::error::ParseError;
use crate::functions::{self, CustomFunction};
use crate::go::quote;
use crate::lex::{Item, Keyword, Kind, lex};
use crate::number;
use crate::tree::{Branch, Command, Function, FunctionRef, Node, Operand, OperandKind, Pipe};

/// The trees of a text.
pub(crate) struct Parsed {
    pub(crate) main: Vec<Node>,
    /// What `define` and `block` name, in their order.
    pub(crate) defined: Vec<(String, Vec<Node>)>,
}

/// Parses a text.
pub(crate) fn parse(
    name: &str,
    text: &str,
    custom: &'static [CustomFunction],
) -> Result<Parsed, ParseError> {
    if text.len() > TEXT_MAX {
        return Err(ParseError::Syntax {
            name: name.to_owned(),
            line: 1,
            message: format!("template has {} bytes, at most {TEXT_MAX} are allowed", text.len()),
        });
    }
    let mut parser = Parser {
        name,
        custom,
        items: lex(text),
        next: 0,
        line: 1,
        action_line: 0,
        variables: vec![String::from("$")],
        range_depth: 0,
        nesting: 0,
        defined: Vec::new(),
    };
    let main = parser.top()?;
    let mut main = main;
    // A definition under the name of the template itself takes its place, unless there is a text.
    if let Some(at) = parser.defined.iter().position(|(known, _)| known == name) {
        let (_, body) = parser.defined.remove(at);
        if is_blank(&main) {
            main = body;
        } else if !is_blank(&body) {
            return parser.defined_twice(name);
        }
    }
    let defined = parser.defined;
    Ok(Parsed { main, defined })
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

struct Parser<'p> {
    name: &'p str,
    custom: &'static [CustomFunction],
    items: Vec<Item>,
    next: usize,
    /// The line of the farthest item that was looked at.
    line: usize,
    action_line: usize,
    variables: Vec<String>,
    range_depth: usize,
    nesting: usize,
    defined: Vec<(String, Vec<Node>)>,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

enum Parsing {
    Node(Node),
    Ending(Ending),
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

impl Parser<'_> {
    // Items

    fn peek(&mut self) -> Item {
        // Past the last item, which is the end or an error, there is only that again.
        let item = self.items[self.next.min(self.items.len() - 1)].clone();
        self.line = self.line.max(item.line);
        item
    }

    fn take(&mut self) -> Item {
        let item = self.peek();
        self.next += 1;
        item
    }

    fn skip_space(&mut self) {
        while self.kind() == Kind::Space {
            self.next += 1;
        }
    }

    fn kind(&self) -> Kind {
        self.items[self.next.min(self.items.len() - 1)].kind
    }

    fn peek_non_space(&mut self) -> Item {
        self.skip_space();
        self.peek()
    }

    fn take_non_space(&mut self) -> Item {
        self.skip_space();
        self.take()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(ParseError::Syntax {
            name: self.name.to_owned(),
            line: self.line,
            message: message.into(),
        })
    }

    fn unexpected<T>(&mut self, item: &Item, context: &str) -> Result<T> {
        if item.kind != Kind::Error {
            return self.fail(format!("unexpected {} in {context}", shown(item)));
        }
        let mut message = item.text.clone();
        if self.action_line != 0 && self.action_line != item.line {
            let action = if message.ends_with(" action") { "" } else { " in action" };
            message.push_str(&format!("{action} started at {}:{}", self.name, self.action_line));
        }
        self.fail(message)
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Item> {
        let item = self.take_non_space();
        if item.kind == kind { Ok(item) } else { self.unexpected(&item, context) }
    }

    // Blocks

    fn top(&mut self) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.kind() != Kind::Eof {
            if self.kind() == Kind::LeftDelim {
                let start = self.next;
                self.next += 1;
                self.skip_space();
                if self.kind() == Kind::Keyword(Keyword::Define) {
                    self.action_line = self.items[start].line;
                    self.next += 1;
                    self.definition()?;
                    continue;
                }
                self.next = start;
            }
            match self.text_or_action()? {
                Parsing::Node(node) => nodes.push(node),
                Parsing::Ending(ending) => {
                    return self.fail(format!("unexpected {}", ending.text()));
                }
            }
        }
        Ok(nodes)
    }

    fn text_or_action(&mut self) -> Result<Parsing> {
        let item = self.take_non_space();
        match item.kind {
            Kind::Text => Ok(Parsing::Node(Node::Text(item.text))),
            Kind::LeftDelim => {
                self.action_line = item.line;
                let result = self.action();
                if result.is_ok() {
                    self.action_line = 0;
                }
                result
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    fn action(&mut self) -> Result<Parsing> {
        let item = self.peek_non_space();
        let Kind::Keyword(keyword) = item.kind else {
            let pipe = self.pipeline("command", Kind::RightDelim)?;
            return Ok(Parsing::Node(Node::Action { pipe }));
        };
        self.next += 1;
        Ok(match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break | Keyword::Continue => return self.jump(keyword, item.at),
            Keyword::Else => {
                let next = self.peek_non_space();
                // `else if` and `else with` go on with the block that follows.
                if !matches!(next.kind, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                Parsing::Ending(Ending::Else)
            }
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                Parsing::Ending(Ending::End)
            }
            Keyword::If => Parsing::Node(Node::If(self.control("if")?)),
            Keyword::With => Parsing::Node(Node::With(self.control("with")?)),
            Keyword::Range => Parsing::Node(Node::Range(self.control("range")?)),
            Keyword::Template => self.template()?,
            Keyword::Define => return self.unexpected(&item, "command"),
        })
    }

    fn jump(&mut self, keyword: Keyword, at: usize) -> Result<Parsing> {
        let (word, node) = match keyword {
            Keyword::Break => ("break", Node::Break { at }),
            _ => ("continue", Node::Continue { at }),
        };
        let item = self.take_non_space();
        if item.kind != Kind::RightDelim {
            return self.unexpected(&item, &format!("{{{{{word}}}}}"));
        }
        if self.range_depth == 0 {
            return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(Parsing::Node(node))
    }

    fn list(&mut self) -> Result<(Vec<Node>, Ending)> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Parsing::Node(node) => nodes.push(node),
                Parsing::Ending(ending) => return Ok((nodes, ending)),
            }
        }
        self.fail("unexpected EOF")
    }

    fn enter(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return self.fail(format!("template nests deeper than {NESTING_MAX}"));
        }
        Ok(())
    }

    fn control(&mut self, context: &'static str) -> Result<Branch> {
        self.enter()?;
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        self.range_depth += usize::from(context == "range");
        let (body, ending) = self.list()?;
        self.range_depth -= usize::from(context == "range");
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else => Some(self.otherwise(context)?),
        };
        self.variables.truncate(variables);
        self.nesting -= 1;
        Ok(Branch { at: pipe.at, pipe, body, otherwise })
    }

    fn otherwise(&mut self, context: &'static str) -> Result<Vec<Node>> {
        let next = self.peek();
        match (context, next.kind) {
            ("if", Kind::Keyword(Keyword::If)) => {
                self.next += 1;
                Ok(vec![Node::If(self.control("if")?)])
            }
            ("with", Kind::Keyword(Keyword::With)) => {
                self.next += 1;
                Ok(vec![Node::With(self.control("with")?)])
            }
            _ => {
                let (body, ending) = self.list()?;
                if ending != Ending::End {
                    return self.fail(format!("expected end; found {}", ending.text()));
                }
                Ok(body)
            }
        }
    }

    fn template(&mut self) -> Result<Parsing> {
        const CONTEXT: &str = "template clause";
        let name_item = self.take_non_space();
        let name = self.template_name(&name_item, CONTEXT)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.next += 1;
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        let node = Node::Template { at: name_item.at, name, pipe, target: None };
        Ok(Parsing::Node(node))
    }

    fn template_name(&mut self, item: &Item, context: &str) -> Result<String> {
        match item.kind {
            Kind::Str | Kind::RawString => self.unquote(&item.text),
            _ => self.unexpected(item, context),
        }
    }

    fn unquote(&self, literal: &str) -> Result<String> {
        match quote::unquote(literal) {
            Some(text) => Ok(text),
            None => self.fail("invalid syntax"),
        }
    }

    fn block(&mut self) -> Result<Parsing> {
        const CONTEXT: &str = "block clause";
        let name_item = self.take_non_space();
        let name = self.template_name(&name_item, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        self.body_of(name.clone(), CONTEXT)?;
        let node = Node::Template { at: name_item.at, name, pipe: Some(pipe), target: None };
        Ok(Parsing::Node(node))
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        let name_item = self.take_non_space();
        let name = self.template_name(&name_item, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.action_line = 0;
        self.body_of(name, CONTEXT)
    }

    /// Parses the body of a named template, which sees no variables from outside.
    fn body_of(&mut self, name: String, context: &str) -> Result<()> {
        self.enter()?;
        let variables = std::mem::replace(&mut self.variables, vec![String::from("$")]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (body, ending) = self.list()?;
        if ending != Ending::End {
            return self.fail(format!("unexpected {} in {context}", ending.text()));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        self.nesting -= 1;
        match self.defined.iter_mut().find(|(known, _)| *known == name) {
            None => self.defined.push((name, body)),
            Some((_, known)) if is_blank(known) => *known = body,
            Some(_) if is_blank(&body) => {}
            Some(_) => return self.defined_twice(&name),
        }
        Ok(())
    }

    fn defined_twice<T>(&self, name: &str) -> Result<T> {
        let mut quoted = String::new();
        quote::quote(&mut quoted, name, false);
        self.fail(format!("template: multiple definition of template {quoted}"))
    }

    // Pipelines

    fn pipeline(&mut self, context: &'static str, end: Kind) -> Result<Pipe> {
        let first = self.peek_non_space();
        let mut pipe = Pipe {
            at: first.at,
            declared: Vec::new(),
            assigns: false,
            commands: Vec::new(),
            escapes: Vec::new(),
        };
        self.declarations(context, &mut pipe)?;
        loop {
            let item = self.take_non_space();
            match item.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(&item, context),
            }
        }
    }

    fn declarations(&mut self, context: &'static str, pipe: &mut Pipe) -> Result<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let start = self.next;
            self.next += 1;
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.next += 1;
                    self.declare(variable.text, pipe);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next += 1;
                    self.declare(variable.text, pipe);
                    if context != "range" || pipe.declared.len() >= 2 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    let after = self.peek_non_space().kind;
                    if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => {
                    self.next = start;
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, name: String, pipe: &mut Pipe) {
        pipe.declared.push(name.clone());
        self.variables.push(name);
    }

    fn check_pipeline(&mut self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.args.first().map(|operand| &operand.kind),
                Some(
                    OperandKind::Bool(_)
                        | OperandKind::Dot
                        | OperandKind::Nil
                        | OperandKind::Number(_)
                        | OperandKind::Str { .. }
                )
            ) {
                let stage = index + 1;
                return self.fail(format!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command { at: self.peek_non_space().at, args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let item = self.take();
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if command.args.is_empty() {
            return self.fail("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(operand) = self.term()? else {
            return Ok(None);
        };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut names = Vec::new();
        while self.kind() == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        let at = first.at;
        let kind = match operand.kind {
            OperandKind::Field(mut before) => {
                before.append(&mut names);
                OperandKind::Field(before)
            }
            OperandKind::Variable(mut before) => {
                before.append(&mut names);
                OperandKind::Variable(before)
            }
            OperandKind::Bool(_)
            | OperandKind::Str { .. }
            | OperandKind::Number(_)
            | OperandKind::Nil
            | OperandKind::Dot => {
                let mut quoted = String::new();
                quote::quote(&mut quoted, &operand.to_string(), false);
                return self.fail(format!("unexpected . after term {quoted}"));
            }
            _ => OperandKind::Chain(Box::new(operand), names),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let item = self.take_non_space();
        let kind = match item.kind {
            Kind::Identifier => OperandKind::Function(self.function(item.text)?),
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.variables.contains(&item.text) {
                    let mut quoted = String::new();
                    quote::quote(&mut quoted, &item.text, false);
                    return self.fail(format!("undefined variable {quoted}"));
                }
                OperandKind::Variable(vec![item.text])
            }
            Kind::Field => OperandKind::Field(vec![item.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(item.text == "true"),
            Kind::CharConstant | Kind::Number => match number::parse(&item.text) {
                Ok(number) => OperandKind::Number(number),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                OperandKind::Pipe(Box::new(pipe))
            }
            Kind::Str | Kind::RawString => {
                let text = self.unquote(&item.text)?;
                OperandKind::Str { quoted: item.text, text }
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: item.at, kind }))
    }

    fn function(&self, name: String) -> Result<Function> {
        let custom = self.custom.iter().position(|function| function.name == name);
        let builtin = || functions::BUILTINS.iter().position(|function| function.name == name);
        let target = match custom.map(FunctionRef::Custom) {
            Some(target) => target,
            None => match builtin() {
                Some(at) => FunctionRef::Builtin(at),
                None => {
                    let mut quoted = String::new();
                    quote::quote(&mut quoted, &name, false);
                    return self.fail(format!("function {quoted} not defined"));
                }
            },
        };
        Ok(Function { name, target })
    }
}

/// Says whether a body has nothing but spaces.
fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

fn shown(item: &Item) -> String {
    let mut quoted = String::new();
    match item.kind {
        Kind::Eof => String::from("EOF"),
        Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", item.text),
        _ if item.text.len() > 10 => {
            let cut: String = item.text.chars().take(10).collect();
            quote::quote(&mut quoted, &cut, false);
            quoted + "..."
        }
        _ => {
            quote::quote(&mut quoted, &item.text, false);
            quoted
        }
    }
}
