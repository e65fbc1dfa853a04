//! The syntax tree of a template, and its text for error messages.

use std::fmt;

use crate::html::sites::Escape;

/// A piece of a template body.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Action { pipe: Pipe },
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: String, pipe: Option<Pipe>, target: Option<usize> },
    Break { at: usize },
    Continue { at: usize },
}

/// A pipeline and the bodies that it chooses between.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) at: usize,
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

/// Commands, each of which gets the result of the one before.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    pub(crate) declared: Vec<String>,
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
    /// What html templates do to the result.
    pub(crate) escapes: Vec<Escape>,
}

/// A function, method or value with arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) args: Vec<Operand>,
}

/// A value as written.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) kind: OperandKind,
}

#[derive(Clone, Debug)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Str {
        quoted: String,
        text: String,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`; the first is the name with its `$`.
    Variable(Vec<String>),
    /// `(pipe).A.B`
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
    Function(Function),
}

/// A number literal with everything that it can be.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
}

/// A function that is called: where it stands in its table.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) target: FunctionRef,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FunctionRef {
    Builtin(usize),
    Custom(usize),
}

// === impl Display ===

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.declared.iter().enumerate() {
            write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
        }
        if !self.declared.is_empty() {
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if index > 0 { " | " } else { "" })?;
        }
        for escape in &self.escapes {
            write!(f, " | {}", escape.name())?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            match &arg.kind {
                OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::Str { quoted, .. } => f.write_str(quoted),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Chain(inner, names) => {
                match &inner.kind {
                    OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{inner}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
            OperandKind::Function(function) => f.write_str(&function.name),
        }
    }
}
