//! Globs over IDs.
//!
//! - Source: the rules of Go's `path.Match`, kapacitor reference (server) §1.1.

/// Says whether a text matches; a malformed pattern matches nothing.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    if !is_well_formed(&pattern) {
        return false;
    }
    // Where the last star stands, and what of the text it has taken so far: enough to go back to.
    let (mut at, mut place, mut star) = (0, 0, None);
    loop {
        if pattern.get(place) == Some(&'*') {
            star = Some((place, at));
            place += 1;
            continue;
        }
        if at == text.len() && place == pattern.len() {
            return true;
        }
        if let Some(next) = one(&pattern, place, text.get(at).copied()) {
            (place, at) = (next, at + 1);
            continue;
        }
        match &mut star {
            Some((back, taken)) if *taken < text.len() && text[*taken] != '/' => {
                *taken += 1;
                (place, at) = (*back + 1, *taken);
            }
            _ => return false,
        }
    }
}

/// Matches one character; gives the place behind.
fn one(pattern: &[char], place: usize, character: Option<char>) -> Option<usize> {
    let character = character?;
    match *pattern.get(place)? {
        '?' => (character != '/').then_some(place + 1),
        '[' => {
            let (is_in, next) = class(pattern, place, character)?;
            is_in.then_some(next)
        }
        '\\' => (*pattern.get(place + 1)? == character).then_some(place + 2),
        literal => (literal == character).then_some(place + 1),
    }
}

/// Reads a class that begins at `place`; nothing when it is malformed.
fn class(pattern: &[char], place: usize, character: char) -> Option<(bool, usize)> {
    let mut at = place + 1;
    let is_negated = pattern.get(at) == Some(&'^');
    at += usize::from(is_negated);
    let (mut is_in, mut count) = (false, 0);
    while !(count > 0 && pattern.get(at) == Some(&']')) {
        let (low, next) = class_character(pattern, at)?;
        let (high, next) = match pattern.get(next) {
            Some('-') => class_character(pattern, next + 1)?,
            _ => (low, next),
        };
        is_in |= (low..=high).contains(&character);
        (at, count) = (next, count + 1);
    }
    Some((is_in != is_negated, at + 1))
}

fn class_character(pattern: &[char], at: usize) -> Option<(char, usize)> {
    match *pattern.get(at)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(at + 1)?, at + 2)),
        character => Some((character, at + 1)),
    }
}

fn is_well_formed(pattern: &[char]) -> bool {
    let mut place = 0;
    while let Some(character) = pattern.get(place) {
        place = match character {
            '[' => match class(pattern, place, 'x') {
                Some((_, next)) => next,
                None => return false,
            },
            '\\' if place + 1 == pattern.len() => return false,
            '\\' => place + 2,
            _ => place + 1,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_go() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "aüb", true),
            ("a[^a]b", "aüb", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("[]a]", "]", false),
            ("[x-]", "x", false),
            ("[a-b-c]", "a", false),
            ("[", "a", false),
            ("a[", "a", false),
            ("a\\", "a", false),
            ("*x", "xxx", true),
            ("", "", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(400)));
    }
}
