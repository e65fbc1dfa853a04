//! Avro records as JSON text.
//!
//! ```text
//! payload ─▶ framed? ─┬─ 0x00, number of 4 bytes ─▶ registry: kept, or asked once ─┐
//!                     └─ else ─▶ the schema of the settings ──────────────────────┴▶ decode ─▶ JSON
//! ```
//!
//! How a source uses it:
//! ```text
//! let mut avro = AvroDecoder::new(&format, ctx)?;     // in `build`; compiles `avroSchema`
//! avro.open().await?;                                 // in `open`, if files shall be read (again) there
//! match avro.decode(payload, &mut batch.text).await { // in `next`; waits only for a schema not yet known
//!     Ok(()) => batch.push_span(…),
//!     Err(AvroError::Record(error)) => batch.push_broken(payload, origin, position, error),
//!     Err(AvroError::Source(error)) => return Err(error), // the payload was not dealt with
//! }
//! ```
//! A decoder that was not opened opens itself with the first record. [`AvroDecoder::decode_now`] is the same without waiting, where the schema is known. After an error the
//! output is as it was before. Both are cancel-safe. A tombstone (no value) is not for the decoder: an
//! empty value is an error, as in the original.
//!
//! The JSON: integers and decimals with all their digits, floats in their shortest form (`"NaN"`,
//! `"Infinity"` as texts), bytes and fixed in base64, times as ISO 8601 / RFC 3339 texts (see [`text`]),
//! a symbol of an enum as text, the chosen branch of a union without a wrapper, the fields of a record in
//! their order. Logical types that are not known, or do not fit, leave the plain type.
//!
//! Differs from the original (dataflow-operator.md §3.1): references between schemas are followed;
//! certificates are checked; values that look like `{"array": …}` stay what they are; a record that cannot
//! be decoded is reported, not skipped; with a schema in the settings and no registry, a record that
//! begins with 0x00 is decoded (that is how a union begins whose first branch is null), and only when that fails
//! taken for a framed one; bytes that are left over are an error.

mod decode;
mod registry;
mod schema;
mod text;

use levada_codec::lines::DEFAULT_MAX_RECORD_BYTES;
use levada_model::RecordError;
use tokio::io::AsyncReadExt as _;

use crate::blocks::avro::RecordFormat;
use crate::context::BuildContext;
use crate::spec::BuildError;
use crate::traits::SourceError;
use registry::{Registry, SCHEMA_BYTES_MAX};
use schema::{Schema, Type};

/// The JSON text of a record at most; see [`decode`].
const TEXT_MAX: usize = DEFAULT_MAX_RECORD_BYTES;

/// The first byte of a record that says which schema wrote it, and the length of that.
///
/// Source: Confluent's wire format.
const MAGIC: u8 = 0;
const FRAME_BYTES: usize = 5;

/// Makes JSON of Avro records; see the [module](self).
pub(crate) struct AvroDecoder {
    /// The schema of the settings, once it is there.
    own: Option<Schema>,
    /// The path of the schema, where `own` is read from a file.
    file: Option<String>,
    registry: Option<Registry>,
    is_open: bool,
    ctx: BuildContext,
}

/// Why a record was not decoded.
#[derive(Debug)]
pub(crate) enum AvroError {
    /// The record is at fault, and always will be.
    Record(RecordError),
    /// The schema is not to be had: transient when the registry is away, else for good.
    Source(SourceError),
}

/// What is needed for a record.
enum Step {
    Done,
    Ask(u32),
}

// === impl AvroError ===

impl std::fmt::Display for AvroError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AvroError::Record(error) => error.fmt(f),
            AvroError::Source(error) => error.fmt(f),
        }
    }
}

// === impl AvroDecoder ===

impl AvroDecoder {
    /// Makes a decoder from the settings of a source whose references to secrets were resolved.
    ///
    /// `avroSchema` wins over `avroSchemaFile`.
    pub(crate) fn new(format: &RecordFormat<'_>, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: String| BuildError::Invalid(text);
        let own = match format.schema.trim() {
            "" => None,
            text => {
                Some(Schema::parse(text).map_err(|error| invalid(format!("avroSchema: {error}")))?)
            }
        };
        let file = (own.is_none() && !format.schema_file.is_empty())
            .then(|| format.schema_file.to_owned());
        let registry = format.registry.map(|block| Registry::new(block, ctx)).transpose()?;
        if own.is_none() && file.is_none() && registry.is_none() {
            let text = "format avro needs avroSchema, avroSchemaFile, avroSchemaSecretRef or \
                        schemaRegistry";
            return Err(invalid(text.to_owned()));
        }
        // Without files there is nothing to open.
        let is_open = file.is_none() && registry.is_none();
        Ok(AvroDecoder { own, file, registry, is_open, ctx: ctx.clone() })
    }

