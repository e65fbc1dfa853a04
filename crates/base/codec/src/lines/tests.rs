#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// Everything a splitter said about an input, in order, with absolute offsets.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Said {
    Line { offset: u64, next: u64, text: Vec<u8> },
    TooLong(TooLong),
}

fn offset_of(said: &Said) -> u64 {
    match said {
        Said::Line { offset, .. } => *offset,
        Said::TooLong(event) => event.start_offset,
    }
}

/// Feeds `input` in pieces of the given sizes, the way a file source does, and checks the bounds.
fn run(input: &[u8], max: usize, sizes: &[usize]) -> Vec<Said> {
    let mut splitter = LineSplitter::new(max);
    let (mut buffer, mut said) = (Vec::new(), Vec::new());
    let (mut rest, mut turn) = (input, 0);
    while !rest.is_empty() {
        let size = sizes.get(turn % sizes.len().max(1)).copied().unwrap_or(usize::MAX);
        turn += 1;
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        buffer.extend_from_slice(piece);
        step(&mut splitter, &mut buffer, &mut said, false);
        assert!(buffer.len() <= max + 1, "the tail must stay bounded");
    }
    step(&mut splitter, &mut buffer, &mut said, true);
    assert_eq!(splitter.offset(), input.len() as u64);
    assert!(said.is_sorted_by_key(offset_of));
    said
}

fn step(splitter: &mut LineSplitter, buffer: &mut Vec<u8>, said: &mut Vec<Said>, last: bool) {
    let (mut spans, mut too_long) = (Vec::new(), Vec::new());
    let base = splitter.offset();
    let consumed = if last {
        splitter.finish(buffer, &mut spans, &mut too_long);
        buffer.len()
    } else {
        splitter.split(buffer, &mut spans, &mut too_long)
    };
    let from = said.len();
    said.extend(spans.iter().map(|span| Said::Line {
        offset: base + u64::from(span.start),
        next: base + span.next_start(buffer) as u64,
        text: span.of(buffer).to_vec(),
    }));
    said.extend(too_long.into_iter().map(Said::TooLong));
    said[from..].sort_by_key(offset_of);
    buffer.drain(..consumed);
}

fn texts(said: &[Said]) -> Vec<String> {
    said.iter()
        .map(|said| match said {
            Said::Line { text, .. } => String::from_utf8_lossy(text).into_owned(),
            Said::TooLong(event) => format!("too long {}", event.bytes),
        })
        .collect()
}

/// The obvious implementation, on the whole input.
fn model(input: &[u8], max: usize) -> Vec<Said> {
    let mut said = Vec::new();
    let mut start = 0;
    while start < input.len() {
        let newline = input[start..].iter().position(|&byte| byte == b'\n');
        let (end, next) = match newline {
            Some(at) => (start + at, start + at + 1),
            None => (input.len(), input.len()),
        };
        let line = input[start..end].strip_suffix(b"\r").unwrap_or(&input[start..end]);
        let (offset, next_offset) = (start as u64, next as u64);
        said.push(if line.len() > max {
            Said::TooLong(TooLong {
                start_offset: offset,
                end_offset: next_offset,
                bytes: line.len() as u64,
                prefix: line[..line.len().min(PREFIX_BYTES)].to_vec(),
            })
        } else {
            Said::Line { offset, next: next_offset, text: line.to_vec() }
        });
        start = next;
    }
    said
}

#[test]
fn strips_one_line_end_and_reports_empty_lines() {
    let said = run(b"a\r\n\n\r\nb\r\r\nc", 100, &[]);
    assert_eq!(texts(&said), ["a", "", "", "b\r", "c"]);
}

#[test]
fn input_without_line_end_is_one_line_and_no_input_is_none() {
    assert_eq!(texts(&run(b"abc", 100, &[1])), ["abc"]);
    assert!(run(b"", 100, &[1]).is_empty());
    assert_eq!(texts(&run(b"\n", 100, &[1])), [""]);
}

#[test]
fn the_limit_counts_content_only() {
    for sizes in [&[1usize][..], &[100][..]] {
        assert_eq!(texts(&run(b"abcd\r\nx", 4, sizes)), ["abcd", "x"]);
        assert_eq!(texts(&run(b"abcde\r\nx", 4, sizes)), ["too long 5", "x"]);
        assert_eq!(texts(&run(b"abcde\nx\n", 4, sizes)), ["too long 5", "x"]);
        assert_eq!(texts(&run(b"x\nabcde", 4, sizes)), ["x", "too long 5"]);
        assert_eq!(texts(&run(b"abcd\r", 4, sizes)), ["abcd"]);
    }
}

