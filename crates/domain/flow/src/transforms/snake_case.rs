//! `snakeCase`: spells the names of members `like_this`.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::Respell;
use super::{Transform, TransformContext, TransformSpec};

/// Spells the names of members `like_this`; values stay as they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Also renames inside nested objects and arrays. Default: false, the root object only.
    pub deep: bool,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "snakeCase";
    const SUMMARY: &'static str = "spells the names of members like_this";
    const EXAMPLE: &'static str = "\
type: snakeCase
config:
  deep: true
";

    fn check(&self, _: &FieldPath, _: &mut Report) {}

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        Ok(Box::new(Respell::new(Self::NAME, snake, self.deep)))
    }
}

/// Appends a name in snake case.
///
/// An upper-case letter gets a `_` in front when a word ends before it: after a lower-case letter or a
/// digit, or as the last of several upper-case letters before a lower-case one.
fn snake(name: &str, out: &mut String) {
    #[derive(PartialEq)]
    enum Previous {
        None,
        Upper,
        LowerOrDigit,
        OtherLetter,
    }
    let mut previous = Previous::None;
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        if !character.is_uppercase() {
            out.push(character);
            previous = match character {
                _ if character.is_lowercase() || character.is_numeric() => Previous::LowerOrDigit,
                _ if character.is_alphabetic() => Previous::OtherLetter,
                _ => Previous::None,
            };
            continue;
        }
        let ends_word = match previous {
            Previous::LowerOrDigit => true,
            Previous::Upper => characters.peek().is_some_and(|next| next.is_lowercase()),
            Previous::None | Previous::OtherLetter => false,
        };
        if ends_word {
            out.push('_');
        }
        // One letter for one letter, as Go does it: `İ` is the only one whose lower case is two.
        out.extend(character.to_lowercase().next());
        previous = Previous::Upper;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::Scope;
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    #[test]
    fn names_are_spelt_in_snake_case() {
        for (name, expected) in [
            ("firstName", "first_name"),
            ("XMLHttpRequest", "xml_http_request"),
            ("userID", "user_id"),
            ("userID123", "user_id123"),
            ("ID", "id"),
            ("already_snake", "already_snake"),
            ("kebab-Case", "kebab-case"),
            ("", ""),
            ("a1B", "a1_b"),
            ("user_ID", "user_id"),
            ("имяПользователя", "имя_пользователя"),
            ("İD", "id"),
            ("名前Name", "名前name"),
        ] {
            let mut out = String::new();
            snake(name, &mut out);
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
            r#"{ "userId" : 12345678901234567890, "x":{"innerKey":1e21},  "fooBar":"<&>" }"#,
            r#"{"user_id":12345678901234567890, "x":{"innerKey":1e21},"foo_bar":"<&>" }"#,
        );
        check("{}", r#"{ "plain" : 1.0 }"#, r#"{ "plain" : 1.0 }"#);
        check("{}", r#"{"caf\u00e9Bar":1}"#, r#"{"café_bar":1}"#);
        check("{}", r#"{"aB\"C":null}"#, r#"{"a_b\"c":null}"#);
    }

    #[test]
    fn deep_goes_into_objects_and_arrays() {
        let input = r#"{"aB":{"cD":[{"eF":1},[{"gH":2}],"iJ"]}}"#;
        check("{deep: true}", input, r#"{"a_b":{"c_d":[{"e_f":1},[{"g_h":2}],"iJ"]}}"#);
        check("{}", input, r#"{"a_b":{"cD":[{"eF":1},[{"gH":2}],"iJ"]}}"#);
        check("{deep: true}", r#"[{"aB":1}, {"cD":2}]"#, r#"[{"a_b":1}, {"c_d":2}]"#);
        check("{}", r#"[{"aB":1}]"#, r#"[{"aB":1}]"#);
    }

    #[test]
    fn of_colliding_names_the_last_wins() {
        check("{}", r#"{"userId":1,"a":0,"user_id":2}"#, r#"{"a":0,"user_id":2}"#);
        check("{}", r#"{"user_id":2,"a":0,"userId":1}"#, r#"{"a":0,"user_id":1}"#);
        check("{}", r#"{"aB":1,"AB":2,"a_b":3,"A_b":4}"#, r#"{"ab":2,"a_b":4}"#);
    }

    #[test]
    fn collisions_are_counted() {
        let mut scope = Scope::default();
        let mut step = testing::step::<Spec>("{deep: true}", &TransformContext::default());
        for input in
            [r#"{"aB":1,"AB":2,"a_b":3,"A_b":4}"#, r#"[{"c":{"userId":1,"user_id":2}}]"#, "{}"]
        {
            step.record(&mut testing::batch_of(input), 0, &mut scope).unwrap();
        }
        assert_eq!(scope.collisions, 3);
    }

    #[test]
    fn other_payloads_pass_unchanged() {
        for config in ["{}", "{deep: true}"] {
            testing::check_unchanged::<Spec>(config, NOT_JSON);
            testing::check_unchanged::<Spec>(config, NOT_OBJECTS);
            testing::check_unchanged::<Spec>(config, &[b"null"]);
        }
    }

    #[test]
    fn a_large_object_takes_no_quadratic_time() {
        let members: Vec<String> = (0..100_000).map(|n| format!("\"keyNo{n}\":{n}")).collect();
        let input = format!("{{{}}}", members.join(","));
        check("{}", &input, &input.replace("keyNo", "key_no"));
    }
}
