//! How wide text is, without a font: estimates on the wide side of common fonts.

/// A font of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Font {
    /// Proportional, for names.
    Sans,
    /// Of fixed width, for what was written in the flow.
    Mono,
}

/// Gives the estimated width of a text in pixels.
pub(super) fn width(text: &str, font: Font, size: f64) -> i32 {
    let ems: f64 = text.chars().map(|c| ems(c, font)).sum();
    (ems * size).ceil() as i32
}

/// Gives the text, or as much of it as fits, with an ellipsis.
pub(super) fn fit(text: &str, font: Font, size: f64, width_max: i32) -> String {
    if width(text, font, size) <= width_max {
        return text.to_owned();
    }
    let mut used = ems('…', font);
    let mut fitted = String::new();
    for c in text.chars() {
        used += ems(c, font);
        if used * size > f64::from(width_max) {
            break;
        }
        fitted.push(c);
    }
    fitted.truncate(fitted.trim_end().len());
    fitted.push('…');
    fitted
}

fn ems(c: char, font: Font) -> f64 {
    match (font, c) {
        // Full-width scripts and most symbols beyond the basic plane.
        (_, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}') => 1.05,
        (_, '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}') => 1.05,
        (_, '\u{10000}'..) => 1.3,
        (Font::Mono, _) => 0.62,
        (Font::Sans, 'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!') => 0.34,
        (Font::Sans, 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | ' ' | '-' | '"') => 0.42,
        (Font::Sans, 'm' | 'w' | 'M' | 'W' | '@' | '%') => 0.98,
        (Font::Sans, 'A'..='Z') => 0.73,
        (Font::Sans, 'a'..='z' | '0'..='9' | '_' | '$') => 0.62,
        (Font::Sans, ..='\u{7f}') => 0.7,
        (Font::Sans, '…') => 1.0,
        (Font::Sans, _) => 0.8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_shortened() {
        assert_eq!(fit("abc", Font::Mono, 10.0, 19), "abc");
        assert_eq!(fit("abcd", Font::Mono, 10.0, 19), "ab…");
        assert_eq!(fit("ab cd", Font::Mono, 10.0, 25), "ab…");
        assert_eq!(fit("abc", Font::Sans, 10.0, 0), "…");
        assert!(width("日本", Font::Mono, 10.0) > width("ab", Font::Mono, 10.0));
    }
}
