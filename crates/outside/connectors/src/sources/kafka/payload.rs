//! What becomes of a payload before it is a record.

use async_trait::async_trait;
use levada_model::RecordError;

use super::Spec;
use crate::kafka::Problem;
use crate::{BuildContext, BuildError};

/// Turns payloads into JSON.
#[async_trait]
pub(super) trait Decode: Send {
    /// Appends the JSON of a payload to `out`; what was appended before an error is cut off again.
    async fn decode(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable>;
}

/// Why a payload was not decoded.
#[derive(Debug)]
pub(super) enum Undecodable {
    /// The payload is wrong; the record fails with this error, its bytes kept.
    Record(RecordError),
    /// What is needed to decode it is away; the record is read again.
    Away(Problem),
}

/// Makes the decoder that the settings ask for; nothing: payloads are records as they are.
pub(super) fn decoder(
    spec: &Spec,
    ctx: &BuildContext,
) -> Result<Option<Box<dyn Decode>>, BuildError> {
    match spec.format.as_str() {
        "avro" => avro::decoder(spec, ctx).map(Some),
        // Source: dataflow-operator.md §1.5, any other word behaves as json.
        _ => Ok(None),
    }
}

#[cfg(feature = "avro")]
mod avro {
    use super::*;
    use crate::formats::avro::{AvroDecoder, AvroError};

    pub(super) fn decoder(spec: &Spec, ctx: &BuildContext) -> Result<Box<dyn Decode>, BuildError> {
        Ok(Box::new(AvroDecoder::new(&spec.record_format(), ctx)?))
    }

    #[async_trait]
    impl Decode for AvroDecoder {
        async fn decode(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
            // Nothing is waited for where the schema is known.
            let decoded = match self.decode_now(payload, out) {
                Ok(true) => Ok(()),
                Ok(false) => AvroDecoder::decode(self, payload, out).await,
                Err(error) => Err(error),
            };
            decoded.map_err(|error| match error {
                AvroError::Record(error) => Undecodable::Record(error),
                AvroError::Source(error) => {
                    Undecodable::Away(Problem::new(error.class, error.to_string()))
                }
            })
        }
    }
}

#[cfg(not(feature = "avro"))]
mod avro {
    use super::*;

    pub(super) fn decoder(_: &Spec, _: &BuildContext) -> Result<Box<dyn Decode>, BuildError> {
        Err(BuildError::Invalid("format avro is not built in".into()))
    }
}
