//! `camelCase`: spells the names of members `LikeThis`.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::Respell;
use super::{Transform, TransformContext, TransformSpec};

/// Spells the names of members `LikeThis`, with a capital first; values stay as they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Also renames inside nested objects and arrays. Default: false, the root object only.
    pub deep: bool,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "camelCase";
    const SUMMARY: &'static str = "spells the names of members LikeThis";
    const EXAMPLE: &'static str = "\
type: camelCase
config:
  deep: true
";

    fn check(&self, _: &FieldPath, _: &mut Report) {}

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        Ok(Box::new(Respell::new(Self::NAME, pascal, self.deep)))
    }
}

/// Appends a name with the parts between `_` joined, the first letter of each a capital.
///
/// A name of nothing but `_` stays as it is.
fn pascal(name: &str, out: &mut String) {
    let mut is_empty = true;
    for part in name.split('_').filter(|part| !part.is_empty()) {
        is_empty = false;
        let mut characters = part.chars();
        if let Some(first) = characters.next() {
            out.push(capital(first));
        }
        out.push_str(characters.as_str());
    }
    if is_empty {
        out.push_str(name);
    }
}

/// Gives the upper case of a letter if that is one letter, as Go does it: `ß` stays.
fn capital(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    #[test]
    fn names_are_spelt_in_pascal_case() {
        for (name, expected) in [
            ("first_name", "FirstName"),
            ("_private", "Private"),
            ("firstName", "FirstName"),
            ("id", "Id"),
            ("user__id", "UserId"),
            ("___", "___"),
            ("", ""),
            ("имя_поля", "ИмяПоля"),
            ("ß_x", "ßX"),
        ] {
            let mut out = String::new();
            pascal(name, &mut out);
            assert_eq!(out, expected, "{name}");
        }
    }

    fn check(config: &str, input: &str, expected: &str) {
        testing::check::<Spec>(config, input, &[expected]);
    }

    #[test]
    fn only_names_change() {
        check(
            "{}",
            r#"{"user_id":12345678901234567890,"Kept" :  1.50,"x":{"in_ner":null}}"#,
            r#"{"UserId":12345678901234567890,"Kept" :  1.50,"X":{"in_ner":null}}"#,
        );
        check("{deep: true}", r#"[{"a_b":{"c_d":1}}]"#, r#"[{"AB":{"CD":1}}]"#);
    }

    #[test]
    fn of_colliding_names_the_last_wins() {
        check("{}", r#"{"user_id":1,"UserId":2}"#, r#"{"UserId":2}"#);
        check("{}", r#"{"UserId":2,"user_id":1}"#, r#"{"UserId":1}"#);
    }

    #[test]
    fn other_payloads_pass_unchanged() {
        for config in ["{}", "{deep: true}"] {
            testing::check_unchanged::<Spec>(config, NOT_JSON);
            testing::check_unchanged::<Spec>(config, NOT_OBJECTS);
            testing::check_unchanged::<Spec>(config, &[b"null"]);
        }
    }
}
