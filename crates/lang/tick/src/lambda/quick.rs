//! Short cuts of the quick walk: conditions and numbers without values in between.
//!
//! What they cannot say, for whatever reason, they leave to the general walk. They run for programs without state only,
//! so that looking twice changes nothing; and each looks at an operand once at most before it gives up, which keeps the
//! whole linear.

use levada_model::FieldValue;

use super::error::Fault;
use super::evaluate::{Binding, Frame};
use super::expression::{Binary, Call, Expression, Logic, NumberTest, TextTest};
use super::operators;
use super::state::State;
use super::value::{Operand, Type, Value};
use crate::syntax::ast::Operator;

/// A number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// Evaluates a condition; `None` when it fails, or is none.
    pub(super) fn test(&self, expression: &'a Expression) -> Option<bool> {
        match expression {
            Expression::Constant(Value::Bool(value)) => Some(*value),
            Expression::NumberTest(test) => match self.number_test(test) {
                Some(value) => Some(value),
                None => self.test_generally(expression),
            },
            Expression::TextTest(test) => match self.text_test(test) {
                Some(value) => Some(value),
                None => self.test_generally(expression),
            },
            Expression::Logic(logic) => self.test_logic(logic),
            Expression::Not(operand, _) => Some(!self.test(operand)?),
            Expression::Binary(binary) => match self.test_binary(binary) {
                Some(value) => Some(value),
                None => self.test_generally(expression),
            },
            Expression::Call(call) => match self.call_of_one(call) {
                Some(Operand::Bool(value)) => Some(value),
                _ => self.test_generally(expression),
            },
            _ => self.test_generally(expression),
        }
    }

    fn test_generally(&self, expression: &'a Expression) -> Option<bool> {
        match self.evaluate::<false>(expression, true, &mut State::default()) {
            Ok(Operand::Bool(value)) => Some(value),
            _ => None,
        }
    }

    fn test_logic(&self, logic: &'a Logic) -> Option<bool> {
        for (index, item) in logic.items.iter().enumerate() {
            let value = self.test(item)?;
            if value != logic.is_and {
                if !logic.is_boolean {
                    self.all_boolean(&logic.items[index + 1..]).ok()?;
                }
                return Some(value);
            }
        }
        Some(logic.is_and)
    }

    fn test_binary(&self, binary: &'a Binary) -> Option<bool> {
        let Binary { operator, left, right } = binary;
        if let Operator::Matches | Operator::MatchesNot = operator {
            let (Expression::Reference(reference), Expression::Constant(Value::Regex(pattern))) =
                (left, right)
            else {
                return None;
            };
            let Ok(Operand::Text(text)) = self.load(*reference) else { return None };
            return Some(pattern.regex.is_match(text) == (*operator == Operator::Matches));
        }
        match (self.number(left)?, self.number(right)?) {
            (Number::Int(left), Number::Int(right)) => operators::compare(*operator, left, right),
            (left, right) => operators::compare(*operator, left.as_float(), right.as_float()),
        }
    }

    /// Evaluates arithmetic; `None` when it fails, or gives no number.
    pub(super) fn number(&self, expression: &'a Expression) -> Option<Number> {
        match expression {
            Expression::Constant(Value::Int(value)) => Some(Number::Int(*value)),
            Expression::Constant(Value::Float(value)) => Some(Number::Float(*value)),
            Expression::Reference(reference) => self.numeric_field(*reference),
            Expression::Negate(operand) => Some(match self.number(operand)? {
                Number::Int(value) => Number::Int(value.wrapping_neg()),
                Number::Float(value) => Number::Float(-value),
            }),
            Expression::Binary(binary) => {
                // Before the operands are looked at: a comparison is none of the numbers sought here.
                if operators::is_comparison(binary.operator) {
                    return None;
                }
                let (left, right) = (self.number(&binary.left)?, self.number(&binary.right)?);
                left.calculate(binary.operator, right)
            }
            Expression::Call(call) => Number::of(&self.call_of_one(call)?),
            _ => None,
        }
    }

    #[inline]
    fn numeric_field(&self, reference: u32) -> Option<Number> {
        match self.bindings.get(reference as usize)? {
            Binding::Field(at) => match self.point?.values.get(*at as usize)? {
                FieldValue::Float(value) => Some(Number::Float(*value)),
                FieldValue::Int(value) => Some(Number::Int(*value)),
                _ => None,
            },
            _ => Number::of(&self.load(reference).ok()?),
        }
    }

    /// Calls a function of one reference or number.
    fn call_of_one(&self, call: &'a Call) -> Option<Operand<'a>> {
        let ([arg], Some(function)) = (&*call.args, call.function) else { return None };
        let arg = match arg {
            Expression::Reference(reference) => self.load(*reference).ok()?,
            other => self.number(other)?.operand(),
        };
        let kind = arg.kind();
        let overload = function.overload(|_| kind, 1)?;
        overload.call(&[arg], self.env, None).ok()
    }

    #[inline]
    pub(super) fn number_test(&self, test: &NumberTest) -> Option<bool> {
        let Binding::Field(at) = self.bindings.get(test.reference as usize)? else { return None };
        match (self.point?.values.get(*at as usize)?, test.int) {
            (FieldValue::Float(value), _) => operators::compare(test.operator, *value, test.float),
            (FieldValue::Int(value), Some(int)) => operators::compare(test.operator, *value, int),
            (FieldValue::Int(value), None) => {
                operators::compare(test.operator, *value as f64, test.float)
            }
            _ => None,
        }
    }

    #[inline]
    pub(super) fn text_test(&self, test: &TextTest) -> Option<bool> {
        let text = match self.bindings.get(test.reference as usize)? {
            Binding::Tag(at) => self.point?.series.values.get(*at as usize)?,
            Binding::Field(at) => match self.point?.values.get(*at as usize)? {
                FieldValue::Str(text) => text,
                _ => return None,
            },
            _ => return None,
        };
        Some((**text == *test.text) == test.is_equal)
    }

    /// Fails when something that a short circuit skipped is not boolean.
    pub(super) fn all_boolean(&self, items: &'a [Expression]) -> Result<(), Fault> {
        for item in items {
            if self.typing(item)? != Type::Bool {
                return Err(Fault::Quick);
            }
        }
        Ok(())
    }
}

// === impl Number ===

impl Number {
    #[inline]
    fn of(operand: &Operand<'_>) -> Option<Number> {
        match operand {
            Operand::Int(value) => Some(Number::Int(*value)),
            Operand::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn operand<'o>(self) -> Operand<'o> {
        match self {
            Number::Int(value) => Operand::Int(value),
            Number::Float(value) => Operand::Float(value),
        }
    }

    /// Computes; `None` when the operator is none of numbers, or the operands do not fit.
    #[inline]
    fn calculate(self, operator: Operator, other: Number) -> Option<Number> {
        Some(match (self, other) {
            (Number::Float(left), Number::Float(right)) => Number::Float(match operator {
                Operator::Plus => left + right,
                Operator::Minus => left - right,
                Operator::Multiply => left * right,
                Operator::Divide => left / right,
                _ => return None,
            }),
            (Number::Int(left), Number::Int(right)) => Number::Int(match operator {
                Operator::Plus => left.wrapping_add(right),
                Operator::Minus => left.wrapping_sub(right),
                Operator::Multiply => left.wrapping_mul(right),
                Operator::Divide if right != 0 => left.wrapping_div(right),
                Operator::Modulo if right != 0 => left.wrapping_rem(right),
                _ => return None,
            }),
            _ => return None,
        })
    }

    #[inline]
    fn as_float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}
