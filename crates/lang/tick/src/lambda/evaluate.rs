//! The walk over the tree.
//!
//! `typing` finds types without evaluating; `evaluate` evaluates. With `EXACT` it checks the types of operands first, so that
//! the error is the one that the original reports; `typed` says that an ancestor has checked them already, which keeps the
//! whole linear. Without `EXACT` any error means: walk again, exactly.

use levada_model::{FieldValue, Point, Str};

use super::error::Fault;
use super::evaluator::Env;
use super::expression::{Binary, Call, Expression, Logic};
use super::functions::{ARGS_MAX, Failure, Overload};
use super::operators;
use super::program::Program;
use super::state::State;
use super::value::{Operand, Type, Value};
use crate::syntax::ast::Operator;

/// Where the value of a name is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding {
    Field(u32),
    Tag(u32),
    /// Both have the name, which is an error unless the field has no value.
    FieldAndTag {
        field: u32,
        tag: u32,
    },
    /// The result of an earlier expression.
    Earlier(u32),
    /// The time of the point.
    Time,
    /// The point has no such name.
    Missing,
    /// There are no names here.
    Undefined,
}

/// All that one evaluation sees.
pub(super) struct Frame<'a> {
    pub(super) program: &'a Program,
    pub(super) bindings: &'a [Binding],
    pub(super) point: Option<&'a Point>,
    pub(super) earlier: &'a [Value],
    pub(super) earlier_names: &'a [Str],
    pub(super) env: &'a Env,
}

// === impl Frame ===

impl<'a> Frame<'a> {
    #[inline]
    pub(super) fn predicate(&self, state: &mut State) -> Result<bool, Fault> {
        if !self.program.is_stateful()
            && let Some(value) = self.test(&self.program.root)
        {
            return Ok(value);
        }
        self.predicate_exactly(state)
    }

    #[cold]
    fn predicate_exactly(&self, state: &mut State) -> Result<bool, Fault> {
        let root = &self.program.root;
        self.typing(root)?;
        match self.evaluate::<true>(root, true, state)? {
            Operand::Bool(value) => Ok(value),
            other => Err(guard(self.program.is_operator, other.kind(), Type::Bool)),
        }
    }

    #[inline]
    pub(super) fn value(&self, state: &mut State) -> Result<Value, Fault> {
        let is_quick = !self.program.is_stateful();
        if is_quick && let Some(number) = self.number(&self.program.root) {
            return number.operand().into_value().ok_or(Fault::Quick);
        }
        if is_quick
            && let Ok(operand) = self.evaluate::<false>(&self.program.root, true, state)
            && !matches!(operand.kind(), Type::Missing | Type::Time | Type::Regex)
            && let Some(value) = operand.into_value()
        {
            return Ok(value);
        }
        self.value_exactly(state)
    }

    fn value_exactly(&self, state: &mut State) -> Result<Value, Fault> {
        let root = &self.program.root;
        match self.typing(root)? {
            Type::Missing => return Err(Fault::ValueMissing(self.name_of(root))),
            other @ (Type::Time | Type::Regex) => return Err(Fault::Unexpected(other)),
            _ => {}
        }
        let operand = self.evaluate::<true>(root, true, state)?;
        operand.into_value().ok_or_else(|| Fault::ValueMissing(self.name_of(root)))
    }

    pub(super) fn integer(&self, state: &mut State) -> Result<i64, Fault> {
        match self.evaluate::<true>(&self.program.root, false, state)? {
            Operand::Int(value) => Ok(value),
            other => Err(guard(self.program.is_operator, other.kind(), Type::Int)),
        }
    }

    /// Gives the type that an expression has for this point.
    pub(super) fn typing(&self, expression: &'a Expression) -> Result<Type, Fault> {
        match expression {
            Expression::Constant(value) => Ok(value.kind()),
            Expression::Reference(reference) => Ok(self.load(*reference)?.kind()),
            Expression::Not(..)
            | Expression::Logic(_)
            | Expression::NumberTest(_)
            | Expression::TextTest(_) => Ok(Type::Bool),
            Expression::Negate(operand) => match self.typing(operand)? {
                Type::Missing => Err(Fault::UnaryMissing(self.name_of(operand))),
                kind @ (Type::Int | Type::Float | Type::Duration) => Ok(kind),
                left => Err(Fault::Operator { operator: Operator::Minus, left }),
            },
            Expression::Binary(binary) if operators::is_comparison(binary.operator) => {
                Ok(Type::Bool)
            }
            Expression::Binary(binary) => {
                let left = self.typing(&binary.left)?;
                let right = self.typing(&binary.right)?;
                operators::result_type(binary.operator, left, right)
            }
            Expression::Call(call) => Ok(self.signature(call)?.result),
        }
    }

