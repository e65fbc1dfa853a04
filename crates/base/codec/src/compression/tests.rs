#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const FORMATS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// Feeds pieces of the given size and pulls into buffers of the given size.
fn pull(
    format: Compression,
    limits: Limits,
    input: &[u8],
    piece: usize,
    room: usize,
) -> (Vec<u8>, Result<(), CompressionError>) {
    let mut decompressor = Decompressor::new(format, limits).unwrap();
    let mut output = Vec::new();
    for piece in input.chunks(piece) {
        let mut rest = piece;
        loop {
            let before = output.len();
            match decompressor.step_into(rest, &mut output, room) {
                Ok(step) => {
                    assert!(step.produced <= room && output.len() - before == step.produced);
                    rest = &rest[step.consumed..];
                    if rest.is_empty() && !decompressor.has_more() {
                        break;
                    }
                    assert_ne!(step, Step::default(), "no progress with {} bytes", rest.len());
                }
                Err(error) => return (output, Err(error)),
            }
        }
    }
    (output, decompressor.finish())
}

fn unlimited() -> Limits {
    Limits { ratio_max: None, ..Limits::default() }
}

fn text(lines: usize) -> Vec<u8> {
    (0..lines)
        .flat_map(|line| format!("{{\"line\":{line},\"x\":{}}}\n", line * 7919).into_bytes())
        .collect()
}

#[test]
fn detects_by_magic_extension_and_encoding() {
    for format in FORMATS {
        let bytes = compress_all(format, b"hello").unwrap();
        assert_eq!(Compression::detect(&bytes), format);
        let path = format!("/a.b/x.json.{}", format.extension());
        assert_eq!(Compression::from_path(Path::new(&path)), format);
    }
    assert_eq!(Compression::detect(&[0x50, 0x2a, 0x4d, 0x18]), Compression::Zstd);
    assert_eq!(Compression::detect(&[0x1f, 0x8b]), Compression::None);
    assert_eq!(Compression::detect(b""), Compression::None);
    assert_eq!(Compression::from_path(Path::new("X.GZ")), Compression::Gzip);
    assert_eq!(Compression::from_path(Path::new("gz")), Compression::None);
    assert_eq!(Compression::from_content_encoding(" GZIP "), Some(Compression::Gzip));
    assert_eq!(Compression::from_content_encoding("identity"), Some(Compression::None));
    assert_eq!(Compression::from_content_encoding("gzip, zstd"), None);
    assert_eq!(Compression::from_content_encoding("br"), None);
}

#[test]
fn members_and_frames_follow_each_other() {
    let plain = text(3000);
    for format in FORMATS {
        let mut bytes = Vec::new();
        let mut compressor = Compressor::new(format, None).unwrap();
        for part in plain.chunks(40_000) {
            compressor.write(part, &mut bytes).unwrap();
            compressor.finish(&mut bytes).unwrap();
        }
        bytes.extend(compress_all(format, b"").unwrap());
        bytes.extend(compress_all(format, b"end").unwrap());
        for (piece, room) in [(1, 1), (1, 4096), (7, 100), (1 << 20, 1), (1 << 20, 1 << 20)] {
            let (output, end) = pull(format, Limits::default(), &bytes, piece, room);
            end.unwrap();
            assert!(output.strip_suffix(b"end").unwrap() == plain, "{format} {piece} {room}");
        }
    }
}

#[test]
fn a_skippable_frame_is_skipped() {
    let mut bytes = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    bytes.extend(compress_all(Compression::Zstd, b"x").unwrap());
    for piece in [1, 100] {
        let (output, end) = pull(Compression::Zstd, unlimited(), &bytes, piece, 10);
        end.unwrap();
        assert_eq!(output, b"x");
    }
}

#[test]
fn every_truncation_is_an_error_with_its_offset() {
    for format in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = compress_all(format, &text(20)).unwrap();
        let first = bytes.len();
        bytes.extend(compress_all(format, b"second").unwrap());
        for cut in 0..bytes.len() {
            let (_, end) = pull(format, unlimited(), &bytes[..cut], 5, 64);
            match end {
                Ok(()) => assert_eq!(cut, first),
                Err(CompressionError::Truncated { offset, .. }) => assert_eq!(offset, cut as u64),
                Err(other) => panic!("{format} {cut}: {other}"),
            }
        }
    }
}

