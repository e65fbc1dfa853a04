use proptest::prelude::*;

use super::*;

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

#[test]
fn object_ids_are_read() {
    for text in ["1.3.6.1.4.1.8072.9999", "0.39", "2.999.1", "1.3.4294967295"] {
        assert_eq!(oid(text).to_string(), text);
        assert_eq!(oid(&format!(" .{text}")).to_string(), text, "a dot before it");
    }
    let long = vec!["1"; 129].join(".");
    for text in ["", "1", "1.", "3.1", "1.40", "1..2", "1.3.x", "1.+3", "1.3.4294967296", &long] {
        let error = text.parse::<Oid>().unwrap_err();
        assert_eq!(error.to_string(), format!("invalid object ID {text:?}"));
    }
    assert!(long[2..].parse::<Oid>().is_ok(), "as long as it may be");
}

#[test]
fn a_trap_byte_for_byte() {
    let trap = Trap {
        oid: oid("1.3.6.1.4.1.8072"),
        values: vec![
            (oid("1.3.6.1.4.1.8072.1"), TrapValue::Octets(b"up".to_vec())),
            (oid("2.999"), TrapValue::Integer(-129)),
            (oid("1.3.1"), TrapValue::Counter64(u64::MAX)),
            (oid("1.3.2"), TrapValue::TimeTicks(u32::MAX)),
            (oid("1.3.3"), TrapValue::Null),
        ],
    };
    let expected: &[&[u8]] = &[
        &[0x30, 0x81, 0x80],
        &[0x02, 0x01, 0x01],
        b"\x04\x06public",
        &[0xa7, 0x73, 0x02, 0x02, 0x00, 0x80, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30, 0x67],
        // sysUpTime.0 = 1000
        &[0x30, 0x0e, 0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 3, 0, 0x43, 0x02, 0x03, 0xe8],
        // snmpTrapOID.0
        &[0x30, 0x15, 0x06, 0x0a, 0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0],
        &[0x06, 0x07, 0x2b, 6, 1, 4, 1, 0xbf, 0x08],
        b"\x30\x0e\x06\x08\x2b\x06\x01\x04\x01\xbf\x08\x01\x04\x02up",
        &[0x30, 0x08, 0x06, 0x02, 0x88, 0x37, 0x02, 0x02, 0xff, 0x7f],
        &[0x30, 0x0f, 0x06, 0x02, 0x2b, 1, 0x46, 0x09, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xff, 0xff],
        &[0x30, 0x0b, 0x06, 0x02, 0x2b, 2, 0x43, 0x05, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0x06, 0x06, 0x02, 0x2b, 3, 0x05, 0x00],
    ];
    assert_eq!(trap.encode("public", 128).unwrap(), expected.concat());
}

#[test]
fn a_trap_that_does_not_fit_a_datagram_is_refused() {
    let trap = |length: usize| Trap {
        oid: oid("1.3.6"),
        values: vec![(oid("1.3"), TrapValue::Octets(vec![b'x'; length]))],
    };
    let overhead = trap(60_000).encode("c", 1).unwrap().len() - 60_000;
    let most = TRAP_BYTES_MAX - overhead;
    assert_eq!(trap(most).encode("c", 1).unwrap().len(), TRAP_BYTES_MAX);
    let error = trap(most + 1).encode("c", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

/// Reads one element: its tag, its content and what follows. Written from X.690, apart from the writer.
fn read(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, start) = match bytes[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            let length =
                bytes[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, 2 + count)
        }
    };
    (bytes[0], &bytes[start..start + length], &bytes[start + length..])
}

proptest! {
    #[test]
    fn numbers_and_texts_read_back(number in any::<i64>(), text in proptest::collection::vec(any::<u8>(), 0..70_000)) {
        let mut out = Vec::new();
        ber::integer(&mut out, ber::INTEGER, number);
        ber::element(&mut out, ber::OCTETS, &text);
        let (tag, content, rest) = read(&out);
        let sign = if content[0] & 0x80 != 0 { -1 } else { 0 };
        let value = content.iter().fold(sign, |sum: i64, byte| sum << 8 | i64::from(*byte));
        prop_assert_eq!((tag, value), (ber::INTEGER, number));
        let is_short = content.len() == 1 || (content[0] != 0 && content[0] != 0xff)
            || (content[0] ^ content[1]) & 0x80 != 0;
        prop_assert!(is_short, "as few bytes as do");
        prop_assert_eq!(read(rest), (ber::OCTETS, &*text, &[][..]));
    }

    #[test]
    fn object_ids_read_back(first in 0u32..2, second in 0u32..40, rest in proptest::collection::vec(any::<u32>(), 0..20)) {
        let arcs: Vec<String> = [first, second].iter().chain(&rest).map(u32::to_string).collect();
        let mut out = Vec::new();
        ber::oid(&mut out, &oid(&arcs.join(".")));
        let (_, content, _) = read(&out);
        let mut found = vec![0u64];
        for byte in content {
            let last = found.last_mut().unwrap();
            *last = *last << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                found.push(0);
            }
        }
        found.pop();
        let mut expected = vec![u64::from(first * 40 + second)];
        expected.extend(rest.iter().map(|arc| u64::from(*arc)));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_text_is_an_object_id_or_refused(text in "[0-9.]{0,40}") {
        if let Ok(oid) = text.parse::<Oid>() {
            prop_assert_eq!(oid.to_string().parse::<Oid>(), Ok(oid));
        }
    }
}
