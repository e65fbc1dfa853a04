//! JSON to trees.

use levada_model::Str;
use serde_json::{Map, Value as Json};

use super::super::ast::{Call, CallKind, Comment, Kind, Node, Operator, Position, Regex};
use super::super::duration::parse_duration;
use super::super::lexer::{is_digit, is_letter};
use super::super::parser::{DEPTH_MAX, parse};

/// Reads a tree.
///
/// A program is written as a script and read again, so that its nodes have places and what the grammar does not allow
/// is refused. Other nodes have no places.
///
/// - Errors: what is missing or wrong, and in which kind of node.
pub fn from_json(json: &Json) -> Result<Node, String> {
    let node = read(json, LEVELS_MAX)?;
    match node.kind {
        Kind::Program(_) => {
            parse(&super::super::format_node(&node)).map_err(|error| error.to_string())
        }
        _ => Ok(node),
    }
}

/// Deepest JSON that is read; a program and its statement are levels here. Reading the script again is exact.
const LEVELS_MAX: u32 = DEPTH_MAX + 8;

type Object = Map<String, Json>;

fn read(json: &Json, levels: u32) -> Result<Node, String> {
    // Chains and rows of operators lean to the left; they are walked, not recursed into.
    let mut row = Vec::new();
    let mut first = object(json)?;
    while let "chain" | "binary" = type_of(first)? {
        row.push(first);
        if row.len() as u32 >= levels {
            return Err(too_deep());
        }
        first = object(get(first, "left")?)?;
    }
    let levels = levels - row.len() as u32;
    let mut built = leaf(first, levels)?;
    for part in row.into_iter().rev() {
        let mut left = built;
        let mut right = child(part, "right", levels)?;
        let operator = operator(part)?;
        let kind = match (type_of(part)?, operator.precedence()) {
            ("chain", None) if operator != Operator::Not => {
                check_step(operator, &right)?;
                Kind::Chain { operator, left: Box::new(left), right: Box::new(right) }
            }
            ("binary", Some(precedence)) => {
                // The original does not say where parentheses stood.
                add_parens(&mut left, precedence);
                add_parens(&mut right, precedence + 1);
                Kind::Binary {
                    operator,
                    left: Box::new(left),
                    right: Box::new(right),
                    in_parens: flag(part, "parens"),
                    is_multi_line: flag(part, "multiLine"),
                }
            }
            (type_of, _) => {
                return Err(format!("operator `{}` in `{type_of}`", operator.text()));
            }
        };
        built = node(part, kind)?;
    }
    Ok(built)
}

fn leaf(object: &Object, levels: u32) -> Result<Node, String> {
    let kind = match type_of(object)? {
        "program" => return program(object, levels),
        "declaration" => Kind::Declaration {
            name: Box::new(name_child(object, "left", levels)?),
            value: Box::new(child(object, "right", levels)?),
        },
        "typeDeclaration" => Kind::TypeDeclaration {
            name: Box::new(name_child(object, "node", levels)?),
            type_name: Box::new(name_child(object, "type", levels)?),
        },
        "dbrp" => Kind::Dbrp {
            database: reference(text(object, "db")?)?,
            retention: reference(text(object, "rp")?)?,
        },
        "func" => func(object, levels)?,
        "lambda" => Kind::Lambda(child(object, "expression", levels)?.into()),
        "list" => Kind::List(children(object, "nodes", levels)?),
        "unary" => {
            let operator = operator(object)?;
            if !matches!(operator, Operator::Minus | Operator::Not) {
                return Err(format!("operator `{}` in `unary`", operator.text()));
            }
            let mut operand = child(object, "node", levels)?;
            add_parens(&mut operand, u8::MAX);
            Kind::Unary { operator, operand: Box::new(operand) }
        }
        "number" => number(object)?,
        "duration" => duration(object)?,
        "bool" => {
            Kind::Bool(get(object, "bool")?.as_bool().ok_or("`bool` of `bool` must be a boolean")?)
        }
        "string" => string(object)?,
        "reference" => Kind::Reference(reference(text(object, "reference")?)?),
        "regex" => Kind::Regex(Regex::compile(text(object, "regex")?)?.into()),
        "star" => Kind::Star,
        "identifier" => Kind::Identifier(name(text(object, "ident")?)?),
        other => return Err(format!("unknown typeOf `{other}`")),
    };
    node(object, kind)
}