#[test]
fn what_came_before_a_truncation_or_a_bad_checksum_is_delivered() {
    let plain = text(2000);
    let bytes = compress_all(Compression::Gzip, &plain).unwrap();
    let (output, end) = pull(Compression::Gzip, unlimited(), &bytes[..bytes.len() - 4], 999, 512);
    assert!(matches!(end, Err(CompressionError::Truncated { .. })));
    assert!(output == plain);
    let mut bytes = bytes;
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let (output, end) = pull(Compression::Gzip, unlimited(), &bytes, 1 << 20, 1 << 20);
    assert!(matches!(end, Err(CompressionError::Damaged { .. })), "{end:?}");
    assert!(output == plain);
}

#[test]
fn bytes_after_the_end_are_damage() {
    for format in [Compression::Gzip, Compression::Zstd] {
        for tail in [&b"garbage!"[..], &[0; 8]] {
            let mut bytes = compress_all(format, b"x").unwrap();
            let end_offset = bytes.len() as u64;
            bytes.extend_from_slice(tail);
            for piece in [1, 1000] {
                let (output, end) = pull(format, unlimited(), &bytes, piece, 100);
                let Err(CompressionError::Damaged { offset, .. }) = end else {
                    panic!("{format}: {end:?}")
                };
                assert!(offset >= end_offset && offset <= end_offset + 8, "{format} {offset}");
                assert_eq!(output, b"x");
            }
        }
        assert!(decompress_all(format, b"plain text", 100).is_err());
    }
}

#[test]
fn a_stream_stays_failed() {
    let mut decompressor = Decompressor::new(Compression::Zstd, unlimited()).unwrap();
    let mut output = [0; 16];
    assert!(decompressor.step(b"not zstd", &mut output).is_err());
    assert!(!decompressor.has_more());
    for result in [decompressor.step(b"x", &mut output).map(|_| ()), decompressor.finish()] {
        assert!(matches!(result, Err(CompressionError::AfterError { .. })));
    }
}

#[test]
fn the_output_cap_is_exact() {
    for format in FORMATS {
        let plain = text(100);
        let bytes = compress_all(format, &plain).unwrap();
        assert!(decompress_all(format, &bytes, plain.len()).unwrap() == plain);
        let error = decompress_all(format, &bytes, plain.len() - 1).unwrap_err();
        assert!(error.to_string().starts_with("expansion limit: "), "{error}");
        let CompressionError::ExpansionLimit { produced, cap, .. } = error else { panic!() };
        assert_eq!(produced, plain.len() as u64);
        assert_eq!(cap, Cap::OutputBytes(plain.len() as u64 - 1));
        assert!(decompress_all(format, &compress_all(format, b"").unwrap(), 0).unwrap().is_empty());
    }
}

#[test]
fn the_ratio_cap_stops_a_bomb_early_and_can_be_lifted() {
    // 256 MiB of zeros: zstd packs them beyond 10,000:1.
    let zeros = vec![0; 1 << 20];
    let mut bytes = Vec::new();
    let mut compressor = Compressor::new(Compression::Zstd, None).unwrap();
    for _ in 0..256 {
        compressor.write(&zeros, &mut bytes).unwrap();
    }
    compressor.finish(&mut bytes).unwrap();

    let (output, end) = pull(Compression::Zstd, Limits::default(), &bytes, 4096, 64 << 10);
    let Err(CompressionError::ExpansionLimit { cap, .. }) = end else { panic!("{end:?}") };
    assert_eq!(cap, Cap::Ratio(1000));
    assert!(output.len() >= 1 << 20 && output.len() < 16 << 20, "{}", output.len());

    let mut decompressor = Decompressor::new(Compression::Zstd, unlimited()).unwrap();
    let (mut rest, mut output) = (&bytes[..], vec![1; 64 << 10]);
    while !rest.is_empty() || decompressor.has_more() {
        rest = &rest[decompressor.step(rest, &mut output).unwrap().consumed..];
    }
    decompressor.finish().unwrap();
    assert_eq!(decompressor.total_out(), 256 << 20);
}

