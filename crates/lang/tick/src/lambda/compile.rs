//! From the syntax tree to the tree that evaluation walks over.

use levada_model::{Str, Timestamp};

use super::error::{CompileError, Fault};
use super::evaluator::Env;
use super::expression::{Binary, Call, Expression, Logic, NumberTest, TextTest};
use super::functions::{self, ARGS_MAX, Function};
use super::operators;
use super::print::print;
use super::program::{DEPTH_MAX, NODES_MAX, Names};
use super::state::Keeper;
use super::value::{Type, Value};
use crate::syntax::ast::{self, Kind, Node, Operator};

/// What a compilation collects.
pub(super) struct Compiler<'n> {
    names: Names<'n>,
    pub(super) references: Vec<Str>,
    pub(super) keepers: Vec<Keeper>,
    pub(super) uses_now: bool,
    pub(super) warnings: Vec<String>,
    /// The stateful functions of the lambda under work and where their state is: one per name and lambda.
    slots: Vec<(&'static str, u32)>,
    nodes: usize,
}

/// An expression, and its type when it is the same for every point.
///
/// Calls have none even when they were folded: the original does not look into them when a task starts.
struct Compiled {
    expression: Expression,
    constant: Option<Type>,
}

// === impl Compiler ===

impl<'n> Compiler<'n> {
    pub(super) fn new(names: Names<'n>) -> Self {
        Compiler {
            names,
            references: Vec::new(),
            keepers: Vec::new(),
            uses_now: false,
            warnings: Vec::new(),
            slots: Vec::new(),
            nodes: 0,
        }
    }

    /// Compiles the whole, and says whether it is an operator between two operands.
    pub(super) fn root(&mut self, node: &Node) -> Result<(Expression, bool), CompileError> {
        let compiled = self.node(node, 0)?;
        Ok((compiled.expression, is_operator(node)))
    }

