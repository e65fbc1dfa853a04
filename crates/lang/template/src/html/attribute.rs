//! What attributes hold, and what their literal values mean.

use crate::html::context::Attr;

/// Attributes whose value is a URL.
const URLS: &[&str] = &[
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
];

/// Attributes that say something about the document, so that no data may name them.
const UNSAFE: &[&str] = &[
    "async",
    "challenge",
    "charset",
    "codetype",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
];

/// Says what an attribute holds; the name is in lower case.
pub(crate) fn kind(name: &str) -> Attr {
    // `data-` attributes and those of a namespace are judged by the rest of their name.
    let name = match name.strip_prefix("data-") {
        Some(rest) => rest,
        None => match name.split_once(':') {
            Some(("xmlns", _)) => return Attr::Url,
            Some((_, local)) => local,
            None => name,
        },
    };
    if URLS.contains(&name) {
        return Attr::Url;
    }
    match name {
        "style" => return Attr::Style,
        "srcset" => return Attr::Srcset,
        name if is_unsafe(name) => return Attr::None,
        _ => {}
    }
    if name.starts_with("on") {
        return Attr::Script;
    }
    // Names that look like addresses are taken for them.
    if name.contains("src") || name.contains("uri") || name.contains("url") {
        return Attr::Url;
    }
    Attr::None
}

/// Says whether data may not make an attribute of this name.
pub(crate) fn is_unsafe(name: &str) -> bool {
    // `srcdoc` is a document of its own: text here, though its name looks like an address.
    name == "srcdoc" || UNSAFE.contains(&name)
}

/// Resolves the character references of a literal value.
///
/// Differs: of the named references those for characters that a context depends on; the others
/// stay as they are, which changes no context.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, len)) => {
                out.push(c);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

const NAMED: &[(&str, char)] = &[
    ("quot", '"'),
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("QUOT", '"'),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("apos;", '\''),
    ("num;", '#'),
    ("quest;", '?'),
    ("sol;", '/'),
    ("bsol;", '\\'),
    ("lpar;", '('),
    ("rpar;", ')'),
    ("grave;", '`'),
    ("lbrace;", '{'),
    ("lcub;", '{'),
    ("rbrace;", '}'),
    ("rcub;", '}'),
    ("equals;", '='),
    ("colon;", ':'),
    ("semi;", ';'),
    ("Tab;", '\t'),
    ("NewLine;", '\n'),
    ("excl;", '!'),
    ("plus;", '+'),
    ("ast;", '*'),
    ("dollar;", '$'),
    ("lsqb;", '['),
    ("lbrack;", '['),
    ("rsqb;", ']'),
    ("rbrack;", ']'),
];

/// Reads one reference; gives the character and the length.
fn reference(text: &str) -> Option<(char, usize)> {
    let body = &text[1..];
    if let Some(number) = body.strip_prefix('#') {
        let (digits, radix, skipped) = match number.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16, 3),
            None => (number, 10, 2),
        };
        let count = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        if count == 0 {
            return None;
        }
        let code = u32::from_str_radix(&digits[..count], radix).unwrap_or(0xfffd);
        let c = char::from_u32(code).filter(|c| *c != '\0').unwrap_or('\u{fffd}');
        let semicolon = usize::from(digits[count..].starts_with(';'));
        return Some((c, skipped + count + semicolon));
    }
    let (name, c) = NAMED.iter().find(|(name, _)| body.starts_with(name))?;
    let semicolon = usize::from(!name.ends_with(';') && body[name.len()..].starts_with(';'));
    Some((*c, 1 + name.len() + semicolon))
}
