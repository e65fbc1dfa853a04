//! Evaluates pipelines, commands and operands.

use smallvec::SmallVec;

use crate::exec::{Exec, Result, Site};
use crate::functions::{self, CustomFunction, Param};
use crate::go::time::Time;
use crate::methods;
use crate::tree::{Command, Function, FunctionRef, Number, Operand, OperandKind, Pipe};
use crate::value::Value;

/// The values that a function or method is called with.
pub(crate) type Arguments<'a> = SmallVec<[Value<'a>; 4]>;

impl<'a> Exec<'a, '_> {
    /// Evaluates a pipeline and sets the variables that it declares.
    pub(crate) fn pipeline(&mut self, dot: &Value<'a>, pipe: &'a Pipe) -> Result<Value<'a>> {
        self.at = Site::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            self.step()?;
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.declared {
            if pipe.assigns {
                self.variable_set(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// Evaluates a command; `last` is the result of the one before.
    fn command(
        &mut self,
        dot: &Value<'a>,
        command: &'a Command,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let (first, args) = command.args.split_first().expect("a command has an operand");
        match &first.kind {
            OperandKind::Field(names) => {
                self.at = Site::Operand(first);
                self.chain(dot, (dot.clone(), self.dot_type), names, args, last)
            }
            OperandKind::Chain(inner, names) => {
                self.chain_operand(dot, first, inner, names, args, last)
            }
            OperandKind::Variable(names) => self.variable_operand(dot, first, names, args, last),
            OperandKind::Function(function) => {
                self.at = Site::Operand(first);
                self.call_function(dot, Site::Command(command), function, args, last)
            }
            OperandKind::Pipe(pipe) => {
                self.not_a_function(first, args, &last)?;
                self.nested(dot, pipe)
            }
            kind => {
                self.at = Site::Operand(first);
                self.not_a_function(first, args, &last)?;
                match kind {
                    OperandKind::Nil => self.fail("nil is not a command"),
                    _ => self.constant(dot, first),
                }
            }
        }
    }

    fn nested(&mut self, dot: &Value<'a>, pipe: &'a Pipe) -> Result<Value<'a>> {
        self.enter()?;
        let value = self.pipeline(dot, pipe)?;
        self.leave();
        Ok(value)
    }

    fn not_a_function(
        &self,
        first: &Operand,
        args: &[Operand],
        last: &Option<Value<'a>>,
    ) -> Result<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        let shown = match first.kind {
            OperandKind::Pipe(_) => format!("{first}"),
            _ => first.to_string(),
        };
        self.fail(format!("can't give argument to non-function {shown}"))
    }

    /// Gives the value of an operand that stands for itself.
    fn constant(&mut self, dot: &Value<'a>, operand: &'a Operand) -> Result<Value<'a>> {
        Ok(match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Str { text, .. } => Value::from(text.as_str()),
            OperandKind::Number(number) => self.number(number)?,
            _ => Value::Nil,
        })
    }

    /// Gives a literal the type that it has without a context.
    fn number(&self, number: &Number) -> Result<Value<'a>> {
        let text = &number.text;
        let is_hex = text.len() > 2
            && text.starts_with(['0', '-', '+'])
            && text
                .trim_start_matches(['+', '-'])
                .get(..2)
                .is_some_and(|p| p.eq_ignore_ascii_case("0x"))
            && !text.contains(['p', 'P']);
        let looks_float =
            !is_hex && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']);
        if looks_float && let Some(float) = number.float {
            return Ok(Value::Float(float));
        }
        match (number.int, number.uint) {
            (Some(int), _) => Ok(Value::Int(int)),
            (None, Some(_)) => self.fail(format!("{text} overflows int")),
            (None, None) => Ok(Value::Float(number.float.unwrap_or_default())),
        }
    }

    fn chain_operand(
        &mut self,
        dot: &Value<'a>,
        operand: &'a Operand,
        inner: &'a Operand,
        names: &'a [String],
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        self.at = Site::Operand(operand);
        let value = self.argument(dot, Param::Any, inner)?;
        self.chain(dot, (value, None), names, args, last)
    }

    fn variable_operand(
        &mut self,
        dot: &Value<'a>,
        operand: &'a Operand,
        names: &'a [String],
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        self.at = Site::Operand(operand);
        let (name, fields) = names.split_first().expect("a variable has a name");
        let Some(value) = self.variable(name).cloned() else {
            return self.fail(format!("undefined variable: {name}"));
        };
        if fields.is_empty() {
            self.not_a_function(operand, args, &last)?;
            return Ok(value);
        }
        self.chain(dot, (value, None), fields, args, last)
    }

    /// Goes along fields and methods; only the last one gets the arguments.
    fn chain(
        &mut self,
        dot: &Value<'a>,
        (mut receiver, known_as): (Value<'a>, Option<&'static str>),
        names: &'a [String],
        args: &'a [Operand],
        mut last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let mut known_as = known_as;
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let (args, last) = if is_last { (args, last.take()) } else { (&[][..], None) };
            self.step()?;
            let element_type = match &receiver {
                Value::Map(map) => Some(map.element_type()),
                _ => None,
            };
            receiver = self.field(dot, &receiver, known_as, name, args, last)?;
            known_as = element_type;
        }
        Ok(receiver)
    }

    /// Gives a field, an entry or the result of a method.
    fn field(
        &mut self,
        dot: &Value<'a>,
        receiver: &Value<'a>,
        known_as: Option<&'static str>,
        name: &'a str,
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        if let Value::Nil = receiver {
            return Ok(Value::Nil);
        }
        if let Some(method) = methods::find(receiver, name) {
            let at = self.at;
            let values = self.arguments(dot, name, method.params, false, args, last)?;
            return match (method.call)(receiver, &values) {
                Ok(Value::Time(time)) if name == "Local" => {
                    Ok(Value::Time(Time { at: time.at, zone: self.template.local.clone() }))
                }
                Ok(value) => {
                    self.check_value(&value)?;
                    Ok(value)
                }
                Err(message) => {
                    self.at = at;
                    self.fail(message)
                }
            };
        }
        let has_arguments = !args.is_empty() || last.is_some();
        match receiver {
            Value::Struct(data) => {
                if let Some(value) = data.field(name) {
                    if has_arguments {
                        return self.fail(format!(
                            "{name} has arguments but cannot be invoked as function"
                        ));
                    }
                    return Ok(value);
                }
            }
            Value::Map(map) => {
                if has_arguments {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                return Ok(map.get(name).unwrap_or_default());
            }
            _ => {}
        }
        let type_name = known_as.unwrap_or_else(|| receiver.type_name());
        self.fail(format!("can't evaluate field {name} in type {type_name}"))
    }

    fn call_function(
        &mut self,
        dot: &Value<'a>,
        site: Site<'a>,
        function: &'a Function,
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let called: &'static CustomFunction = match function.target {
            FunctionRef::Builtin(index) => &functions::BUILTINS[index],
            FunctionRef::Custom(index) => &self.template.functions[index],
        };
        if let Some(stop) = functions::short_circuit(function.target, called.name) {
            return self.choose(dot, called.name, stop, args, last);
        }
        let values =
            self.arguments(dot, called.name, called.params, called.variadic, args, last)?;
        match (called.call)(&values) {
            Ok(value) => {
                self.check_value(&value)?;
                Ok(value)
            }
            Err(message) => {
                self.at = site;
                // Nothing can be called; upstream names it as it is written.
                let message = match args.first() {
                    Some(arg) if called.name == "call" && !matches!(values[0], Value::Nil) => {
                        format!("non-function {arg} of type {}", values[0].type_name())
                    }
                    _ => message,
                };
                self.fail(format!("error calling {}: {message}", called.name))
            }
        }
    }

    /// Evaluates `and` and `or`, which stop at the first value that decides.
    fn choose(
        &mut self,
        dot: &Value<'a>,
        name: &str,
        stop: bool,
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        if args.is_empty() && last.is_none() {
            return self.fail(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = None;
        for arg in args {
            let this = self.argument(dot, Param::Any, arg)?;
            if this.is_true() == stop {
                return Ok(this);
            }
            value = Some(this);
        }
        Ok(last.or(value).unwrap_or_default())
    }

    fn arguments(
        &mut self,
        dot: &Value<'a>,
        name: &str,
        params: &'static [Param],
        variadic: bool,
        args: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Arguments<'a>> {
        let given = args.len() + usize::from(last.is_some());
        let wanted = if variadic { params.len() - 1 } else { params.len() };
        if given < wanted || (given > wanted && !variadic) {
            let least = if variadic { "at least " } else { "" };
            return self.fail(format!(
                "wrong number of args for {name}: want {least}{wanted} got {given}"
            ));
        }
        let param_of = |index: usize| params[index.min(params.len() - 1)];
        let mut values = Arguments::new();
        for (index, arg) in args.iter().enumerate() {
            values.push(self.argument(dot, param_of(index), arg)?);
        }
        if let Some(last) = last {
            values.push(self.checked(param_of(args.len()), last)?);
        }
        Ok(values)
    }

    /// Evaluates an argument for a parameter.
    fn argument(&mut self, dot: &Value<'a>, param: Param, arg: &'a Operand) -> Result<Value<'a>> {
        self.step()?;
        self.at = Site::Operand(arg);
        let value = match &arg.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Field(names) => {
                self.chain(dot, (dot.clone(), self.dot_type), names, &[], None)?
            }
            OperandKind::Variable(names) => self.variable_operand(dot, arg, names, &[], None)?,
            OperandKind::Chain(inner, names) => {
                self.chain_operand(dot, arg, inner, names, &[], None)?
            }
            OperandKind::Pipe(pipe) => self.nested(dot, pipe)?,
            OperandKind::Function(function) => {
                self.call_function(dot, Site::Operand(arg), function, &[], None)?
            }
            OperandKind::Nil if param == Param::Any => Value::Nil,
            OperandKind::Nil => {
                return self.fail(format!("cannot assign nil to {}", param.type_name()));
            }
            _ => return self.literal(dot, param, arg),
        };
        self.checked(param, value)
    }

    /// Gives a literal the type of the parameter.
    fn literal(&mut self, dot: &Value<'a>, param: Param, arg: &'a Operand) -> Result<Value<'a>> {
        match (param, &arg.kind) {
            (Param::Any, _) | (Param::Text, OperandKind::Str { .. }) => self.constant(dot, arg),
            (Param::Int, OperandKind::Number(Number { int: Some(int), .. })) => {
                Ok(Value::Int(*int))
            }
            (Param::Duration, OperandKind::Number(Number { int: Some(int), .. })) => {
                Ok(Value::Duration(*int))
            }
            (Param::Text, _) => self.fail(format!("expected string; found {arg}")),
            (Param::Int | Param::Duration, _) => {
                self.fail(format!("expected integer; found {arg}"))
            }
            (Param::Time, _) => {
                self.fail(format!("can't handle {arg} for arg of type {}", param.type_name()))
            }
        }
    }

    fn checked(&self, param: Param, value: Value<'a>) -> Result<Value<'a>> {
        let fits = match (param, &value) {
            (Param::Any, _) => true,
            (_, Value::Nil) => {
                return self.fail(format!("invalid value; expected {}", param.type_name()));
            }
            (param, value) => param.type_name() == value.type_name(),
        };
        if fits {
            return Ok(value);
        }
        let (expected, got) = (param.type_name(), value.type_name());
        self.fail(format!("wrong type for value; expected {expected}; got {got}"))
    }
}