fn program(object: &Object, levels: u32) -> Result<Node, String> {
    let mut nodes: Vec<&Json> = array(object, "nodes")?.iter().collect();
    let mut trailing = None;
    if let Some(Json::Object(last)) = nodes.last()
        && type_of(last)? == "comment"
    {
        trailing = Some(Box::new(comment(last)?));
        nodes.pop();
    }
    let statements = nodes.into_iter().map(|node| read(node, deeper(levels)?));
    let kind = Kind::Program(statements.collect::<Result<_, String>>()?);
    Ok(Node { position: Position::default(), comment: trailing, kind })
}

fn func(object: &Object, levels: u32) -> Result<Kind, String> {
    let kind = match text(object, "functionType")? {
        "global" => CallKind::Global,
        "chain" => CallKind::Chain,
        "property" => CallKind::Property,
        "dynamic" => CallKind::Dynamic,
        other => return Err(format!("unknown functionType `{other}`")),
    };
    Ok(Kind::Call(Call {
        kind,
        name: name(text(object, "func")?)?,
        args: children(object, "args", levels)?,
        is_multi_line: flag(object, "multiLine"),
    }))
}

fn number(object: &Object) -> Result<Kind, String> {
    // Numbers may be texts, for readers that know no 64 bits.
    let written = |key: &str| match object.get(key) {
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::String(text)) => text.clone(),
        _ => String::new(),
    };
    if flag(object, "isint") {
        let value =
            written("int64").parse().map_err(|_| "`int64` of `number` must be an integer")?;
        return Ok(Kind::Int { value, is_octal: written("base") == "8" });
    }
    let value: Option<f64> = written("float64").parse().ok();
    let value = value.filter(|value| value.is_finite());
    value.map(Kind::Float).ok_or_else(|| "`float64` of `number` must be a number".to_owned())
}

fn duration(object: &Object) -> Result<Kind, String> {
    let nanos = parse_duration(text(object, "duration")?)?;
    let literal = match object.get("literal") {
        Some(Json::String(literal)) if parse_duration(literal) == Ok(nanos) => literal.as_str(),
        _ => "",
    };
    Ok(Kind::Duration { nanos, literal: literal.into() })
}

fn string(object: &Object) -> Result<Kind, String> {
    let value = text(object, "literal")?;
    let fits_triple = !value.contains("'''") && !value.ends_with('\'');
    if value.ends_with('\\') && !fits_triple {
        return Err(
            "a string that ends in a backslash and holds three quotes cannot be written".to_owned()
        );
    }
    Ok(Kind::String { value: value.into(), is_triple: flag(object, "triple") && fits_triple })
}

fn check_step(operator: Operator, right: &Node) -> Result<(), String> {
    let fits = match (&right.kind, operator) {
        (Kind::Call(call), Operator::Pipe) => call.kind == CallKind::Chain,
        (Kind::Call(call), Operator::Dot) => call.kind == CallKind::Property,
        (Kind::Call(call), _) => call.kind == CallKind::Dynamic,
        (Kind::Identifier(_), Operator::Dot | Operator::At) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("wrong node behind `{}` in `chain`", operator.text())) }
}

fn add_parens(node: &mut Node, least: u8) {
    if let Kind::Binary { operator, in_parens, .. } = &mut node.kind {
        *in_parens |= operator.precedence().is_none_or(|own| own < least);
    }
}