#[test]
fn small_outputs_may_expand_freely() {
    for format in [Compression::Gzip, Compression::Zstd] {
        let bytes = compress_all(format, &vec![0; 1 << 20]).unwrap();
        assert_eq!(decompress_all(format, &bytes, 1 << 20).unwrap().len(), 1 << 20);
    }
}

#[test]
fn a_zstd_window_above_the_limit_is_refused() {
    // A frame header without content size: descriptor 0, window exponent 18 (2^28) or 17 (2^27).
    let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 1, 0, 0];
    let (_, end) = pull(Compression::Zstd, Limits::default(), &frame(18), 100, 100);
    let Err(CompressionError::WindowTooLarge { window_bytes_max, .. }) = end else {
        panic!("{end:?}")
    };
    assert_eq!(window_bytes_max, 128 << 20);
    pull(Compression::Zstd, Limits::default(), &frame(17), 100, 100).1.unwrap();
    // Bodies follow RFC 9659: 2^24 is too much, 2^23 is not.
    let error = decompress_all(Compression::Zstd, &frame(14), 100).unwrap_err();
    assert!(matches!(error, CompressionError::WindowTooLarge { .. }), "{error:?}");
    assert_eq!(decompress_all(Compression::Zstd, &frame(13), 100).unwrap(), b"");
}

#[test]
fn flush_makes_what_was_written_readable() {
    for format in FORMATS {
        let mut compressor = Compressor::new(format, None).unwrap();
        let (mut bytes, mut plain) = (Vec::new(), Vec::new());
        for round in 0..50 {
            let part = text(round * 10);
            compressor.write(&part, &mut bytes).unwrap();
            plain.extend(part);
            compressor.flush(&mut bytes).unwrap();
            compressor.flush(&mut bytes).unwrap();
            let (output, _) = pull(format, unlimited(), &bytes, 1 << 20, 1 << 20);
            assert!(output == plain, "{format} round {round}");
        }
        compressor.finish(&mut bytes).unwrap();
        assert!(decompress_all(format, &bytes, plain.len()).unwrap() == plain);
    }
}

#[test]
fn levels_are_checked() {
    for (format, good, bad) in
        [(Compression::Gzip, [0, 9], [-1, 10]), (Compression::Zstd, [1, 19], [0, 20])]
    {
        for level in good {
            let mut compressor = Compressor::new(format, Some(level)).unwrap();
            let mut bytes = Vec::new();
            compressor.write(b"some text", &mut bytes).unwrap();
            compressor.finish(&mut bytes).unwrap();
            assert_eq!(decompress_all(format, &bytes, 100).unwrap(), b"some text");
        }
        for level in bad {
            let error = Compressor::new(format, Some(level)).unwrap_err();
            assert!(matches!(error, CompressionError::Level { .. }));
        }
    }
}

#[test]
fn many_tiny_members_stay_affordable() {
    for format in [Compression::Gzip, Compression::Zstd] {
        let bytes = compress_all(format, b"x").unwrap().repeat(10_000);
        assert_eq!(decompress_all(format, &bytes, 10_000).unwrap().len(), 10_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_round_trips(
        parts in proptest::collection::vec(proptest::collection::vec(0u8..8, 0..3000), 0..6),
        piece in 1usize..500,
        room in 1usize..500,
        format in proptest::sample::select(&FORMATS[..]),
    ) {
        let mut compressor = Compressor::new(format, None).unwrap();
        let mut bytes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            compressor.write(part, &mut bytes).unwrap();
            match index % 3 {
                0 => compressor.flush(&mut bytes).unwrap(),
                1 => compressor.finish(&mut bytes).unwrap(),
                _ => {}
            }
        }
        compressor.finish(&mut bytes).unwrap();
        let (output, end) = pull(format, unlimited(), &bytes, piece, room);
        prop_assert!(end.is_ok());
        prop_assert_eq!(output, parts.concat());
    }
}
