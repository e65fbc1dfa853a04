//! Runs a script, statement by statement.

use levada_model::Str;

use super::error::{ScriptError, Warning};
use super::expand::{Budget, Expander, size_of};
use super::object::{CallError, Members, ObjectId, Objects};
use super::scope::{Scope, Size, TIME};
use super::value::{Type, Value};
use super::warn;
use crate::syntax::ast::Regex;
use crate::syntax::{Call, CallKind, Comment, Kind, Node, Operator, Position, format_node};
use crate::vars::{Var, Vars};

/// What a script is run with.
pub struct Options<'a> {
    /// The source: `stream` or `batch`, and its object.
    pub source: (&'a str, ObjectId),
    /// Values that replace the ones in the script; what it does not declare is ignored.
    pub vars: &'a Vars,
    /// A template is made: declared variables need no value.
    pub is_template: bool,
    /// Evaluates an expression without names, e.g. `2 * 1m`.
    pub fold: &'a dyn Fn(&Node) -> Result<Value, String>,
}

/// What a script declared.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The variables with the values that the script gives them, not those of [`Options::vars`].
    pub vars: Vars,
    /// What has no effect.
    pub warnings: Vec<Warning>,
}

/// Runs `program` on `objects`.
///
/// - Errors: with the texts of the original. What was built before the mistake stays in `objects`.
pub fn evaluate(
    program: &Node,
    objects: &mut dyn Objects,
    options: &Options<'_>,
) -> Result<Outcome, ScriptError> {
    let mut evaluation = Evaluation {
        objects,
        options,
        scope: Scope::default(),
        budget: Budget::new(),
        outcome: Outcome::default(),
    };
    let (name, object) = options.source;
    evaluation.scope.set(name.into(), Value::Object(object), Size::ONE);
    let Kind::Program(statements) = &program.kind else {
        evaluation.statement(program)?;
        return Ok(evaluation.finish());
    };
    for statement in statements {
        evaluation.statement(statement)?;
    }
    Ok(evaluation.finish())
}

struct Evaluation<'a> {
    objects: &'a mut dyn Objects,
    options: &'a Options<'a>,
    scope: Scope,
    budget: Budget,
    outcome: Outcome,
}

type Evaluated = Result<Value, ScriptError>;

// === impl Evaluation ===