// --- parts of objects ---

fn node(object: &Object, kind: Kind) -> Result<Node, String> {
    let comment = match object.get("comment") {
        Some(Json::Object(own)) => Some(Box::new(comment(own)?)),
        _ => None,
    };
    Ok(Node { position: Position::default(), comment, kind })
}

fn comment(object: &Object) -> Result<Comment, String> {
    let lines = array(object, "comments")?.iter().map(|line| match line {
        Json::String(line) if line == Comment::BLOCK_END => Ok(Comment::BLOCK_END.into()),
        Json::String(line) if !line.contains('\n') => Ok(line.trim_end().into()),
        _ => Err("`comments` must hold lines".to_owned()),
    });
    Ok(Comment { position: Position::default(), lines: lines.collect::<Result<_, String>>()? })
}

fn object(json: &Json) -> Result<&Object, String> {
    json.as_object().ok_or_else(|| "a node must be an object".to_owned())
}

fn type_of(object: &Object) -> Result<&str, String> {
    let kind = object.get("typeOf").and_then(Json::as_str);
    kind.ok_or_else(|| "a node must have a typeOf".to_owned())
}

fn get<'a>(object: &'a Object, key: &str) -> Result<&'a Json, String> {
    object
        .get(key)
        .ok_or_else(|| format!("`{key}` is missing in `{}`", type_of(object).unwrap_or_default()))
}

fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, String> {
    let text = get(object, key)?.as_str();
    text.ok_or_else(|| {
        format!("`{key}` of `{}` must be a string", type_of(object).unwrap_or_default())
    })
}

fn array<'a>(object: &'a Object, key: &str) -> Result<&'a [Json], String> {
    match get(object, key)? {
        Json::Array(items) => Ok(items),
        Json::Null => Ok(&[]),
        _ => Err(format!("`{key}` of `{}` must be a list", type_of(object)?)),
    }
}

fn flag(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Json::as_bool).unwrap_or_default()
}

fn child(object: &Object, key: &str, levels: u32) -> Result<Node, String> {
    read(get(object, key)?, deeper(levels)?)
}

fn name_child(object: &Object, key: &str, levels: u32) -> Result<Node, String> {
    let node = child(object, key, levels)?;
    match node.kind {
        Kind::Identifier(_) => Ok(node),
        _ => Err(format!("`{key}` of `{}` must be an identifier", type_of(object)?)),
    }
}

fn children(object: &Object, key: &str, levels: u32) -> Result<Vec<Node>, String> {
    let levels = deeper(levels)?;
    array(object, key)?.iter().map(|json| read(json, levels)).collect()
}

fn deeper(levels: u32) -> Result<u32, String> {
    levels.checked_sub(1).filter(|levels| *levels > 0).ok_or_else(too_deep)
}

fn too_deep() -> String {
    format!("more than {LEVELS_MAX} levels")
}

fn operator(object: &Object) -> Result<Operator, String> {
    let written = text(object, "operator")?;
    let found = Operator::ALL.into_iter().find(|operator| operator.text() == written);
    found.ok_or_else(|| format!("unknown operator `{written}`"))
}

/// Checks that a name can be written in a script.
fn name(written: &str) -> Result<Str, String> {
    const KEYWORDS: [&str; 6] = ["AND", "OR", "TRUE", "FALSE", "var", "dbrp"];
    let is_name = written.starts_with(is_letter)
        && written.chars().all(|c| is_letter(c) || is_digit(c) || c == '_')
        && !KEYWORDS.contains(&written);
    if is_name { Ok(written.into()) } else { Err(format!("`{written}` is no identifier")) }
}

/// Checks that the name of a field or a tag can be written in a script.
fn reference(written: &str) -> Result<Str, String> {
    match written.ends_with('\\') {
        true => Err("a reference cannot end in a backslash".to_owned()),
        false => Ok(written.into()),
    }
}
