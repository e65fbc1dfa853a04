//! Points as they were understood: the parameter `echo`. Source: dataway reference §9.2.

use hyper::StatusCode;
use levada_codec::compression::Compression;
use levada_gateway::ingest::{self, Bounds, Encoder, Form, Workspace, Write};
use levada_gateway::rules::{RuleSet, RulesSpec, Target};
use levada_gateway::wal::Encoding;

use super::take::refused;
use crate::answer::Answer;
use crate::error::ApiError;
use crate::request::Query;

/// How points are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Lines,
    Json,
    ProtobufJson,
}

// === impl Echo ===

impl Echo {
    /// Gives what a query asks for.
    pub(super) fn of(query: &Query) -> Option<Self> {
        let has = |name: &str| query.get(name).is_some_and(|value| !value.is_empty());
        match query.text("echo") {
            "lp" => Some(Echo::Lines),
            "json" => Some(Echo::Json),
            "pbjson" => Some(Echo::ProtobufJson),
            // Names of earlier versions.
            _ if has("echo_line_proto") => Some(Echo::Lines),
            _ if has("echo_json") => Some(Echo::Json),
            _ => None,
        }
    }
}

/// Reads a body and gives its points back, checked, in the way asked for.
///
/// - Errors: those of the body.
pub(super) fn echo(write: &Write, echo: Echo) -> Result<Answer, ApiError> {
    // All of it is to be one body.
    let bounds = Bounds { record_bytes_max: u32::MAX as usize, ..Bounds::default() };
    let rules = RulesSpec { default: Some(Target::Each(vec![0])), ..RulesSpec::default() };
    let rules = RuleSet::new(rules, 1).map_err(|error| ApiError::internal(error.to_string()))?;
    let prepared = ingest::prepare(write, &rules, &bounds, &mut Workspace::default());
    let (buckets, _) = prepared.map_err(|error| refused(&error))?;
    let (encoding, content_type) = match echo {
        Echo::Lines => (Encoding::LineProtocol, "text/plain; charset=utf-8"),
        Echo::Json => (Encoding::Json, "application/json; charset=utf-8"),
        Echo::ProtobufJson => (Encoding::ProtobufJson, "application/json; charset=utf-8"),
    };
    let form = Form { encoding, compression: Compression::None, has_global_tags: false };
    let records = Encoder::new(bounds, 0).encode(&buckets, write, &[form]);
    let records = records.map_err(|error| refused(&error))?;
    let body = records.into_iter().next().map(|one| one.record.body.to_vec()).unwrap_or_default();
    Ok(Answer::bytes(StatusCode::OK, content_type, body))
}
