//! What becomes of a payload before it is a record.

use async_trait::async_trait;

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
    /// The payload is wrong; the record fails with this text, its bytes kept.
    #[cfg_attr(not(test), expect(dead_code, reason = "until a decoder is connected"))]
    Record(String),
    /// What is needed to decode it is away; the record is read again.
    #[cfg_attr(not(test), expect(dead_code, reason = "until a decoder is connected"))]
    Away(Problem),
}

/// Makes the decoder that the settings ask for; nothing: payloads are records as they are.
pub(super) fn decoder(
    spec: &Spec,
    _ctx: &BuildContext,
) -> Result<Option<Box<dyn Decode>>, BuildError> {
    match spec.format.as_str() {
        // AVRO: this is the one place where the decoder of `formats::avro` is connected.
        "avro" => Err(BuildError::Invalid("format avro is not built in".into())),
        // Source: dataflow-operator.md §1.5, any other word behaves as json.
        _ => Ok(None),
    }
}
