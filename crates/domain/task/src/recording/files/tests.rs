#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use levada_codec::compression::compress_all;
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn zip(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let opened = open_stream(Cursor::new(bytes.to_vec())).map_err(|error| error.to_string())?;
    let read_all = |mut plain: Plain| {
        let mut text = String::new();
        plain.read_to_string(&mut text).map(|_| text).map_err(|error| error.to_string())
    };
    opened.into_iter().map(read_all).collect()
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    assert_eq!(read(b"cpu v=1 1").unwrap(), ["cpu v=1 1"]);
    assert_eq!(read(b"").unwrap(), [""]);
    assert_eq!(read(b"PK").unwrap(), ["PK"]);
    assert_eq!(read(&compress_all(Compression::Gzip, b"x").unwrap()).unwrap(), ["x"]);
}

#[test]
fn files_say_how_large_they_are_unpacked_and_what_is_read_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let content = b"one line\nand another\n".repeat(100);
    let packed = compress_all(Compression::Gzip, &content).unwrap();
    let archive = zip(&[("0", &content), ("1", b"x")], CompressionMethod::Deflated);
    let zstd = compress_all(Compression::Zstd, &content).unwrap();
    let cases = [
        ("plain", content.clone(), content.len() as u64),
        ("gzip", packed, content.len() as u64),
        ("zip", archive, content.len() as u64 + 1),
        ("zstd", zstd, 0),
        ("empty", Vec::new(), 0),
    ];
    for (name, bytes, expected) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(unpacked_bytes(&path).unwrap(), expected, "{name}");
    }
    let count = Arc::default();
    let input = open(&folder.path().join("gzip")).unwrap().remove(0);
    let mut input = counted(input, &count);
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    assert_eq!((&*line, count.load(Ordering::Relaxed)), ("one line\n", 9));
    input.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), content.len() as u64);
}

#[test]
fn an_archive_gives_its_files_in_the_order_of_their_numbers() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let bytes = zip(&[("10", b"k"), ("2.brpl", b"c"), ("0", b"a"), ("other", b"z")], method);
        assert_eq!(read(&bytes).unwrap(), ["a", "c", "k", "z"]);
    }
    assert_eq!(read(&zip(&[], CompressionMethod::Stored)).unwrap(), [""; 0]);
}

#[test]
fn what_does_not_match_the_directory_is_damage() {
    let content = b"some text that is stored as it is";
    let mut bytes = zip(&[("0", content)], CompressionMethod::Stored);
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at] ^= 1;
    let error = read(&bytes).unwrap_err();
    assert_eq!(error, "`0` in the archive is damaged: it is not what the archive says");
}

#[test]
fn many_files_are_refused() {
    let names: Vec<String> = (0..=FILES_MAX).map(|number| number.to_string()).collect();
    let files =
        |count| names[..count].iter().map(|name| (name.as_str(), &b"x"[..])).collect::<Vec<_>>();
    assert_eq!(read(&zip(&files(FILES_MAX), CompressionMethod::Stored)).unwrap().len(), FILES_MAX);
    let error = read(&zip(&files(FILES_MAX + 1), CompressionMethod::Stored)).unwrap_err();
    assert!(error.ends_with("it holds more than 1000 files"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_panic(
        at in 0usize..400,
        bytes in proptest::collection::vec(any::<u8>(), 1..8),
        cut in 0usize..400,
    ) {
        let content = b"{\"name\":\"cpu\"}".repeat(20);
        let mut archive = zip(&[("0", &content), ("1", b"x")], CompressionMethod::Deflated);
        let length = archive.len();
        for (index, byte) in bytes.iter().enumerate() {
            archive[(at + index) % length] = *byte;
        }
        archive.truncate(length.max(4) - cut.min(length - 4));
        let _outcome = read(&archive).is_ok();
    }
}
