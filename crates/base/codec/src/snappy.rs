//! One block of Snappy, as bodies of remote write are.

/// Takes a block out of its compression.
///
/// - Errors: what it is not, in words; a block says how long it becomes, and one that would be longer than
///   `output_bytes_max` is not begun.
pub fn decompress(input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, &'static str> {
    let damaged = "the Snappy block is damaged";
    let length = snap::raw::decompress_len(input).map_err(|_| damaged)?;
    if length > output_bytes_max {
        return Err("the Snappy block becomes too large");
    }
    // No element of three bytes makes more than 64.
    if length > input.len().saturating_mul(RATIO_MAX) {
        return Err(damaged);
    }
    snap::raw::Decoder::new().decompress_vec(input).map_err(|_| damaged)
}

/// Makes a block; nothing for an input of 4 GiB or more.
pub fn compress(input: &[u8]) -> Option<Vec<u8>> {
    snap::raw::Encoder::new().compress_vec(input).ok()
}

/// The most that a byte can become.
const RATIO_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_within_their_bound() {
        let text = b"text ".repeat(1_000);
        let block = compress(&text).unwrap_or_default();
        assert_eq!(decompress(&block, text.len()).as_deref(), Ok(&*text));
        assert_eq!(decompress(&block, text.len() - 1), Err("the Snappy block becomes too large"));
        for damaged in
            [&b""[..], b"\xff\xff\xff\xff\x0f", b"\x80\x80\x04\x00", &block[..block.len() - 1]]
        {
            assert!(decompress(damaged, 1 << 20).is_err());
        }
    }
}