    pub(super) fn evaluate<const EXACT: bool>(
        &self,
        expression: &'a Expression,
        typed: bool,
        state: &mut State,
    ) -> Result<Operand<'a>, Fault> {
        match expression {
            Expression::Constant(value) => Ok(value.as_operand()),
            Expression::Reference(reference) => self.load(*reference),
            Expression::NumberTest(test) => match self.number_test(test) {
                Some(value) => Ok(Operand::Bool(value)),
                None => self.binary::<EXACT>(&test.whole, typed, state),
            },
            Expression::TextTest(test) => match self.text_test(test) {
                Some(value) => Ok(Operand::Bool(value)),
                None => self.binary::<EXACT>(&test.whole, typed, state),
            },
            Expression::Logic(logic) => self.logic::<EXACT>(logic, state).map(Operand::Bool),
            Expression::Binary(binary) => self.binary::<EXACT>(binary, typed, state),
            Expression::Not(operand, is_operator) => {
                if EXACT && self.typing(operand)? == Type::Missing {
                    return Err(Fault::UnaryMissing(self.name_of(operand)));
                }
                match self.evaluate::<EXACT>(operand, true, state)? {
                    Operand::Bool(value) => Ok(Operand::Bool(!value)),
                    other => Err(guard(*is_operator, other.kind(), Type::Bool)),
                }
            }
            Expression::Negate(operand) => {
                if EXACT && !typed {
                    self.typing(expression)?;
                }
                match self.evaluate::<EXACT>(operand, true, state)? {
                    Operand::Int(value) => Ok(Operand::Int(value.wrapping_neg())),
                    Operand::Float(value) => Ok(Operand::Float(-value)),
                    Operand::Duration(value) => Ok(Operand::Duration(value.wrapping_neg())),
                    _ => Err(Fault::Quick),
                }
            }
            Expression::Call(call) => self.call::<EXACT>(call, typed, state),
        }
    }

    fn logic<const EXACT: bool>(&self, logic: &'a Logic, state: &mut State) -> Result<bool, Fault> {
        if EXACT && !logic.is_boolean {
            self.check_logic(logic)?;
        }
        for (index, item) in logic.items.iter().enumerate() {
            match self.evaluate::<EXACT>(item, true, state)? {
                Operand::Bool(value) if value == logic.is_and => {}
                Operand::Bool(value) => {
                    // What is behind need not be evaluated, but must be boolean all the same.
                    if !EXACT && !logic.is_boolean {
                        self.all_boolean(&logic.items[index + 1..])?;
                    }
                    return Ok(value);
                }
                _ => return Err(Fault::Quick),
            }
        }
        Ok(logic.is_and)
    }

    /// Checks the operands of a chain: the outermost operator, whose right operand is the last one, comes first.
    fn check_logic(&self, logic: &'a Logic) -> Result<(), Fault> {
        let operator = if logic.is_and { Operator::And } else { Operator::Or };
        let [first, second, others @ ..] = &*logic.items else { return Ok(()) };
        for item in others.iter().rev() {
            let right = self.typing(item)?;
            self.check_operands(operator, Type::Bool, first, right, item)?;
        }
        let left = self.typing(first)?;
        let right = self.typing(second)?;
        self.check_operands(operator, left, first, right, second)
    }

    fn check_operands(
        &self,
        operator: Operator,
        left: Type,
        left_expression: &Expression,
        right: Type,
        right_expression: &Expression,
    ) -> Result<(), Fault> {
        if left == Type::Missing {
            return Err(Fault::LeftMissing(self.name_of(left_expression)));
        }
        if right == Type::Missing {
            return Err(Fault::RightMissing(self.name_of(right_expression)));
        }
        operators::result_type(operator, left, right).map(drop)
    }

    #[inline]
    fn binary<const EXACT: bool>(
        &self,
        binary: &'a Binary,
        typed: bool,
        state: &mut State,
    ) -> Result<Operand<'a>, Fault> {
        let Binary { operator, left, right } = binary;
        if EXACT && (!typed || operators::is_comparison(*operator)) {
            let left_type = self.typing(left)?;
            let right_type = self.typing(right)?;
            self.check_operands(*operator, left_type, left, right_type, right)?;
        }
        let left = self.evaluate::<EXACT>(left, true, state)?;
        let right = self.evaluate::<EXACT>(right, true, state)?;
        operators::apply(*operator, &left, &right)
    }

    fn call<const EXACT: bool>(
        &self,
        call: &'a Call,
        typed: bool,
        state: &mut State,
    ) -> Result<Operand<'a>, Fault> {
        if EXACT && !typed {
            self.signature(call)?;
        }
        let count = call.args.len();
        let Some(function) = call.function.filter(|_| count <= ARGS_MAX) else {
            return Err(Fault::Quick);
        };
        let mut args = [const { Operand::Missing }; ARGS_MAX];
        for (index, arg) in call.args.iter().enumerate() {
            args[index] = self
                .evaluate::<EXACT>(arg, true, state)
                .map_err(|fault| if EXACT { argument(index, fault) } else { fault })?;
        }
        let Some(overload) = function.overload(|at| args[at].kind(), count) else {
            return Err(Fault::Quick);
        };
        let slot = state.slots.get_mut(call.slot as usize);
        overload.call(&args[..count], self.env, slot).map_err(|failure| match failure {
            Failure::Text(text) => Fault::Body(Box::new((function.name, text))),
            Failure::Whole(fault) => fault,
        })
    }

    /// Finds the signature of a call by the types of its arguments.
    fn signature(&self, call: &'a Call) -> Result<&'static Overload, Fault> {
        let Some(function) = call.function else {
            return Err(Fault::UndefinedFunction(Str::clone(&call.name)));
        };
        let count = call.args.len();
        if count > ARGS_MAX {
            return Err(Fault::TooManyArguments);
        }
        let mut types = [Type::Missing; ARGS_MAX];
        for (index, arg) in call.args.iter().enumerate() {
            types[index] = self.typing(arg).map_err(|fault| argument(index, fault))?;
        }
        function.overload(|at| types[at], count).ok_or_else(|| {
            let types = &types[..count];
            Fault::Message(if types.contains(&Type::Missing) {
                self.missing_message(call, types).into()
            } else {
                let names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
                call.signature_message(function, &names).into()
            })
        })
    }

    fn missing_message(&self, call: &Call, types: &[Type]) -> String {
        let missing: Vec<String> = call
            .args
            .iter()
            .zip(types)
            .filter(|(_, kind)| **kind == Type::Missing)
            .map(|(arg, _)| format!("\"{}\"", self.name_of(arg)))
            .collect();
        let words = match &*missing {
            [single] => format!("argument {single} is missing"),
            _ => format!("arguments {} are missing", missing.join(", ")),
        };
        format!(
            "Cannot call function \"{}\" {words}, values in scope are [{}]",
            call.name,
            self.names_in_scope().join(", ")
        )
    }

    /// Gives the names that have a value, in quotes and sorted (U-52).
    fn names_in_scope(&self) -> Vec<String> {
        let present = self.program.references.iter().enumerate().filter(|(at, _)| {
            self.load(*at as u32).is_ok_and(|operand| operand.kind() != Type::Missing)
        });
        let mut names: Vec<&str> = present.map(|(_, name)| &**name).collect();
        names.extend(self.earlier_names.iter().take(self.earlier.len()).map(|name| &**name));
        if self.point.is_some() {
            names.push("time");
        }
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| format!("\"{name}\"")).collect()
    }

    #[inline]
    pub(super) fn load(&self, reference: u32) -> Result<Operand<'a>, Fault> {
        let binding = self.bindings.get(reference as usize).copied().unwrap_or(Binding::Undefined);
        Ok(match binding {
            Binding::Field(at) => self.field(at),
            Binding::Tag(at) => self.tag(at),
            Binding::FieldAndTag { field, tag } => match self.field(field) {
                Operand::Missing => self.tag(tag),
                value => value,
            },
            Binding::Earlier(at) => {
                self.earlier.get(at as usize).map_or(Operand::Missing, Value::as_operand)
            }
            Binding::Time => self.point.map_or(Operand::Missing, |point| Operand::Time(point.time)),
            Binding::Missing => Operand::Missing,
            Binding::Undefined => return Err(Fault::UndefinedName(self.reference_name(reference))),
        })
    }

    #[inline]
    fn tag(&self, at: u32) -> Operand<'a> {
        match self.point.and_then(|point| point.series.values.get(at as usize)) {
            Some(text) => Operand::Text(text),
            None => Operand::Missing,
        }
    }

    /// Gives a field; what has no type here, and null (U-29), is missing.
    #[inline]
    fn field(&self, at: u32) -> Operand<'a> {
        match self.point.and_then(|point| point.values.get(at as usize)) {
            Some(FieldValue::Float(value)) => Operand::Float(*value),
            Some(FieldValue::Int(value)) => Operand::Int(*value),
            Some(FieldValue::Bool(value)) => Operand::Bool(*value),
            Some(FieldValue::Str(value)) => Operand::Text(value),
            Some(FieldValue::Duration(value)) => Operand::Duration(*value),
            Some(FieldValue::UInt(_) | FieldValue::Bytes(_) | FieldValue::Null) | None => {
                Operand::Missing
            }
        }
    }

    fn reference_name(&self, reference: u32) -> Str {
        self.program.references.get(reference as usize).cloned().unwrap_or_else(|| "".into())
    }

    /// Gives the name of an operand that is missing; only references can be.
    fn name_of(&self, expression: &Expression) -> Str {
        match expression {
            Expression::Reference(reference) => self.reference_name(*reference),
            _ => "".into(),
        }
    }
}

/// Says that a result has another type than wanted.
fn guard(is_operator: bool, actual: Type, expected: Type) -> Fault {
    if is_operator { Fault::UnexpectedGo(actual) } else { Fault::TypeGuard { actual, expected } }
}

/// Says which argument failed; what is a panic in the original passes all layers.
fn argument(index: usize, fault: Fault) -> Fault {
    match fault {
        Fault::DivideByZero | Fault::Slice { .. } => fault,
        fault => Fault::Argument(index as u32 + 1, Box::new(fault)),
    }
}
