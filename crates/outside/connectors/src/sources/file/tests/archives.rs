//! Compressed files.

use levada_codec::compression::{Compression, compress_all};
use levada_model::ErrorClass;

use super::*;

const FORMATS: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

fn text(count: usize) -> String {
    (0..count).map(|number| format!("{{\"n\":{number}}}\n")).collect()
}

#[tokio::test]
async fn archives_of_several_members_are_read_and_gone_on_with() {
    for format in FORMATS {
        let folder = folder();
        let mut bytes = compress_all(format, text(50).as_bytes()).unwrap();
        bytes.extend(compress_all(format, b"{\"n\":\"last\"}").unwrap());
        write(&folder, "f", &bytes);
        let (seen, error) = read_all(folder.path(), paths(&["f"]), 100, &[]).await;
        assert!(error.is_none());
        let all = all_payloads(&seen);
        assert_eq!(all.len(), 51);
        assert_eq!(all.last().unwrap(), "{\"n\":\"last\"}");
        let mut done = 0;
        for batch in &seen {
            done += batch.payloads.len();
            let (rest, error) = read_all(folder.path(), paths(&["f"]), 64, &batch.positions).await;
            assert!(error.is_none());
            assert_eq!(all_payloads(&rest), all[done..]);
        }
    }
}

#[tokio::test]
async fn what_a_cut_off_archive_holds_comes_before_the_error() {
    for format in FORMATS {
        let folder = folder();
        let mut bytes = compress_all(format, b"1\n2\n").unwrap();
        let end = bytes.len();
        bytes.extend(compress_all(format, text(5_000).as_bytes()).unwrap());
        for cut in [end + 7, bytes.len() - 1] {
            let path = write(&folder, "f", &bytes[..cut]);
            write(&folder, "g", "later\n");
            let (seen, error) = read_all(folder.path(), paths(&["f", "g"]), 1 << 16, &[]).await;
            let all = all_payloads(&seen);
            assert_eq!(all[..2], ["1", "2"]);
            assert_eq!(all.last().unwrap(), "later", "the other file is read all the same");
            let error = error.unwrap();
            assert_eq!(error.class, ErrorClass::InvalidData);
            let named = format!("cannot decompress file `{}` behind byte ", path.display());
            assert!(error.message.starts_with(&named), "{}", error.message);
            let cause = error.source.unwrap().to_string();
            assert!(cause.contains(&format!("ends at byte `{cut}`")), "{cause}");
        }
    }
}

#[tokio::test]
async fn damage_is_an_error_and_an_empty_archive_is_none() {
    let folder = folder();
    let mut bytes = compress_all(Compression::Gzip, text(1_000).as_bytes()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xa5);
    write(&folder, "f", &bytes);
    let (_, error) = read_all(folder.path(), paths(&["f"]), 1 << 16, &[]).await;
    assert_eq!(error.unwrap().class, ErrorClass::InvalidData);

    write(&folder, "empty.gz", "");
    let mut settings = settings(folder.path(), paths(&["empty.gz"]), 64);
    settings.read.compression = Some(Compression::Gzip);
    let mut source = FileSource::new(settings, &context(folder.path()));
    source.open(&[]).await.unwrap();
    assert_eq!(next(&mut source).await.unwrap(), None);
}

#[tokio::test]
async fn a_bomb_is_read_in_constant_memory() {
    let folder = folder();
    // 8 MiB of one line from 8 KiB.
    write(&folder, "f", compress_all(Compression::Gzip, &vec![b'x'; 8 << 20]).unwrap());
    let spec = Spec { max_record_bytes: Some(ByteSize::kib(64)), ..lines(&["f"]) };
    let (seen, error) = read_all(folder.path(), spec, 128 << 10, &[]).await;
    assert!(error.is_none());
    assert_eq!(seen.len(), 1);
    assert!(seen[0].broken[0].contains("8388608 bytes"));
    assert_eq!(seen[0].payloads[0].len(), 1024);
}

#[tokio::test]
async fn an_archive_that_is_followed_may_be_unfinished() {
    let folder = folder();
    let bytes = compress_all(Compression::Zstd, b"1\n2\n").unwrap();
    let path = write(&folder, "f", &bytes[..bytes.len() - 1]);
    let mut source = open(folder.path(), Spec { follow: true, ..lines(&["f"]) }, 64, &[]).await;
    assert_eq!(next(&mut source).await.unwrap().unwrap().payloads, ["1", "2"]);
    let mut whole = bytes.clone();
    whole.extend(compress_all(Compression::Zstd, b"3\n").unwrap());
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(next(&mut source).await.unwrap().unwrap().payloads, ["3"]);
}
