//! How nodes declare their properties: one list gives setters, script form and JSON form.
//!
//! ```text
//! #[derive(Clone, Debug, Default)]
//! pub struct Window { period: Nanos, align: Flag }
//!
//! properties! { Window { "period" => period, "align" => align } }
//! ```
//!
//! The type of the field says how it is set: [`types`] lists them.

pub mod types;

use std::sync::Arc;

use levada_tick::script::{CallError, Value};
use levada_tick::syntax::Node;

pub use types::{Flag, Lambda, Lambdas, Nanos, OptionalFlag, Pairs, PropertyType, Strings, Text};

/// One call of a property: `.name(args)`.
#[derive(Clone, Debug)]
pub struct PropertyCall {
    /// As a script writes it.
    pub name: &'static str,
    /// Its arguments.
    pub args: Vec<Value>,
    /// Calls on the handler that this call added, for alerts.
    pub nested: Vec<PropertyCall>,
}

// === impl PropertyCall ===

impl PropertyCall {
    /// Adds the lambda expressions among the arguments.
    pub fn collect_lambdas(&self, into: &mut Vec<Arc<Node>>) {
        collect_lambdas(&self.args, into);
        self.nested.iter().for_each(|call| call.collect_lambdas(into));
    }
}

/// Adds the lambda expressions among values.
pub fn collect_lambdas(values: &[Value], into: &mut Vec<Arc<Node>>) {
    for value in values {
        match value {
            Value::Lambda(expression) => into.push(Arc::clone(expression)),
            Value::List(values) => collect_lambdas(values, into),
            _ => {}
        }
    }
}

/// One property of `S`.
pub struct Property<S> {
    /// As a script writes it; its JSON member, too.
    pub name: &'static str,
    /// Gives the field.
    pub get: fn(&S) -> &dyn PropertyType,
    /// Gives the field to be set.
    pub get_mut: fn(&mut S) -> &mut dyn PropertyType,
}

/// Something with a list of properties.
pub trait Properties: Sized + 'static {
    /// The list, in the order of scripts.
    const PROPERTIES: &'static [Property<Self>];
}

/// Declares the properties of a type.
#[macro_export]
macro_rules! properties {
    ($owner:ty { $($name:literal => $field:ident),* $(,)? }) => {
        impl $crate::property::Properties for $owner {
            const PROPERTIES: &'static [$crate::property::Property<Self>] = &[
                $($crate::property::Property {
                    name: $name,
                    get: |owner| &owner.$field,
                    get_mut: |owner| &mut owner.$field,
                }),*
            ];
        }
    };
}

/// Finds a property by the name that a script uses; its first letter may be upper case.
pub fn find<S: Properties>(name: &str) -> Option<&'static Property<S>> {
    S::PROPERTIES.iter().find(|property| is_same_name(property.name, name))
}

/// Compares names as scripts do: the case of the first letter does not matter.
pub fn is_same_name(one: &str, other: &str) -> bool {
    let mut one_chars = one.chars();
    let mut other_chars = other.chars();
    match (one_chars.next(), other_chars.next()) {
        (Some(a), Some(b)) => {
            a.to_uppercase().eq(b.to_uppercase()) && one_chars.as_str() == other_chars.as_str()
        }
        (None, None) => true,
        _ => false,
    }
}

/// Sets a property from a call.
pub fn set<S: Properties>(owner: &mut S, name: &str, args: Vec<Value>) -> Result<(), CallError> {
    match find::<S>(name) {
        Some(property) => (property.get_mut)(owner).set(property.name, args),
        None => Err(CallError::Call(format!("no property {name}"))),
    }
}

/// Gives the calls that set what differs from the default.
pub fn calls<S: Properties>(owner: &S) -> Vec<PropertyCall> {
    let mut calls = Vec::new();
    for property in S::PROPERTIES {
        for args in (property.get)(owner).calls() {
            calls.push(PropertyCall { name: property.name, args, nested: Vec::new() });
        }
    }
    calls
}

/// Gives the calls that set what differs from `default`, for properties that do not begin empty.
pub fn calls_beyond<S: Properties>(owner: &S, default: &S) -> Vec<PropertyCall> {
    let mut calls = Vec::new();
    for property in S::PROPERTIES {
        let own = (property.get)(owner);
        if own.json() == (property.get)(default).json() {
            continue;
        }
        for args in own.calls() {
            calls.push(PropertyCall { name: property.name, args, nested: Vec::new() });
        }
    }
    calls
}

/// Gives the JSON members.
pub fn json<S: Properties>(owner: &S) -> serde_json::Map<String, serde_json::Value> {
    S::PROPERTIES
        .iter()
        .map(|property| (property.name.to_owned(), (property.get)(owner).json()))
        .collect()
}

/// Sets the properties from JSON members; members of other names are left to the caller.
pub fn load<S: Properties>(
    owner: &mut S,
    members: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), String> {
    for property in S::PROPERTIES {
        if let Some(value) = members.get(property.name) {
            (property.get_mut)(owner)
                .load(value)
                .map_err(|problem| format!("{}: {problem}", property.name))?;
        }
    }
    Ok(())
}

/// Gives the members of [`crate::spec::Spec`] that follow from the list of properties.
#[macro_export]
macro_rules! spec_properties {
    () => {
        $crate::spec_properties!(@common);

        fn calls(&self) -> Vec<$crate::property::PropertyCall> {
            $crate::property::calls(self)
        }
    };
    // All but the calls.
    (@common) => {
        fn has_property(&self, name: &str) -> bool {
            $crate::property::find::<Self>(name).is_some()
        }

        fn set(
            &mut self,
            name: &str,
            args: Vec<levada_tick::script::Value>,
        ) -> Result<$crate::spec::Set, levada_tick::script::CallError> {
            $crate::property::set(self, name, args).map(|()| $crate::spec::Set::Field)
        }

        fn read(&self, name: &str) -> Option<levada_tick::script::Value> {
            let property = $crate::property::find::<Self>(name)?;
            Some((property.get)(self).read())
        }

        fn boxed_clone(&self) -> Box<dyn $crate::spec::Spec> {
            Box::new(self.clone())
        }
    };
}

/// As [`spec_properties`], for a node whose properties do not begin empty; `default` is a function from the node to one
/// without calls.
#[macro_export]
macro_rules! spec_properties_beyond {
    ($default:expr) => {
        $crate::spec_properties!(@common);

        fn calls(&self) -> Vec<$crate::property::PropertyCall> {
            let default: fn(&Self) -> Self = $default;
            $crate::property::calls_beyond(self, &default(self))
        }
    };
}

/// Gives the JSON members of [`crate::spec::Spec`] for a node whose arguments are properties, too.
#[macro_export]
macro_rules! spec_json {
    () => {
        fn json(&self) -> serde_json::Map<String, serde_json::Value> {
            $crate::property::json(self)
        }

        fn load(
            &mut self,
            json: &serde_json::Map<String, serde_json::Value>,
        ) -> Result<(), String> {
            $crate::property::load(self, json)
        }
    };
}
