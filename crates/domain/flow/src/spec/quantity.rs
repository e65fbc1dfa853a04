//! Kubernetes resource quantities: only as much as a check needs.

use std::collections::BTreeMap;

use levada_registry::{FieldPath, Report};

/// Reports quantities that are negative or none.
pub(super) fn check(quantities: &BTreeMap<String, String>, at: &FieldPath, report: &mut Report) {
    for (name, text) in quantities {
        let at = at.key(name);
        match sign(text) {
            Some(true) => {
                report.invalid(&at, text.as_str(), "resource quantity must not be negative");
            }
            Some(false) => {}
            None => {
                report.invalid(&at, text.as_str(), "must be a quantity such as 500m, 1 or 256Mi")
            }
        }
    }
}

/// Tells whether a quantity is negative; nothing when the text is no quantity.
fn sign(text: &str) -> Option<bool> {
    const SUFFIXES: [&str; 16] =
        ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "M", "G", "T", "P", "E", ""];
    let is_negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let dots = text.bytes().filter(|&byte| byte == b'.').count();
        digits > 0 && dots <= 1 && digits + dots == text.len()
    };
    let has_exponent = unsigned
        .split_once(['e', 'E'])
        .is_some_and(|(number, exponent)| is_number(number) && exponent.parse::<i32>().is_ok());
    let fits = |suffix: &str| unsigned.strip_suffix(suffix).is_some_and(is_number);
    let is_zero = !unsigned.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    (has_exponent || SUFFIXES.iter().any(|suffix| fits(suffix))).then_some(is_negative && !is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_sign_or_are_none() {
        for (text, expected) in [
            ("1", Some(false)),
            ("500m", Some(false)),
            ("-1", Some(true)),
            ("-0.5Gi", Some(true)),
            ("1e3", Some(false)),
            ("-0", Some(false)),
            ("128Mi", Some(false)),
            ("", None),
            ("Mi", None),
            ("1Q", None),
            ("1.2.3", None),
        ] {
            assert_eq!(sign(text), expected, "{text}");
        }
    }
}