    /// Reads the files of the settings; called again after a failure.
    pub(crate) async fn open(&mut self) -> Result<(), SourceError> {
        if let Some(file) = &self.file {
            self.own = Some(read_schema(file, &self.ctx).await?);
        }
        if let Some(registry) = &mut self.registry {
            registry.open(&self.ctx).await?;
        }
        self.is_open = true;
        Ok(())
    }

    /// Appends the JSON text of a record, when its schema is known; otherwise gives false.
    pub(crate) fn decode_now(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, AvroError> {
        Ok(self.is_open && matches!(self.step(payload, out)?, Step::Done))
    }

    /// Appends the JSON text of a record; waits for the registry when its schema is not known.
    pub(crate) async fn decode(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AvroError> {
        if !self.is_open {
            self.open().await.map_err(AvroError::Source)?;
        }
        if let Step::Ask(id) = self.step(payload, out)? {
            if let Some(registry) = &mut self.registry {
                registry.ask(id).await?;
            }
            if let Step::Ask(id) = self.step(payload, out)? {
                return Err(record(format!("schema {id} is not known")));
            }
        }
        Ok(())
    }

    fn step(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<Step, AvroError> {
        if payload.is_empty() {
            // Source: dataflow-operator.md §3.1.
            return Err(record("empty Avro data".into()));
        }
        let Some(registry) = &mut self.registry else {
            return self.decode_own(payload, out).map(|()| Step::Done);
        };
        let shortest = if self.own.is_some() { FRAME_BYTES + 1 } else { FRAME_BYTES };
        if payload[0] != MAGIC || payload.len() < shortest {
            return self.decode_own(payload, out).map(|()| Step::Done);
        }
        let (frame, body) = payload.split_at(FRAME_BYTES);
        let id = id(frame);
        match registry.known(id) {
            None => Ok(Step::Ask(id)),
            Some(Err(error)) => Err(AvroError::Record(error.clone())),
            Some(Ok(schema)) => {
                if matches!(schema.root(), Type::Bytes) {
                    // Source: Confluent's serializer writes a record that is nothing but bytes as it is.
                    if body.len() > TEXT_MAX / 4 * 3 {
                        return Err(record("the record becomes too long as JSON".into()));
                    }
                    decode::push_base64(body, out);
                    return Ok(Step::Done);
                }
                decode::decode(schema, body, TEXT_MAX, out)
                    .map_err(|fault| record(format!("cannot be read with schema {id}: {fault}")))?;
                Ok(Step::Done)
            }
        }
    }

    /// Decodes with the schema of the settings.
    fn decode_own(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), AvroError> {
        let Some(schema) = &self.own else {
            let text = "the record does not say which schema wrote it: it must begin with 0x00 and the number \
                        of a schema, or avroSchema must be set";
            return Err(record(text.into()));
        };
        decode::decode(schema, payload, TEXT_MAX, out).map_err(|fault| {
            let mut text = format!("cannot be read with the schema of the settings: {fault}");
            if payload[0] == MAGIC && payload.len() > FRAME_BYTES && self.registry.is_none() {
                let id = id(payload);
                text.push_str(&format!(
                    "; it may name schema {id} of a registry, and schemaRegistry is not set"
                ));
            }
            record(text)
        })
    }
}

/// Gives the number of a schema behind the magic byte; `frame` has five bytes or more.
fn id(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[1..FRAME_BYTES].try_into().expect("four bytes"))
}

fn record(message: String) -> AvroError {
    AvroError::Record(RecordError::invalid(message))
}

async fn read_schema(file: &str, ctx: &BuildContext) -> Result<Schema, SourceError> {
    let path = ctx.base_dir.join(file);
    let failed =
        |error| SourceError::io(format!("avroSchemaFile: cannot read `{}`", path.display()), error);
    let mut text = Vec::new();
    let opened = tokio::fs::File::open(&path).await.map_err(failed)?;
    opened.take(SCHEMA_BYTES_MAX as u64 + 1).read_to_end(&mut text).await.map_err(failed)?;
    let invalid = |why: String| {
        let text = format!("avroSchemaFile: `{}`: {why}", path.display());
        SourceError::new(levada_model::ErrorClass::InvalidData, text)
    };
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(invalid(format!("is longer than {SCHEMA_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(text).map_err(|_| invalid("is not UTF-8".into()))?;
    Schema::parse(&text).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests;
