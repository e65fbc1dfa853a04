//! Flat YAML: one `key: value` per line.
//!
//! Lists, objects and texts of several lines are refused, for a table has no place for them.

use std::collections::BTreeMap;

use levada_model::FieldValue;

/// Reads a table.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, FieldValue>, String> {
    let mut table = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return super::files::json(text);
    }
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}", index + 1);
        let content = line.trim_end();
        let is_end = content == "...";
        if content.is_empty() || content == "---" || content.trim_start().starts_with('#') {
            continue;
        }
        if is_end {
            break;
        }
        if content.starts_with([' ', '\t']) {
            return Err(wrong("only a flat object of scalars can be loaded"));
        }
        let (key, rest) = key(content).map_err(wrong)?;
        if let Some(value) = value(rest).map_err(wrong)?
            && table.insert(key, value).is_some()
        {
            return Err(wrong("the key is there twice"));
        }
    }
    Ok(table)
}

fn key(line: &str) -> Result<(String, &str), &'static str> {
    if line.starts_with(['"', '\'']) {
        let (key, rest) = quoted(line)?;
        let rest = rest.trim_start().strip_prefix(':').ok_or("a key without a value")?;
        return Ok((key, rest));
    }
    // A colon within a key has no space behind it.
    let end = line.find(": ").or_else(|| line.find(":\t"));
    let end =
        end.or_else(|| line.strip_suffix(':').map(str::len)).ok_or("a key without a value")?;
    let key = line[..end].trim_end();
    if key.starts_with("- ") || key.starts_with(['?', '[', '&', '*', '!', '|', '>', '%', '@', '`'])
    {
        return Err("only a flat object of scalars can be loaded");
    }
    Ok((key.to_owned(), &line[end + 1..]))
}

/// Gives a value; nothing for `null`.
fn value(text: &str) -> Result<Option<FieldValue>, &'static str> {
    let text = text.trim();
    if text.starts_with(['"', '\'']) {
        let (value, rest) = quoted(text)?;
        let rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err("text behind a quoted value");
        }
        return Ok(Some(FieldValue::Str(value.into())));
    }
    let text = match text.find(" #") {
        Some(at) => text[..at].trim_end(),
        None if text.starts_with('#') => "",
        None => text,
    };
    if text.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@', '`']) {
        return Err("only a flat object of scalars can be loaded");
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => None,
        "true" | "True" | "TRUE" => Some(FieldValue::Bool(true)),
        "false" | "False" | "FALSE" => Some(FieldValue::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => Some(FieldValue::Float(f64::NAN)),
        ".inf" | "+.inf" => Some(FieldValue::Float(f64::INFINITY)),
        "-.inf" => Some(FieldValue::Float(f64::NEG_INFINITY)),
        _ => Some(number(text).unwrap_or_else(|| FieldValue::Str(text.into()))),
    })
}

fn number(text: &str) -> Option<FieldValue> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().filter(|_| digits == text).map(FieldValue::Int);
    }
    // `inf`, `nan` and `1_000` are texts here.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    match text.parse() {
        Ok(number) => Some(FieldValue::Int(number)),
        Err(_) => text.parse().ok().map(FieldValue::Float),
    }
}

/// Reads a text in quotes and gives what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\'', Some('\'')) => {
                if !text[at + 1..].starts_with('\'') {
                    return Ok((value, &text[at + 1..]));
                }
                chars.next();
                value.push('\'');
            }
            ('"', Some('"')) => return Ok((value, &text[at + 1..])),
            ('\\', Some('"')) => {
                let (_, escape) = chars.next().ok_or("a quote that is not closed")?;
                value.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '0' => '\0',
                    'u' | 'x' => {
                        let count = if escape == 'u' { 4 } else { 2 };
                        let mut code = 0;
                        for _ in 0..count {
                            let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
                            code = code * 16 + digit.ok_or("an escape that is none")?;
                        }
                        char::from_u32(code).ok_or("an escape that is none")?
                    }
                    '"' | '\\' | '/' | ' ' => escape,
                    _ => return Err("an escape that is none"),
                });
            }
            _ => value.push(c),
        }
    }
    Err("a quote that is not closed")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scalars_are_read_as_yaml_has_them() {
        let text = "---\n# about\na: 1\nb: -2.5 # half\nc: yes it is\n\"d e\": 'it''s'\nf: \"a\\tb\\u0041\"\n\
            g: true\nh: ~\ni: 0x10\nj: 1_000\nk:l: x#y\nm: .5\nn: 1e3\no:\n...\nnot read";
        let table = read(text).unwrap();
        let text_of = |text: &str| FieldValue::Str(text.into());
        let wanted = [
            ("a", FieldValue::Int(1)),
            ("b", FieldValue::Float(-2.5)),
            ("c", text_of("yes it is")),
            ("d e", text_of("it's")),
            ("f", text_of("a\tbA")),
            ("g", FieldValue::Bool(true)),
            ("i", FieldValue::Int(16)),
            ("j", text_of("1_000")),
            ("k:l", text_of("x#y")),
            ("m", FieldValue::Float(0.5)),
            ("n", FieldValue::Float(1000.0)),
        ];
        let wanted: BTreeMap<String, FieldValue> =
            wanted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(table, wanted);
        assert_eq!(read("{\"a\": 1}").unwrap().len(), 1, "JSON is YAML, too");
    }

    #[test]
    fn what_is_not_flat_is_refused_with_its_line() {
        let cases = [
            ("a:\n  b: 1", "line 2: only a flat object of scalars can be loaded"),
            ("- a", "line 1: a key without a value"),
            ("a: [1]", "line 1: only a flat object of scalars can be loaded"),
            ("a: |\n  text", "line 1: only a flat object of scalars can be loaded"),
            ("a: 'x", "line 1: a quote that is not closed"),
            ("a: 'x' y", "line 1: text behind a quoted value"),
            ("a: \"\\q\"", "line 1: an escape that is none"),
            ("a: 1\na: 2", "line 2: the key is there twice"),
        ];
        for (text, wanted) in cases {
            assert_eq!(read(text).unwrap_err(), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9:#'\"\\\\ \t\n\\-{}\\[\\]~.é]{0,60}") {
            read(&text).ok();
        }

        #[test]
        fn a_quoted_text_comes_back(text in "[^\n\r]{0,20}") {
            let table = read(&format!("k: '{}'", text.replace('\'', "''"))).unwrap();
            prop_assert_eq!(&table["k"], &FieldValue::Str(text.into()));
        }
    }
}