impl Evaluation<'_> {
    fn finish(mut self) -> Outcome {
        for name in self.options.vars.keys() {
            if !self.outcome.vars.contains_key(name) {
                let message =
                    format!("variable `{name}` is given, but the script does not declare it");
                self.outcome.warnings.push(Warning { position: None, message });
            }
        }
        self.outcome
    }

    fn statement(&mut self, statement: &Node) -> Result<(), ScriptError> {
        self.outcome.warnings.extend(warn::of_statement(statement));
        match &statement.kind {
            Kind::Declaration { name, value } => self.declaration(statement, name, value),
            Kind::TypeDeclaration { name, type_name } => {
                self.type_declaration(statement, name, type_name)
            }
            // The task collects these; a name alone is not even looked up.
            Kind::Dbrp { .. } | Kind::Identifier(_) => Ok(()),
            _ => self.value(statement).map(drop),
        }
    }

    // --- variables ---

    fn declaration(
        &mut self,
        statement: &Node,
        name: &Node,
        value: &Node,
    ) -> Result<(), ScriptError> {
        let name = identifier(name);
        self.check_free(&name, statement.position)?;
        let (mut value, mut size) = self.sized(value)?;
        if let Some(declared) = value.basic_type() {
            let given = self.given(&name, declared, statement.position)?;
            self.record(statement, &name, declared, Some(value.clone()));
            if let Some(given) = given {
                size = size_of_value(&given);
                value = given;
            }
        }
        self.scope.set(name, value, size);
        Ok(())
    }

    fn type_declaration(
        &mut self,
        statement: &Node,
        name: &Node,
        type_name: &Node,
    ) -> Result<(), ScriptError> {
        let name = identifier(name);
        let word = identifier(type_name);
        self.check_free(&name, statement.position)?;
        let Some(declared) = Type::from_word(&word) else {
            let words = Type::ALL.map(Type::word).join(", ");
            return Err(ScriptError::bare(
                type_name.position,
                format!("invalid var type \"{word}\""),
            )
            .hint(Some(format!("types are {words}"))));
        };
        let value = match self.given(&name, declared, statement.position)? {
            Some(value) => value,
            None if self.options.is_template => zero(declared),
            None => {
                let text = format!("missing value for var \"{name}\".");
                return Err(ScriptError::bare(statement.position, text));
            }
        };
        self.record(statement, &name, declared, None);
        let size = size_of_value(&value);
        self.scope.set(name, value, size);
        Ok(())
    }

    fn check_free(&self, name: &str, position: Position) -> Result<(), ScriptError> {
        if self.scope.is_taken(name) {
            let text = format!("attempted to redefine {name}, vars are immutable");
            return Err(ScriptError::bare(position, text));
        }
        Ok(())
    }

    /// Gives the value from outside, if there is one of the right type.
    fn given(
        &self,
        name: &str,
        declared: Type,
        position: Position,
    ) -> Result<Option<Value>, ScriptError> {
        let Some(var) = self.options.vars.get(name) else { return Ok(None) };
        if var.kind != declared {
            let (got, expected) = (var.kind.shown(), declared.shown());
            let text = format!("invalid type supplied for {name}, got {got} exp {expected}");
            return Err(ScriptError::bare(position, text));
        }
        Ok(var.value.clone())
    }

    fn record(&mut self, statement: &Node, name: &Str, kind: Type, value: Option<Value>) {
        let description = statement.comment.as_deref().map(description).unwrap_or_default();
        let var = Var { kind, value, description };
        self.outcome.vars.insert(name.to_string(), var);
    }

    // --- values ---

    fn value(&mut self, node: &Node) -> Evaluated {
        self.sized(node).map(|(value, _)| value)
    }

    fn sized(&mut self, node: &Node) -> Result<(Value, Size), ScriptError> {
        let value = match &node.kind {
            Kind::Int { value, .. } => Value::Int(*value),
            Kind::Float(value) => Value::Float(*value),
            Kind::Duration { nanos, .. } => Value::Duration(*nanos),
            Kind::Bool(value) => Value::Bool(*value),
            Kind::String { value, .. } => Value::Str(value.clone()),
            Kind::Reference(name) => Value::Reference(name.clone()),
            Kind::Regex(regex) => Value::Regex(regex.clone()),
            Kind::Star => Value::Star,
            Kind::Identifier(name) => {
                let entry = self.scope.get(name, node.position)?.clone();
                self.budget.take(entry.size, node.position)?;
                return Ok((entry.value, entry.size));
            }
            Kind::Lambda(body) => {
                let expanded = self.expander().expand(body)?;
                return Ok((Value::Lambda(expanded.node.into()), expanded.size));
            }
            Kind::List(items) => {
                let mut size = Size::ONE;
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    let (value, part) = self.sized(item)?;
                    size.add(part);
                    values.push(value);
                }
                self.budget.take(Size { nodes: 1, ..size }, node.position)?;
                return Ok((Value::List(values), size));
            }
            Kind::Unary { operator, operand } => self.unary(node, *operator, operand)?,
            Kind::Binary { .. } => {
                let expanded = self.expander().expand(node)?;
                let folded = (self.options.fold)(&expanded.node);
                let value = folded.map_err(|text| ScriptError::bare(node.position, text))?;
                if let Value::Str(text) = &value {
                    self.budget.take_bytes(text.len(), node.position)?;
                }
                value
            }
            Kind::Call(call) => self.global(node, call)?,
            Kind::Chain { .. } => self.chain(node)?,
            Kind::Program(_)
            | Kind::Declaration { .. }
            | Kind::TypeDeclaration { .. }
            | Kind::Dbrp { .. } => {
                return Err(ScriptError::at(node.position, "a statement is not a value"));
            }
        };
        let size = size_of_value(&value);
        Ok((value, size))
    }

    fn expander(&mut self) -> Expander<'_> {
        Expander { scope: &self.scope, objects: self.objects, budget: &mut self.budget }
    }

    fn unary(&mut self, node: &Node, operator: Operator, operand: &Node) -> Evaluated {
        Ok(match (operator, self.value(operand)?) {
            (Operator::Minus, Value::Int(value)) => Value::Int(value.wrapping_neg()),
            (Operator::Minus, Value::Float(value)) => Value::Float(-value),
            (Operator::Minus, Value::Duration(nanos)) => Value::Duration(nanos.wrapping_neg()),
            (Operator::Not, Value::Bool(value)) => Value::Bool(!value),
            (operator, value) => {
                // The original spells it this way.
                let text = format!(
                    "invalid arugument to '{}' {}",
                    operator.text(),
                    self.shown(&value, operand)
                );
                return Err(ScriptError::at(node.position, text));
            }
        })
    }

    fn shown(&self, value: &Value, operand: &Node) -> String {
        match value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Str(value) => value.to_string(),
            Value::Regex(regex) => regex.pattern.to_string(),
            Value::Object(object) => self.objects.type_name(*object),
            Value::Nil => "<nil>".to_owned(),
            _ => format_node(operand).trim_end().to_owned(),
        }
    }

    // --- calls ---

    fn args(&mut self, call: &Call) -> Result<Vec<Value>, ScriptError> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.value(arg)?);
        }
        // A list alone stands for its elements.
        match <[Value; 1]>::try_from(args) {
            Ok([Value::List(items)]) => Ok(items),
            Ok([value]) => Ok(vec![value]),
            Err(args) => Ok(args),
        }
    }

    fn global(&mut self, node: &Node, call: &Call) -> Evaluated {
        let args = self.args(call)?;
        if &*call.name != TIME {
            let text = format!("no global function \"{}\" defined", call.name);
            return Err(ScriptError::at(node.position, text));
        }
        let duration = |value: &Value| match value {
            Value::Duration(nanos) => Ok(*nanos),
            other => Err(ScriptError::at(
                node.position,
                format!("error calling \"time\": got {} as type time.Duration", other.go_type()),
            )),
        };
        let (length, offset) = match &args[..] {
            [length] => (duration(length)?, 0),
            [length, offset] => (duration(length)?, duration(offset)?),
            _ => {
                let count = args.len();
                let text = format!("time() function expects 1 or 2 args, got {count}");
                return Err(ScriptError::bare(node.position, text));
            }
        };
        Ok(Value::TimeDimension { length, offset })
    }

    /// Runs a chain from its left end; it may be long, so it is walked, not recursed into.
    fn chain(&mut self, node: &Node) -> Evaluated {
        let mut steps = Vec::new();
        let mut first = node;
        while let Kind::Chain { left, right, operator } = &first.kind {
            steps.push((*operator, &**right));
            first = left;
        }
        let mut value = self.value(first)?;
        for (operator, right) in steps.into_iter().rev() {
            let Value::Object(object) = value else {
                return Err(ScriptError::at(
                    right.position,
                    "cannot get properties of non pointer value",
                ));
            };
            value = self.step(object, operator, right)?;
        }
        Ok(value)
    }

    fn step(&mut self, object: ObjectId, operator: Operator, right: &Node) -> Evaluated {
        let position = right.position;
        let (name, call) = match &right.kind {
            Kind::Call(call) => (&call.name, Some(call)),
            Kind::Identifier(name) => (name, None),
            _ => return Err(ScriptError::at(position, "a call or a name must follow here")),
        };
        if operator == Operator::Dot && call.is_none() {
            return self.objects.read(object, name).ok_or_else(|| {
                let owner = self.objects.type_name(object);
                ScriptError::at(position, format!("object {owner} has no property {name}"))
            });
        }
        let args = call.map(|call| self.args(call)).transpose()?;
        let members = self.objects.members(object, name);
        let kind = match operator {
            Operator::Pipe => CallKind::Chain,
            Operator::Dot => CallKind::Property,
            _ => CallKind::Dynamic,
        };
        let owner = self.objects.type_name(object);
        if let Some(refusal) = refusal(kind, members, name, &owner) {
            return Err(ScriptError::at(position, refusal));
        }
        self.objects.locate(position);
        let called = match kind {
            CallKind::Chain => self.objects.chain(object, name, args.unwrap_or_default()),
            CallKind::Property => self.objects.property(object, name, args.unwrap_or_default()),
            CallKind::Dynamic | CallKind::Global => self.objects.dynamic(object, name, args),
        };
        called.map(Value::Object).map_err(|error| call_error(error, position, name, &owner))
    }
}

