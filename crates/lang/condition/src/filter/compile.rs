//! From the tree of a filter to clauses, by the rules of a mode.
//!
//! What the modes do differently is decided here: a clause of DataKit 1.6 and one of ours are the same kinds of tests,
//! put together in another way. In strict mode whatever could never be true is a problem; in the other modes it is a
//! constant with a reason.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::ast::{Kind, Literal, Node, Offset, Statements};
use super::clause::{Clause, Note, Rule};
use super::error::{EMPTY, Problem};
use super::lookup::{Key, Keys, Value};
use super::pattern::{AnyOf, Budget, Pattern, PatternError};
use super::set::Set;
use super::test::Test;
use super::token::{ListOperator, Operator, quoted};
use super::{Compat, PROBLEMS_MAX, functions, print};

/// Why a part of a filter is never true.
pub(super) mod reason {
    pub(in super::super) const LATE: &str = "DataKit ignores a filter that begins with `;`";
    pub(super) const PARENTHESES: &str =
        "DataKit does not look into parentheses around a whole element";
    pub(super) const NO_CONDITION: &str = "it is no comparison, which DataKit takes for false";
    pub(super) const LEFT: &str = "the left side is no key, which DataKit takes for false";
    pub(super) const RIGHT: &str = "the right side is no literal, which DataKit takes for false";
    pub(super) const NEVER_EQUAL: &str = "DataKit 1.6 does not know this literal";
    pub(super) const CONSTANT: &str = "both sides are literals";
}

/// How much of a part's text is kept to explain it; parts hold each other, so that all texts would add up.
const NOTE_BYTES_MAX: usize = 1_024;

/// What is made of a filter.
pub(super) struct Compiled {
    pub(super) statements: Box<[Clause]>,
    pub(super) keys: Box<[Key]>,
    pub(super) notes: Box<[Note]>,
    /// What does not refuse the filter.
    pub(super) warnings: Vec<Problem>,
}

pub(super) struct Compiler<'c> {
    text: &'c str,
    pub(super) compat: Compat,
    shared: &'c mut Keys,
    keys: Vec<Key>,
    /// Where the keys are, by number.
    places: HashMap<u32, u32, RandomState>,
    notes: Vec<Note>,
    pub(super) budget: Budget,
    problems: &'c mut Vec<Problem>,
    warnings: Vec<Problem>,
}

/// Compiles a filter; what is wrong with it is added to `problems`, and then there is no use in the result.
pub(super) fn compile(
    text: &str,
    statements: &Statements,
    compat: Compat,
    keys: &mut Keys,
    problems: &mut Vec<Problem>,
) -> Compiled {
    let mut compiler = Compiler {
        text,
        compat,
        shared: keys,
        keys: Vec::new(),
        places: HashMap::default(),
        notes: Vec::new(),
        budget: Budget::new(),
        problems,
        warnings: Vec::new(),
    };
    if compiler.is_strict() && statements.list.is_empty() {
        compiler.refuse(0, EMPTY);
    }
    let compiled = statements.list.iter().map(|elements| compiler.statement(elements)).collect();
    Compiled {
        statements: compiled,
        keys: compiler.keys.into(),
        notes: compiler.notes.into(),
        warnings: compiler.warnings,
    }
}

// === impl Compiler ===

