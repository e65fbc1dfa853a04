//! Crashes, full disks and files that cannot be written.

use std::io::Write;
use std::process::Command;

use levada_codec::compression::compress_all;

use super::*;

#[tokio::test]
async fn nothing_is_taken_from_a_file_that_is_appended_to() {
    let bench = Bench::new();
    std::fs::write(bench.path("out"), "1\ntor").unwrap();
    let mut sink = bench.sink(to("out"));
    write(&mut sink, &batch(&["torn", "2"])).await;
    assert_eq!(bench.read("out"), "1\ntor\ntorn\n2\n");
}

#[tokio::test]
async fn a_torn_record_of_an_atomic_file_is_written_again() {
    let bench = Bench::new();
    std::fs::write(bench.path("out.partial"), "1\ntor").unwrap();
    let mut sink = bench.sink(Spec { mode: "atomic".into(), ..to("out") });
    write(&mut sink, &batch(&["torn", "2"])).await;
    sink.close().await.unwrap();
    assert_eq!(bench.read("out"), "1\ntorn\n2\n");
}

#[tokio::test]
async fn a_torn_member_is_cut_off_wherever_it_is_torn() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = Vec::new();
        for text in ["1\n", "", "2\n"] {
            bytes.extend(compress_all(compression, text.as_bytes()).unwrap());
        }
        let whole = bytes.len();
        bytes.extend(compress_all(compression, b"torn\n").unwrap());
        for cut in whole..bytes.len() {
            for mode in ["append", "atomic"] {
                let bench = Bench::new();
                let name = if mode == "atomic" { "out.partial" } else { "out" };
                std::fs::write(bench.path(name), &bytes[..cut]).unwrap();
                let spec =
                    Spec { mode: mode.into(), compression: compression.name().into(), ..to("out") };
                let mut sink = bench.sink(spec);
                write(&mut sink, &batch(&["3"])).await;
                sink.close().await.unwrap();
                assert_eq!(bench.unzip("out", compression), "1\n2\n3\n", "{cut} {mode}");
                if mode == "append" && cut > whole {
                    let aside = std::fs::read(bench.path("out.torn-1")).unwrap();
                    assert_eq!(aside, &bytes[whole..cut]);
                } else {
                    assert_eq!(bench.names(), ["out"]);
                }
            }
        }
    }
}

#[tokio::test]
async fn members_are_found_across_the_pieces_in_which_a_file_is_read() {
    let bench = Bench::new();
    for size in [262_143, 349_500, 349_525, 700_000] {
        let first = compress_all(Compression::Gzip, noise(size, 1).as_bytes()).unwrap();
        let second = compress_all(Compression::Gzip, b"second\n").unwrap();
        let path = bench.path("out");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&first).unwrap();
        file.write_all(&second[..second.len() - 1]).unwrap();
        drop(file);
        let spec = Spec { compression: "gzip".into(), ..to("out") };
        let mut sink = bench.sink(spec);
        sink.open().await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), first.len() as u64);
        drop(sink);
    }
}

#[tokio::test]
async fn two_sinks_do_not_write_one_file() {
    let bench = Bench::new();
    let mut first = bench.sink(to("out"));
    first.open().await.unwrap();
    let mut second = bench.sink(to("out"));
    let error = second.open().await.unwrap_err();
    assert!(!error.class.is_transient());
    assert_eq!(error.message, format!("cannot lock `{}`", bench.path("out").display()));
    first.close().await.unwrap();
    second.open().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_says_its_path() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("folder")).unwrap();
    std::fs::write(bench.path("file"), "").unwrap();
    for name in ["folder", "file/below"] {
        let error = bench.sink(to(name)).open().await.unwrap_err();
        assert!(!error.class.is_transient());
        assert!(error.message.contains(bench.path(name).to_str().unwrap()), "{}", error.message);
    }
}

#[tokio::test]
async fn a_device_that_is_full_is_tried_again() {
    let bench = Bench::new();
    for compression in ["none", "gzip"] {
        let spec = Spec { compression: compression.into(), ..to("/dev/full") };
        let mut sink = bench.sink(spec);
        sink.open().await.unwrap();
        let mut outcomes = Outcomes::default();
        let written = sink.write(&batch(&["1"]), &mut outcomes).await;
        let error = match written {
            Ok(()) => sink.sync().await.unwrap_err(),
            Err(error) => {
                assert_eq!(outcomes.resolved(), 0);
                error
            }
        };
        assert!(error.class.is_transient());
    }
    let mut sink = bench.sink(to("/dev/null"));
    write(&mut sink, &batch(&["1"])).await;
    sink.close().await.unwrap();
}

/// A file system of 256 KiB, for as long as it lives.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(path: PathBuf) -> Option<TinyDisk> {
        std::fs::create_dir(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(&path)
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(TinyDisk(path))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
    }
}

fn free(ballast: &Path) {
    if ballast.exists() {
        std::fs::remove_file(ballast).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_tears_nothing_and_repeats_nothing() {
    for (mode, compression) in
        [("append", "none"), ("atomic", "none"), ("append", "gzip"), ("atomic", "zstd")]
    {
        let bench = Bench::new();
        let Some(disk) = TinyDisk::mount(bench.path("disk")) else {
            // Only root may mount; `/dev/full` shows the rest.
            return;
        };
        let ballast = disk.0.join("ballast");
        std::fs::write(&ballast, vec![0; 200 << 10]).unwrap();
        let spec = Spec { mode: mode.into(), compression: compression.into(), ..to("disk/out") };
        let mut sink = bench.sink(spec);
        let mut expected = String::new();
        let mut failures = 0;
        for round in 0..12 {
            let noise = noise(9_000, round + 1);
            let payloads = batch(&[&noise, "x"]);
            let mut outcomes = Outcomes::default();
            loop {
                outcomes.clear();
                let written = match sink.write(&payloads, &mut outcomes).await {
                    Ok(()) => {
                        assert_eq!(outcomes.resolved(), 2);
                        break;
                    }
                    Err(error) => {
                        assert_eq!(outcomes.resolved(), 0);
                        error
                    }
                };
                assert!(written.class.is_transient());
                failures += 1;
                free(&ballast);
            }
            expected.push_str(&format!("{noise}\nx\n"));
            while round % 3 == 0
                && let Err(error) = sink.sync().await
            {
                assert!(error.class.is_transient());
                failures += 1;
                free(&ballast);
            }
        }
        while let Err(error) = sink.close().await {
            assert!(error.class.is_transient());
            failures += 1;
            free(&ballast);
        }
        assert!(failures > 0, "the disk was never full: {mode} {compression}");
        let text = bench.unzip(
            "disk/out",
            match compression {
                "gzip" => Compression::Gzip,
                "zstd" => Compression::Zstd,
                _ => Compression::None,
            },
        );
        assert_eq!(text, expected, "{mode} {compression}");
        drop(sink);
        drop(disk);
    }
}