/// Says why `name` cannot be reached by the operator that was used, if so.
fn refusal(kind: CallKind, members: Members, name: &str, owner: &str) -> Option<String> {
    let property = (members.property, "property", '.');
    let chain = (members.chain, "chaining method", '|');
    let dynamic = (members.dynamic, "dynamic method", '@');
    let (wanted, wanted_name, others) = match kind {
        CallKind::Chain => (members.chain, "chaining method", [property, dynamic]),
        CallKind::Property => (members.property, "property method", [chain, dynamic]),
        CallKind::Dynamic | CallKind::Global => {
            (members.dynamic, "dynamic method", [property, chain])
        }
    };
    if wanted {
        return None;
    }
    let other = others.into_iter().find(|(exists, ..)| *exists);
    Some(match other {
        Some((_, other_name, operator)) => format!(
            "no {wanted_name} \"{name}\" on {owner}, but {other_name} does exist. Use '{operator}' operator instead: 'node{operator}{name}(..)'."
        ),
        None => format!("no method or property \"{name}\" on {owner}"),
    })
}

fn call_error(error: CallError, position: Position, name: &str, owner: &str) -> ScriptError {
    match error {
        CallError::TooManyForField(field) => ScriptError::at(
            position,
            format!("too many arguments to set property {field} on {owner}"),
        ),
        CallError::ReferenceForString => ScriptError::at(
            position,
            "cannot assign *ast.ReferenceNode to type string, did you use double quotes instead of single quotes?",
        ),
        CallError::Call(text) => ScriptError::at(
            position,
            format!("error calling func \"{name}\" on obj {owner}: {text}"),
        ),
        CallError::Message(text) => ScriptError::at(position, text),
        CallError::Bare(text) => ScriptError::bare(position, text),
    }
}

fn identifier(node: &Node) -> Str {
    match &node.kind {
        Kind::Identifier(name) => name.clone(),
        _ => "".into(),
    }
}

/// What a declared variable holds while a template is made.
fn zero(kind: Type) -> Value {
    match kind {
        Type::Bool => Value::Bool(false),
        Type::Int => Value::Int(0),
        Type::Float => Value::Float(0.0),
        Type::String => Value::Str("".into()),
        Type::Duration => Value::Duration(0),
        Type::List => Value::List(Vec::new()),
        Type::Star => Value::Star,
        // An empty pattern compiles wherever a pattern may stand.
        Type::Regex => Regex::compile("").map_or(Value::Nil, |regex| Value::Regex(regex.into())),
        Type::Lambda => Value::Nil,
    }
}

fn size_of_value(value: &Value) -> Size {
    match value {
        Value::Lambda(body) => size_of(body),
        Value::List(items) => {
            let mut size = Size::ONE;
            items.iter().for_each(|item| size.add(size_of_value(item)));
            size
        }
        _ => Size::ONE,
    }
}

/// Gives the text above a declaration as the description of its variable.
fn description(comment: &Comment) -> Str {
    let lines: Vec<&str> = comment
        .lines
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n").into()
}
