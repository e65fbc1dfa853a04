//! Renders a body: blocks, ranges and templates within templates.

use smallvec::SmallVec;

use crate::bounds::{BYTES_PER_STEP, DEPTH_MAX, OUTPUT_MAX, STEPS_MAX};
use crate::error::ExecError;
use crate::go::{print, quote};
use crate::html::sites;
use crate::template::{Body, Template};
use crate::tree::{Branch, Command, Node, Operand, Pipe};
use crate::value::Value;

pub(crate) type Result<T> = std::result::Result<T, ExecError>;

/// Renders the first body of a template.
pub(crate) fn execute(template: &Template, data: &Value<'_>, out: &mut String) -> Result<()> {
    let start = out.len();
    let mut exec = Exec {
        template,
        body: &template.bodies[0],
        out,
        start,
        scratch: String::new(),
        variables: SmallVec::new(),
        base: 0,
        at: Site::Nowhere,
        depth: 0,
        dot_type: None,
        steps: 0,
    };
    exec.variables.push(("$", data.clone()));
    exec.list(&template.bodies[0].nodes, data)?;
    Ok(())
}

/// The state of one rendering.
pub(crate) struct Exec<'a, 'o> {
    pub(crate) template: &'a Template,
    body: &'a Body,
    out: &'o mut String,
    start: usize,
    scratch: String,
    pub(crate) variables: SmallVec<[(&'a str, Value<'a>); 4]>,
    /// Where the variables of this body begin.
    pub(crate) base: usize,
    /// What is being evaluated, for errors.
    pub(crate) at: Site<'a>,
    depth: usize,
    /// The Go type of the dot where it is an element of a container of `interface {}`.
    pub(crate) dot_type: Option<&'static str>,
    steps: usize,
}