impl Compiler<'_> {
    pub(super) fn is_strict(&self) -> bool {
        self.compat == Compat::Strict
    }

    /// Notes a problem; the clause is of no use then.
    pub(super) fn refuse(&mut self, at: usize, message: &str) -> Rule {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(self.text, at, message));
        }
        Rule::Constant(false)
    }

    fn statement(&mut self, elements: &[Node]) -> Clause {
        let parts = elements.iter().map(|element| self.element(element)).collect();
        self.clause(Rule::All(parts), print::statement(elements), None)
    }

    fn element(&mut self, element: &Node) -> Clause {
        match &element.kind {
            Kind::Parentheses(_) if !self.is_strict() => self.never(element, reason::PARENTHESES),
            _ => self.condition(element),
        }
    }

    /// Compiles what is true or false.
    pub(super) fn condition(&mut self, node: &Node) -> Clause {
        match &node.kind {
            Kind::Parentheses(inner) => self.condition(inner),
            Kind::Chain(operator, operands) => {
                let parts = operands.iter().map(|operand| self.condition(operand)).collect();
                let rule = match operator {
                    Operator::Or => Rule::Any(parts),
                    _ => Rule::All(parts),
                };
                self.clause(rule, print::node(node), None)
            }
            Kind::Binary(operator, sides) if operator.is_comparison() => {
                self.comparison(node, *operator, &sides[0], &sides[1])
            }
            Kind::List { operator, column, items, close } => {
                let rule = self.list(*operator, column, items, *close);
                self.clause(rule, print::node(node), None)
            }
            Kind::Calls(calls) if self.is_strict() => {
                let rule = functions::compile(self, node.at, calls);
                self.clause(rule, print::node(node), None)
            }
            _ if self.is_strict() => {
                let rule = self.refuse_operand(node, "alone is no condition");
                self.clause(rule, print::node(node), None)
            }
            _ => self.never(node, reason::NO_CONDITION),
        }
    }

    fn comparison(&mut self, node: &Node, operator: Operator, left: &Node, right: &Node) -> Clause {
        let (left, right) = match self.is_strict() {
            true => (left.bare(), right.bare()),
            false => (left, right),
        };
        let known = match (&left.kind, &right.kind) {
            (Kind::Column(_) | Kind::Literal(_), Kind::Literal(_) | Kind::Regex(_)) => true,
            _ if !self.is_strict() => false,
            (Kind::Column(_) | Kind::Literal(_), _) => {
                let rule = self.refuse_operand(right, "cannot be on the right side");
                return self.clause(rule, print::node(node), None);
            }
            _ => {
                let rule = self.refuse_operand(left, "cannot be on the left side");
                return self.clause(rule, print::node(node), None);
            }
        };
        if !known {
            let is_left = matches!(left.kind, Kind::Column(_));
            return self.never(node, if is_left { reason::RIGHT } else { reason::LEFT });
        }
        let test = match &right.kind {
            Kind::Regex(pattern) => self.regex_test(operator, pattern, right.at),
            Kind::Literal(literal) => self.literal_test(operator, literal, right.at),
            _ => None,
        };
        match (&left.kind, test) {
            (Kind::Column(name), Some((is_negated, test))) => {
                let key = self.key(name);
                self.clause(Rule::Test { key, is_negated, test }, print::node(node), None)
            }
            (Kind::Literal(literal), Some((is_negated, test))) => {
                self.constant(node, literal, right, is_negated, &test)
            }
            (_, None) if self.is_strict() => self.never(node, reason::NO_CONDITION),
            (_, None) => self.never(node, reason::NEVER_EQUAL),
            _ => self.never(node, reason::LEFT),
        }
    }

    /// Compiles a comparison of two literals, which upstream knows since 1.84.
    fn constant(
        &mut self,
        node: &Node,
        left: &Literal,
        right: &Node,
        is_negated: bool,
        test: &Test,
    ) -> Clause {
        if self.compat == Compat::Seed {
            return self.never(node, reason::LEFT);
        }
        if self.is_strict() && matches!(left, Literal::Nil | Literal::Bool(_)) && is_order(test) {
            let rule = self.refuse(node.at, "nil and booleans have no order");
            return self.clause(rule, print::node(node), None);
        }
        let left = &self.of_mode(left);
        let value = match left {
            Literal::Nil => None,
            Literal::Bool(value) => Some(Value::Bool(*value)),
            Literal::Int(number) => Some(Value::Int(*number)),
            Literal::UInt(number) => Some(Value::UInt(*number)),
            Literal::Float(number) => Some(Value::Float(*number)),
            Literal::Str(text) => Some(Value::Str(text)),
        };
        // Source: to DataKit 1.84 nil on the left is equal to nil, and different from nothing.
        let is_nil = matches!(right.kind, Kind::Literal(Literal::Nil));
        let is_true = match (self.compat, left) {
            (Compat::Head, Literal::Nil) => is_nil && test.holds(value, self.compat) != is_negated,
            _ => test.holds(value, self.compat) != is_negated,
        };
        self.clause(Rule::Constant(is_true), print::node(node), Some(reason::CONSTANT))
    }

    /// Gives the test of a literal, and whether it is turned around; nothing when it is never true.
    fn literal_test(
        &mut self,
        operator: Operator,
        literal: &Literal,
        at: usize,
    ) -> Option<(bool, Test)> {
        let is_strict = self.is_strict();
        let literal = &self.of_mode(literal);
        let has_order = !matches!(literal, Literal::Nil | Literal::Bool(_));
        match (operator, literal) {
            (Operator::Equal | Operator::NotEqual, Literal::Nil | Literal::Bool(_))
                if self.compat == Compat::Seed =>
            {
                None
            }
            (Operator::Equal, Literal::Nil) => Some((false, Test::Missing)),
            (Operator::NotEqual, Literal::Nil) => Some((true, Test::Missing)),
            (Operator::Equal, _) => Some((false, Test::Equal(literal.clone()))),
            (Operator::NotEqual, _) if is_strict => Some((true, Test::Equal(literal.clone()))),
            (Operator::NotEqual, _) => Some((false, Test::Differs(literal.clone()))),
            _ if !has_order => {
                if is_strict {
                    self.refuse(at, "nil and booleans have no order");
                }
                None
            }
            (Operator::Less, _) => Some((false, Test::Less(literal.clone()))),
            (Operator::LessEqual, _) => Some((false, Test::LessEqual(literal.clone()))),
            (Operator::Greater, _) => Some((false, Test::Greater(literal.clone()))),
            (Operator::GreaterEqual, _) => Some((false, Test::GreaterEqual(literal.clone()))),
            _ => None,
        }
    }

    /// Gives a literal as the mode reads it: to the original an integer that is too large is a float.
    fn of_mode(&self, literal: &Literal) -> Literal {
        match literal {
            Literal::UInt(number) if !self.is_strict() => Literal::Float(*number as f64),
            literal => literal.clone(),
        }
    }

    fn regex_test(&mut self, operator: Operator, pattern: &str, at: usize) -> Option<(bool, Test)> {
        let compiled = match Pattern::compile(pattern, &mut self.budget) {
            Ok(compiled) => compiled,
            Err(error) => {
                // Source: upstream panics when it meets a point (B28).
                self.refuse(at, &format!("invalid regex: {error}"));
                return None;
            }
        };
        let found = |pattern| Test::Found(Box::new(AnyOf::one(pattern)));
        match operator {
            Operator::Equal => Some((false, found(compiled))),
            Operator::NotEqual if self.is_strict() => Some((true, found(compiled))),
            Operator::NotEqual => Some((false, Test::AnyText)),
            _ => {
                if self.is_strict() {
                    self.refuse(at, "re() has no order: compare it by = or !=");
                }
                None
            }
        }
    }

    fn list(
        &mut self,
        operator: ListOperator,
        column: &Node,
        items: &[Node],
        close: Offset,
    ) -> Rule {
        let test = match operator.takes_patterns() {
            true => self.patterns_test(operator, items, close),
            false => Some(self.set_test(operator, items)),
        };
        match (&column.kind, test) {
            (Kind::Column(name), Some((is_negated, test))) => {
                Rule::Test { key: self.key(name), is_negated, test }
            }
            (Kind::Column(_), None) => Rule::Constant(false),
            _ if self.is_strict() => self.refuse_operand(column, "cannot be on the left side"),
            // No point has such a key.
            (_, Some((is_negated, test))) => {
                Rule::Constant(test.holds(None, self.compat) != is_negated)
            }
            _ => Rule::Constant(false),
        }
    }

    fn set_test(&mut self, operator: ListOperator, items: &[Node]) -> (bool, Test) {
        let is_negated = operator == ListOperator::NotIn;
        if self.is_strict() {
            for item in items {
                if !matches!(item.kind, Kind::Literal(_)) {
                    self.refuse_operand(item, "cannot be in a list");
                }
            }
        }
        let literals = items.iter().filter_map(|item| match &item.kind {
            Kind::Literal(literal) => Some(self.of_mode(literal)),
            _ => None,
        });
        let mut literals: Vec<Literal> = literals.collect();
        let has_nil = match (self.compat, operator) {
            (Compat::Seed, _) => false,
            // Source: only the first item is looked at (B24).
            (Compat::Head, ListOperator::In) => {
                matches!(items.first().map(|item| &item.kind), Some(Kind::Literal(Literal::Nil)))
            }
            _ => literals.iter().any(|literal| matches!(literal, Literal::Nil)),
        };
        if self.compat == Compat::Seed {
            literals.retain(|literal| !matches!(literal, Literal::Bool(_)));
        }
        (is_negated, Test::In(Box::new(Set::new(&literals, has_nil))))
    }

    fn patterns_test(
        &mut self,
        operator: ListOperator,
        items: &[Node],
        close: Offset,
    ) -> Option<(bool, Test)> {
        let (mut patterns, mut sources) = (Vec::new(), Vec::new());
        for item in items {
            // The parser has refused everything else.
            let Kind::Literal(Literal::Str(source)) = &item.kind else { continue };
            match Pattern::compile(source, &mut self.budget) {
                Ok(pattern) => {
                    patterns.push(pattern);
                    sources.push(&**source);
                }
                Err(error @ PatternError::TooMuch(_)) => {
                    self.refuse(close.0, &format!("invalid regex: {error}"));
                    return None;
                }
                // Upstream shows the pattern once more, and where the list ends.
                Err(error) => {
                    let message = format!("invalid regex: {error}: {source}");
                    match self.is_strict() {
                        true => {
                            self.refuse(close.0, &message);
                        }
                        false => self.warn(close.0, &format!("{message}, ignored")),
                    }
                }
            }
        }
        if operator == ListOperator::NotMatch && !self.is_strict() {
            return Some((false, Test::SomeUnfound(patterns.into())));
        }
        match AnyOf::new(patterns, &sources, &mut self.budget) {
            Ok(any) => {
                let is_negated = operator == ListOperator::NotMatch;
                Some((is_negated, Test::Found(Box::new(any))))
            }
            Err(error) => {
                self.refuse(close.0, &format!("invalid regex: {error}"));
                None
            }
        }
    }

    fn warn(&mut self, at: usize, message: &str) {
        if self.warnings.len() < PROBLEMS_MAX {
            self.warnings.push(Problem::new(self.text, at, message));
        }
    }

    /// Says what is wrong with an operand, or with its place.
    pub(super) fn refuse_operand(&mut self, node: &Node, place: &str) -> Rule {
        let message = match &node.kind {
            Kind::Column(name) => format!("a key {place}: {}", quoted(name, 64)),
            Kind::Dotted(parts) => {
                let name = parts.join(".");
                format!("a key with dots must be in back quotes: {}", quoted(&name, 64))
            }
            Kind::Literal(_) => format!("a literal {place}"),
            Kind::Regex(_) => format!("re() {place}"),
            Kind::Star => format!("* {place}"),
            Kind::Calls(calls) => match functions::is_known(calls) {
                true => format!("a function {place}: {}", quoted(&calls[0].name, 64)),
                false => functions::unknown(calls),
            },
            Kind::Binary(operator, _) if !operator.is_comparison() => format!(
                "arithmetic is not supported: \"{}\"; a key with such a character must be in back quotes",
                operator.sign()
            ),
            _ => format!("a condition {place}"),
        };
        self.refuse(node.at, &message)
    }

    fn never(&mut self, node: &Node, reason: &'static str) -> Clause {
        self.clause(Rule::Constant(false), print::node(node), Some(reason))
    }

    fn clause(&mut self, rule: Rule, mut text: String, reason: Option<&'static str>) -> Clause {
        if text.len() > NOTE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(NOTE_BYTES_MAX));
            text.push_str("...");
        }
        self.notes.push(Note { text: text.into(), reason });
        Clause { rule, note: self.notes.len() as u32 - 1 }
    }

    pub(super) fn key(&mut self, name: &str) -> u32 {
        let key = self.shared.intern(name);
        *self.places.entry(key.id).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() as u32 - 1
        })
    }
}

fn is_order(test: &Test) -> bool {
    matches!(test, Test::Less(_) | Test::LessEqual(_) | Test::Greater(_) | Test::GreaterEqual(_))
}