#[test]
fn a_gibibyte_line_costs_constant_memory() {
    let mut splitter = LineSplitter::new(1 << 16);
    let (mut spans, mut too_long) = (Vec::new(), Vec::new());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        assert_eq!(splitter.split(&piece, &mut spans, &mut too_long), piece.len());
        assert!(splitter.is_skipping());
    }
    assert!(too_long.is_empty() && spans.is_empty());
    assert_eq!(splitter.split(b"yy\r\nok\n", &mut spans, &mut too_long), 7);
    assert_eq!(spans, [LineSpan { start: 4, end: 6 }]);
    let [event] = too_long.as_slice() else { panic!("one event, got {}", too_long.len()) };
    assert_eq!((event.start_offset, event.bytes), (0, (1 << 30) + 2));
    assert_eq!(event.end_offset, (1 << 30) + 4);
    assert_eq!(event.prefix, vec![b'x'; PREFIX_BYTES]);
    assert!(event.prefix.capacity() <= 2 * PREFIX_BYTES);
}

#[test]
fn a_long_tail_is_scanned_once() {
    // Quadratic rescanning of 8 MiB fed in 64-byte pieces would take minutes.
    let mut splitter = LineSplitter::new(16 << 20);
    let (mut spans, mut too_long) = (Vec::new(), Vec::new());
    let mut line = vec![b'x'; 8 << 20];
    line.push(b'\n');
    for end in (64..line.len()).step_by(64) {
        assert_eq!(splitter.split(&line[..end], &mut spans, &mut too_long), 0);
    }
    assert_eq!(splitter.split(&line, &mut spans, &mut too_long), line.len());
    assert_eq!(spans.len(), 1);
}

#[test]
fn offsets_start_where_the_caller_says() {
    let mut splitter = LineSplitter::at_offset(4, 1000);
    let (mut spans, mut too_long) = (Vec::new(), Vec::new());
    assert_eq!(splitter.split(b"a\nlonger\nb", &mut spans, &mut too_long), 9);
    assert_eq!(splitter.offset(), 1009);
    assert_eq!((too_long[0].start_offset, too_long[0].end_offset), (1002, 1009));
}

#[test]
fn the_setting_is_brought_into_range() {
    assert_eq!(LineSplitter::new(0).buffer_bytes_min(), 3);
    assert_eq!(LineSplitter::new(usize::MAX).buffer_bytes_min(), MAX_RECORD_BYTES_CEILING + 2);
}

/// Bytes in which line ends are frequent, with a few long runs.
fn arbitrary_input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        6 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (1000usize..1100).prop_map(|len| vec![b'z'; len]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_chunking_says_the_same(
        input in arbitrary_input(),
        sizes in proptest::collection::vec(1usize..40, 1..8),
        max in prop_oneof![1usize..20, 1000usize..1100],
    ) {
        let expected = model(&input, max);
        prop_assert_eq!(&run(&input, max, &[]), &expected);
        prop_assert_eq!(&run(&input, max, &sizes), &expected);
        prop_assert_eq!(&run(&input, max, &[1]), &expected);
    }

    #[test]
    fn some_lines_at_a_time_are_all_lines(
        input in arbitrary_input(),
        max in prop_oneof![1usize..20, 1000usize..1100],
        lines_max in 1usize..4,
    ) {
        let (mut spans, mut long) = (Vec::new(), Vec::new());
        let mut whole = LineSplitter::new(max);
        let consumed = whole.split(&input, &mut spans, &mut long);
        let mut splitter = LineSplitter::new(max);
        let (mut from, mut found, mut found_long) = (0, Vec::new(), Vec::new());
        loop {
            let (mut some, mut some_long) = (Vec::new(), Vec::new());
            from += splitter.split_some(lines_max, &input[from..], &mut some, &mut some_long);
            prop_assert_eq!(splitter.offset(), from as u64);
            let count = some.len() + some_long.len();
            prop_assert!(count <= lines_max);
            found.extend(some.iter().map(|span| (span.end - span.start) as usize));
            found_long.extend(some_long);
            if count < lines_max {
                break;
            }
        }
        prop_assert_eq!(from, consumed);
        let lengths: Vec<usize> =
            spans.iter().map(|span| (span.end - span.start) as usize).collect();
        prop_assert_eq!(found, lengths);
        prop_assert_eq!(found_long, long);
    }
}