/// A place in a template.
#[derive(Clone, Copy)]
pub(crate) enum Site<'a> {
    Nowhere,
    Pipe(&'a Pipe),
    Command(&'a Command),
    Operand(&'a Operand),
    Template { at: usize, name: &'a str, pipe: Option<&'a Pipe> },
}

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

// === impl Exec ===

impl<'a> Exec<'a, '_> {
    fn list(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    self.check_output(text.len())?;
                    Flow::Next
                }
                Node::Action { pipe, .. } => {
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.declared.is_empty() {
                        self.print(pipe, &value)?;
                    }
                    Flow::Next
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Template { at, name, pipe, target, .. } => {
                    self.at = Site::Template { at: *at, name, pipe: pipe.as_ref() };
                    self.call(dot, name, pipe.as_ref(), *target)?;
                    Flow::Next
                }
                Node::Break { .. } => Flow::Break,
                Node::Continue { .. } => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, pipe: &'a Pipe, value: &Value<'a>) -> Result<()> {
        let before = self.out.len();
        if pipe.escapes.is_empty() {
            match value {
                Value::Nil => self.out.push_str("<no value>"),
                value => print::value(self.out, value),
            }
        } else {
            self.scratch.clear();
            sites::escape(&pipe.escapes, value, &mut self.scratch, self.out);
        }
        self.check_output(self.out.len() - before)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value<'a>, with: bool) -> Result<Flow> {
        self.enter()?;
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.is_true() && with {
            let dot_type = self.dot_type.take();
            let flow = self.list(&branch.body, &value)?;
            self.dot_type = dot_type;
            flow
        } else if value.is_true() {
            self.list(&branch.body, dot)?
        } else {
            self.list(branch.otherwise.as_deref().unwrap_or_default(), dot)?
        };
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(flow)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow> {
        self.enter()?;
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let count = match &value {
            Value::Nil => 0,
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            number if number.as_int().is_some() || number.as_uint().is_some() => {
                if branch.pipe.declared.len() > 1 {
                    let mut shown = String::new();
                    print::value(&mut shown, number);
                    return self
                        .fail(format!("can't use {shown} to iterate over more than one variable"));
                }
                let unsigned = number.as_uint().and_then(|number| i64::try_from(number).ok());
                number.as_int().or(unsigned).unwrap_or(i64::MAX).max(0) as usize
            }
            other => {
                let mut shown = String::new();
                print::value(&mut shown, other);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let inner = self.variables.len();
        let mut flow = Flow::Next;
        let dot_type = std::mem::replace(&mut self.dot_type, element_type(&value));
        for index in 0..count {
            self.step()?;
            let (key, element) = item_of(&value, index);
            self.assign(&branch.pipe, inner, key, &element)?;
            flow = self.list(&branch.body, &element)?;
            self.variables.truncate(inner);
            if flow == Flow::Break {
                break;
            }
            flow = Flow::Next;
        }
        self.dot_type = dot_type;
        if count == 0 {
            self.variables.truncate(mark);
            flow = self.list(branch.otherwise.as_deref().unwrap_or_default(), dot)?;
        } else if flow == Flow::Break {
            flow = Flow::Next;
        }
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(flow)
    }

    /// Gives the variables of a range their values of this round.
    fn assign(
        &mut self,
        pipe: &'a Pipe,
        end: usize,
        key: Value<'a>,
        item: &Value<'a>,
    ) -> Result<()> {
        let names = &pipe.declared;
        let values = match names.len() {
            0 => return Ok(()),
            1 => [item.clone(), Value::Nil],
            _ => [key, item.clone()],
        };
        for (index, (name, value)) in names.iter().zip(values).enumerate() {
            if pipe.assigns {
                self.variable_set(name, value)?;
            } else {
                self.variables[end - names.len() + index].1 = value;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        dot: &Value<'a>,
        name: &'a str,
        pipe: Option<&'a Pipe>,
        target: Option<usize>,
    ) -> Result<()> {
        let Some(body) = target.and_then(|target| self.template.bodies.get(target)) else {
            let mut quoted = String::new();
            quote::quote(&mut quoted, name, false);
            return self.fail(format!("template {quoted} not defined"));
        };
        self.enter()?;
        let mark = self.variables.len();
        let inner_dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let base = std::mem::replace(&mut self.base, self.variables.len());
        let outer = std::mem::replace(&mut self.body, body);
        let dot_type = self.dot_type.take();
        self.variables.push(("$", inner_dot.clone()));
        self.list(&body.nodes, &inner_dot)?;
        self.variables.truncate(mark);
        self.base = base;
        self.body = outer;
        self.dot_type = dot_type;
        self.depth -= 1;
        Ok(())
    }

    // Bounds

    pub(crate) fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn step(&mut self) -> Result<()> {
        self.charge(0)
    }

    /// Counts a step that made so many bytes of text.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(1 + bytes / BYTES_PER_STEP);
        if self.steps > STEPS_MAX {
            return self.fail(format!("exceeded maximum work ({STEPS_MAX} steps)"));
        }
        Ok(())
    }

    /// Counts a value that was made.
    pub(crate) fn check_value(&mut self, value: &Value<'a>) -> Result<()> {
        match value {
            Value::Str(text) if text.len() > OUTPUT_MAX => {
                self.fail(format!("value is longer than {OUTPUT_MAX} bytes"))
            }
            Value::Str(text) => self.charge(text.len()),
            _ => Ok(()),
        }
    }

    fn check_output(&mut self, written: usize) -> Result<()> {
        if self.out.len() - self.start > OUTPUT_MAX {
            return self.fail(format!("output is longer than {OUTPUT_MAX} bytes"));
        }
        self.charge(written)
    }

    // Variables

    pub(crate) fn variable(&self, name: &str) -> Option<&Value<'a>> {
        let own = &self.variables[self.base..];
        own.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn variable_set(&mut self, name: &str, value: Value<'a>) -> Result<()> {
        let own = &mut self.variables[self.base..];
        match own.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                *known = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    // Errors

    /// Fails at the current place.
    pub(crate) fn fail<T>(&self, message: impl AsRef<str>) -> Result<T> {
        let (at, context) = match self.at {
            Site::Nowhere => {
                let name = &self.body.name;
                return Err(ExecError(format!("template: {name}: {}", message.as_ref())));
            }
            Site::Pipe(pipe) => (pipe.at, pipe.to_string()),
            Site::Command(command) => (command.at, command.to_string()),
            Site::Operand(operand) => (operand.at, operand.to_string()),
            Site::Template { at, name, pipe } => {
                let mut shown = String::from("{{template ");
                quote::quote(&mut shown, name, false);
                if let Some(pipe) = pipe {
                    shown.push_str(&format!(" {pipe}"));
                }
                (at, shown + "}}")
            }
        };
        let before = &self.template.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
        let mut name = String::new();
        quote::quote(&mut name, &self.body.name, false);
        Err(ExecError(format!(
            "template: {}:{line}:{column}: executing {name} at <{context}>: {}",
            self.template.name,
            message.as_ref(),
        )))
    }
}

/// Gives the Go type that elements of a container are known as, where it is not their own.
fn element_type(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Map(map) => Some(map.element_type()),
        Value::List(list) => list.type_name().strip_prefix("[]"),
        _ => None,
    }
}

/// Gives key and value of a round.
fn item_of<'a>(value: &Value<'a>, index: usize) -> (Value<'a>, Value<'a>) {
    match value {
        Value::List(list) => (Value::Int(index as i64), list.get(index).unwrap_or_default()),
        Value::Map(map) => {
            let (key, value) = map.entry(index);
            (Value::from(key), value)
        }
        number => {
            let count = index as i64;
            let item = match number {
                Value::Int64(_) => Value::Int64(count),
                Value::Duration(_) => Value::Duration(count),
                Value::Uint64(_) => Value::Uint64(index as u64),
                Value::Byte(_) => Value::Byte(index as u8),
                _ => Value::Int(count),
            };
            (item.clone(), item)
        }
    }
}
