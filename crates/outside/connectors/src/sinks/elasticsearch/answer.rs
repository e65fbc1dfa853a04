//! What the results of a bulk request say about its records.

use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{ErrorClass, RecordError};

use super::OpType;
use crate::http_client::Answer;
use crate::traits::{Outcomes, SinkError};

/// Bytes of a server's reason that an error shows.
const REASON_BYTES_MAX: usize = 400;

/// What decides about items.
pub(super) struct Rules<'a> {
    pub(super) target: &'a str,
    pub(super) op_type: OpType,
    pub(super) has_id: bool,
    /// The index, when every record has the same.
    pub(super) fixed_index: Option<&'a str>,
}

/// Reads answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    tree: Tree,
}

/// What an item's result means.
#[derive(Debug, PartialEq)]
enum Verdict {
    Delivered,
    Rejected(RecordError),
    /// The item is written again.
    Again(String),
    /// The flow cannot go on.
    Stop(ErrorClass, String),
}

// === impl Answers ===

impl Answers {
    /// Answers for the records of a request that was accepted.
    ///
    /// Errors: some records must be written again, or the answer is none.
    pub(super) fn judge(
        &mut self,
        rules: &Rules<'_>,
        answer: &Answer,
        sent: &[usize],
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let target = rules.target;
        let transient = |text: String| Err(SinkError::new(ErrorClass::Transient, text));
        if !answer.is_whole {
            return transient(format!("the answer of `{target}` broke off"));
        }
        let body = &answer.body[..];
        let end = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.tree.clear();
        let root = match std::str::from_utf8(body) {
            Ok(_) => self.tree.parse(body, 0, end).ok(),
            Err(_) => None,
        };
        let items = root.and_then(|root| self.tree.member(body, root, b"items"));
        let Some(items) = items.filter(|&items| self.tree.kind(items) == NodeKind::Array) else {
            let message = format!("`{target}` answered something else than bulk results");
            return Err(SinkError::new(ErrorClass::Unknown, message));
        };
        let count = self.tree.children(items).count();
        if count != sent.len() {
            let sent = sent.len();
            return transient(format!("`{target}` answered for {count} of {sent} records"));
        }
        let mut again: Option<(usize, String)> = None;
        for (item, &index) in self.tree.children(items).zip(sent) {
            match self.verdict(rules, body, item) {
                Verdict::Delivered => outcomes.delivered(index..index + 1),
                Verdict::Rejected(error) => outcomes.rejected(index, error),
                Verdict::Again(text) => again.get_or_insert((0, text)).0 += 1,
                Verdict::Stop(class, message) => return Err(SinkError::new(class, message)),
            }
        }
        match again {
            None => Ok(()),
            Some((count, text)) => {
                transient(format!("`{target}` cannot take {count} of {} now: {text}", sent.len()))
            }
        }
    }

    fn verdict(&self, rules: &Rules<'_>, body: &[u8], item: NodeId) -> Verdict {
        // `{"index": {"status": 201}}`: the one member is what was done.
        let Some(result) = self.tree.children(item).next() else {
            return Verdict::Again("a result without a status".to_owned());
        };
        let status = self.tree.member(body, result, b"status");
        let status = status.and_then(|node| self.tree.literal(body, node)?.parse::<u16>().ok());
        let error = self.tree.member(body, result, b"error");
        let kind = error.and_then(|error| self.text(body, error, b"type")).unwrap_or_default();
        match (status.unwrap_or(0), rules.op_type) {
            (200..=299, _) => Verdict::Delivered,
            (409, OpType::Create) if rules.has_id => Verdict::Delivered,
            (404, OpType::Delete) if error.is_none() => Verdict::Delivered,
            (429 | 500..=599, _) => Verdict::Again(self.reason(body, error)),
            (_, _) if kind == "cluster_block_exception" => Verdict::Again(self.reason(body, error)),
            (404, _) if kind == "index_not_found_exception" => match rules.fixed_index {
                Some(index) => Verdict::Stop(
                    ErrorClass::Unknown,
                    format!(
                        "`{}` has no index `{index}` and does not create it: make the index, or \
                         allow it to be created",
                        rules.target
                    ),
                ),
                None => Verdict::Rejected(RecordError {
                    class: ErrorClass::InvalidData,
                    message: self.reason(body, error),
                }),
            },
            (401 | 403, _) if kind.contains("security") || kind.is_empty() => {
                let reason = self.reason(body, error);
                let message = format!("`{}` does not allow the write: {reason}", rules.target);
                Verdict::Stop(ErrorClass::AuthError, message)
            }
            (400, _) if let Some(hint) = self.setting_at_fault(body, error) => {
                let reason = self.reason(body, error);
                Verdict::Stop(ErrorClass::Unknown, format!("`{}`: {reason}; {hint}", rules.target))
            }
            (0, _) => Verdict::Again("a result without a status".to_owned()),
            (409, _) => Verdict::Rejected(RecordError {
                class: ErrorClass::ConstraintViolation,
                message: self.reason(body, error),
            }),
            _ => Verdict::Rejected(RecordError::invalid(self.reason(body, error))),
        }
    }

    /// Tells which setting is wrong, when every record would be refused for it.
    ///
    /// Source: the texts of Elasticsearch 7 and 8 and OpenSearch 2; they have no type of their own.
    fn setting_at_fault(&self, body: &[u8], error: Option<NodeId>) -> Option<&'static str> {
        let reason = self.text(body, error?, b"reason")?;
        if reason.starts_with("pipeline with id [") && reason.ends_with("does not exist") {
            return Some("see the setting pipeline");
        }
        reason
            .contains("op_type of create are allowed in data streams")
            .then_some("set opType to create")
    }

    fn text<'b>(
        &self,
        body: &'b [u8],
        object: NodeId,
        key: &[u8],
    ) -> Option<std::borrow::Cow<'b, str>> {
        self.tree.string(body, self.tree.member(body, object, key)?)
    }

    /// Gives `type: reason: cause`, cut.
    fn reason(&self, body: &[u8], error: Option<NodeId>) -> String {
        let Some(error) = error else { return "no reason was given".to_owned() };
        let cause = self.tree.member(body, error, b"caused_by");
        let parts = [
            self.text(body, error, b"type"),
            self.text(body, error, b"reason"),
            cause.and_then(|cause| self.text(body, cause, b"reason")),
        ];
        let mut out = String::new();
        for part in parts.into_iter().flatten() {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        if out.len() > REASON_BYTES_MAX {
            out.truncate(out.floor_char_boundary(REASON_BYTES_MAX));
            out.push('…');
        }
        out
    }
}
