//! Values that must not be shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is shown instead of a secret.
pub(crate) const MASK: &str = "***";

/// Holds a value that prints and serialises as `***`; only [`Secret::expose`] shows it.
///
/// Equality compares the values and takes time that depends on them: to check a credential from outside, compare in
/// constant time instead.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

// === impl Secret ===

impl<T> Secret<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Shows the value. Do not let it reach a log line, an error text or a label.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value away.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of `T` would repeat the value.
        T::deserialize(deserializer)
            .map(Self)
            .map_err(|_| D::Error::custom("invalid secret: the value has the wrong type"))
    }
}

impl<T> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<T: JsonSchema> JsonSchema for Secret<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Secret_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert("writeOnly".into(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nothing_but_expose_shows_the_value() {
        let secret: Secret<String> = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?} {:#?}", Some(&secret), [&secret])
                .matches("hunter2")
                .count(),
            0
        );
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.clone().into_exposed(), "hunter2");
        assert!(secret == Secret::from("hunter2".to_owned()) && secret != Secret::default());
    }

    #[test]
    fn a_wrong_type_is_an_error_that_does_not_show_the_value() {
        #[derive(Debug, Deserialize)]
        struct Holder {
            #[expect(dead_code, reason = "only its error matters")]
            secret: Secret<u64>,
        }
        let error =
            serde_json::from_str::<Holder>("\n{\"secret\":\"hunter2\"}").unwrap_err().to_string();
        assert!(
            error.contains("invalid secret")
                && error.contains("line 2")
                && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn the_schema_is_that_of_the_value_and_write_only() {
        let schema = schemars::schema_for!(Secret<String>);
        assert_eq!(schema.get("type").unwrap(), "string");
        assert_eq!(schema.get("writeOnly").unwrap(), true);
    }
}