    fn node(&mut self, node: &Node, depth: usize) -> Result<Compiled, CompileError> {
        if depth > DEPTH_MAX {
            return Err(CompileError::TooDeep(DEPTH_MAX));
        }
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(CompileError::TooLong(NODES_MAX));
        }
        let value = match &node.kind {
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int { value, .. } => Value::Int(*value),
            Kind::Float(value) => Value::Float(*value),
            Kind::Duration { nanos, .. } => Value::Duration(*nanos),
            Kind::String { value, .. } => Value::Str(Str::clone(value)),
            Kind::Regex(regex) => Value::Regex(regex.clone()),
            Kind::Reference(name) => return Ok(self.reference(name)),
            Kind::Identifier(name) => self.identifier(name)?,
            Kind::Lambda(inner) => {
                let outer = std::mem::take(&mut self.slots);
                let compiled = self.node(inner, depth + 1);
                self.slots = outer;
                return compiled;
            }
            Kind::Unary { operator, operand } => return self.unary(*operator, operand, depth),
            Kind::Binary { operator: Operator::And | Operator::Or, .. } => {
                return self.logic(node, depth);
            }
            Kind::Binary { operator, left, right, .. } => {
                return self.binary(*operator, left, right, depth);
            }
            Kind::Call(call) => return self.call(call, depth),
            Kind::Star => return Err(CompileError::NotAValue("`*`")),
            Kind::List(_) => return Err(CompileError::NotAValue("a list")),
            Kind::Chain { .. } => return Err(CompileError::NotAValue("a chain of nodes")),
            Kind::Program(_)
            | Kind::Declaration { .. }
            | Kind::TypeDeclaration { .. }
            | Kind::Dbrp { .. } => return Err(CompileError::NotAValue("a statement")),
        };
        Ok(Compiled { constant: Some(value.kind()), expression: Expression::Constant(value) })
    }

    fn identifier(&self, name: &Str) -> Result<Value, CompileError> {
        match self.names.constants.iter().find(|(known, _)| *known == &**name) {
            Some((_, value)) => Ok(Value::Int(*value)),
            None => Err(CompileError::Identifier(Str::clone(name))),
        }
    }

    fn reference(&mut self, name: &str) -> Compiled {
        let at = match self.references.iter().position(|known| &**known == name) {
            Some(at) => at,
            None => {
                self.references.push(name.into());
                self.references.len() - 1
            }
        };
        Compiled { expression: Expression::Reference(at as u32), constant: None }
    }

    fn unary(
        &mut self,
        operator: Operator,
        operand: &Node,
        depth: usize,
    ) -> Result<Compiled, CompileError> {
        let Compiled { expression, constant } = self.node(operand, depth + 1)?;
        if operator == Operator::Not {
            let expression = match expression {
                Expression::Constant(Value::Bool(value)) => {
                    Expression::Constant(Value::Bool(!value))
                }
                other => Expression::Not(Box::new(other), is_operator(operand)),
            };
            return Ok(Compiled { expression, constant: Some(Type::Bool) });
        }
        let expression = match expression {
            Expression::Constant(Value::Int(value)) => {
                Expression::Constant(Value::Int(value.wrapping_neg()))
            }
            Expression::Constant(Value::Float(value)) => Expression::Constant(Value::Float(-value)),
            Expression::Constant(Value::Duration(value)) => {
                Expression::Constant(Value::Duration(value.wrapping_neg()))
            }
            other => Expression::Negate(Box::new(other)),
        };
        // Of another type there is no result, which is said when it is evaluated.
        let constant =
            constant.filter(|known| matches!(known, Type::Int | Type::Float | Type::Duration));
        Ok(Compiled { expression, constant })
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Node,
        right: &Node,
        depth: usize,
    ) -> Result<Compiled, CompileError> {
        let left = self.node(left, depth + 1).map_err(|error| CompileError::Left(error.into()))?;
        let right =
            self.node(right, depth + 1).map_err(|error| CompileError::Right(error.into()))?;
        let checked = check(operator, left.constant, right.constant)?;
        let constant = if operators::is_comparison(operator) { Some(Type::Bool) } else { checked };
        let whole = Binary { operator, left: left.expression, right: right.expression };
        Ok(Compiled { expression: specialised(whole), constant })
    }

    /// Compiles a chain of one logical operator; it leans to the left and may be long, so it is no recursion.
    fn logic(&mut self, node: &Node, depth: usize) -> Result<Compiled, CompileError> {
        let mut first = node;
        let mut others: Vec<&Node> = Vec::new();
        let Kind::Binary { operator, .. } = &node.kind else {
            return Err(CompileError::NotAValue("a node"));
        };
        while let Kind::Binary { operator: inner, left, right, .. } = &first.kind
            && inner == operator
        {
            others.push(right);
            first = left;
        }
        // `others` begins with the outermost operand, which stands last.
        let levels = others.len();
        let start = self.node(first, depth + 1).map_err(|error| nested(error, levels))?;
        let mut left = start.constant;
        let mut is_boolean = left == Some(Type::Bool);
        let mut items = vec![start.expression];
        for (level, other) in others.iter().enumerate().rev() {
            let right = self
                .node(other, depth + 1)
                .map_err(|error| nested(CompileError::Right(error.into()), level))?;
            check(*operator, left, right.constant).map_err(|error| nested(error, level))?;
            is_boolean &= right.constant == Some(Type::Bool);
            left = Some(Type::Bool);
            items.push(right.expression);
        }
        let is_and = *operator == Operator::And;
        let bools: Option<Vec<bool>> = items
            .iter()
            .map(|item| match item {
                Expression::Constant(Value::Bool(value)) => Some(*value),
                _ => None,
            })
            .collect();
        let expression = match bools {
            Some(bools) => Expression::Constant(Value::Bool(if is_and {
                bools.iter().all(|value| *value)
            } else {
                bools.iter().any(|value| *value)
            })),
            None => Expression::Logic(Box::new(Logic { is_and, items: items.into(), is_boolean })),
        };
        Ok(Compiled { expression, constant: Some(Type::Bool) })
    }

    fn call(&mut self, call: &ast::Call, depth: usize) -> Result<Compiled, CompileError> {
        if call.args.is_empty() && self.names.functions.contains(&&*call.name) {
            return Ok(self.reference(&format!("{}()", call.name)));
        }
        let mut args = Vec::with_capacity(call.args.len());
        let mut types = Vec::with_capacity(call.args.len());
        for (index, arg) in call.args.iter().enumerate() {
            let compiled = self
                .node(arg, depth + 1)
                .map_err(|error| CompileError::Argument(index + 1, error.into()))?;
            types.push(compiled.constant);
            args.push(compiled.expression);
        }
        let function = functions::find(&call.name);
        let mut compiled = Call {
            function,
            name: Str::clone(&call.name),
            args: args.into(),
            texts: call.args.iter().map(print).collect(),
            slot: 0,
        };
        self.warn(&compiled, &types);
        if let Some(function) = function {
            self.uses_now |= function.name == "now";
            if let Some(keeper) = function.keeper() {
                compiled.slot = self.slot(function, keeper);
            }
        }
        let expression = match folded(&compiled) {
            Some(value) => Expression::Constant(value),
            None => Expression::Call(Box::new(compiled)),
        };
        Ok(Compiled { expression, constant: None })
    }

    fn slot(&mut self, function: &Function, keeper: Keeper) -> u32 {
        if let Some((_, slot)) = self.slots.iter().find(|(name, _)| *name == function.name) {
            return *slot;
        }
        let slot = self.keepers.len() as u32;
        self.keepers.push(keeper);
        self.slots.push((function.name, slot));
        slot
    }

    /// Notes a call that can never succeed.
    fn warn(&mut self, call: &Call, types: &[Option<Type>]) {
        let text = match call.function {
            None => Fault::UndefinedFunction(Str::clone(&call.name)).to_string(),
            Some(_) if types.len() > ARGS_MAX => Fault::TooManyArguments.to_string(),
            Some(function) => {
                let is_possible = function.overloads.iter().any(|overload| {
                    overload.args.len() == types.len()
                        && overload
                            .args
                            .iter()
                            .zip(types)
                            .all(|(arg, known)| known.is_none_or(|known| known == *arg))
                });
                if is_possible {
                    return;
                }
                let names: Vec<&str> =
                    types.iter().map(|known| known.map_or("any", Type::name)).collect();
                call.signature_message(function, &names)
            }
        };
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

// === impl Call ===

impl Call {
    /// Gives the message for arguments that no signature takes.
    pub(super) fn signature_message(&self, function: &Function, types: &[&str]) -> String {
        let args: Vec<String> =
            self.texts.iter().zip(types).map(|(text, kind)| format!("{text}: {kind}")).collect();
        format!(
            "Cannot call function \"{}\" with args ({}), available signatures are [{}].",
            self.name,
            args.join(","),
            function.signatures()
        )
    }
}

/// Says whether a node is an operator between two operands, below `lambda:` of variables.
fn is_operator(node: &Node) -> bool {
    match &node.kind {
        Kind::Binary { .. } => true,
        Kind::Lambda(inner) => is_operator(inner),
        _ => false,
    }
}

/// Checks two operands whose types are known, and gives the type of the result.
fn check(
    operator: Operator,
    left: Option<Type>,
    right: Option<Type>,
) -> Result<Option<Type>, CompileError> {
    let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
    match operators::result_type(operator, left, right) {
        Ok(result) => Ok(Some(result)),
        Err(Fault::Operator { operator, left }) => Err(CompileError::Operator { operator, left }),
        Err(_) => Err(CompileError::Operands { operator, left, right }),
    }
}

/// Puts an error as many left nodes down as a chain of operators has above it.
///
/// The words are repeated up to [`DEPTH_MAX`] times.
fn nested(error: CompileError, levels: usize) -> CompileError {
    (0..levels.min(DEPTH_MAX)).fold(error, |error, _| CompileError::Left(Box::new(error)))
}

/// Folds constants and picks the form that evaluates fastest.
fn specialised(whole: Binary) -> Expression {
    let Binary { operator, left, right } = &whole;
    match (left, right) {
        (Expression::Constant(left), Expression::Constant(right)) => {
            let result = operators::apply(*operator, &left.as_operand(), &right.as_operand());
            match result.ok().and_then(|operand| operand.into_value()) {
                Some(value) => Expression::Constant(value),
                None => Expression::Binary(Box::new(whole)),
            }
        }
        (Expression::Reference(reference), Expression::Constant(value)) => {
            test(*reference, *operator, value.clone(), whole)
        }
        (Expression::Constant(value), Expression::Reference(reference)) => {
            test(*reference, operators::mirrored(*operator), value.clone(), whole)
        }
        _ => Expression::Binary(Box::new(whole)),
    }
}

fn test(reference: u32, operator: Operator, value: Value, whole: Binary) -> Expression {
    let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let is_match = matches!(operator, Operator::Matches | Operator::MatchesNot);
    if !operators::is_comparison(operator) || is_match {
        return Expression::Binary(Box::new(whole));
    }
    let (int, float) = match value {
        Value::Int(value) => (Some(value), value as f64),
        Value::Float(value) => (None, value),
        Value::Str(text) if is_equality => {
            let is_equal = operator == Operator::Equal;
            return Expression::TextTest(Box::new(TextTest { reference, is_equal, text, whole }));
        }
        _ => return Expression::Binary(Box::new(whole)),
    };
    Expression::NumberTest(Box::new(NumberTest { reference, operator, int, float, whole }))
}

/// Calls a function of constants; `None` when it is none, or when it fails, which is said when it is evaluated.
fn folded(call: &Call) -> Option<Value> {
    let function = call.function.filter(|function| function.is_pure())?;
    let args = call
        .args
        .iter()
        .map(|arg| match arg {
            Expression::Constant(value) => Some(value.as_operand()),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()?;
    let overload = function.overload(|at| args[at].kind(), args.len())?;
    overload.call(&args, &Env::at(Timestamp(0)), None).ok()?.into_value()
}
