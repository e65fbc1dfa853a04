//! Paths that depend on the record and on the time.

use super::*;

#[tokio::test]
async fn records_go_to_the_file_of_their_metadata_in_order() {
    let bench = Bench::new();
    let mut sink = bench.sink(to("{date}/{metadata.k}.log"));
    write(&mut sink, &keyed(&[("a", "1"), ("b", "2"), ("a", "3"), ("../b", "4")])).await;
    sink.close().await.unwrap();
    assert_eq!(bench.names(), ["2026-02-07/_._b.log", "2026-02-07/a.log", "2026-02-07/b.log"]);
    assert_eq!(bench.read("2026-02-07/a.log"), "1\n3\n");
    assert_eq!(bench.read("2026-02-07/_._b.log"), "4\n");
}

#[tokio::test]
async fn few_files_are_open_and_none_is_forgotten() {
    for mode in ["append", "atomic"] {
        for compression in ["none", "gzip"] {
            let bench = Bench::new();
            let spec = Spec {
                max_open_files: Some(2),
                mode: mode.into(),
                compression: compression.into(),
                ..to("{metadata.k}")
            };
            let mut sink = bench.sink(spec);
            sink.open().await.unwrap();
            for round in ["1", "2"] {
                for key in ["a", "b", "c", "d", "e"] {
                    write(&mut sink, &keyed(&[(key, round)])).await;
                }
            }
            sink.close().await.unwrap();
            assert_eq!(bench.names(), ["a", "b", "c", "d", "e"]);
            for key in ["a", "b", "c", "d", "e"] {
                let text = match compression {
                    "gzip" => bench.unzip(key, Compression::Gzip),
                    _ => bench.read(key),
                };
                assert_eq!(text, "1\n2\n", "{mode} {compression}");
            }
        }
    }
}

#[tokio::test]
async fn the_hour_before_is_finished() {
    let bench = Bench::new();
    let mut sink = bench.sink(Spec { mode: "atomic".into(), ..to("{date}-{hour}.log") });
    write(&mut sink, &batch(&["1"])).await;
    assert_eq!(bench.names(), ["2026-02-07-10.log.partial"]);
    bench.clock.advance(StdDuration::from_secs(3600));
    write(&mut sink, &batch(&["2"])).await;
    assert_eq!(bench.names(), ["2026-02-07-10.log", "2026-02-07-11.log.partial"]);
    // Dies; the next run has another hour, and finishes the file all the same.
    drop(sink);
    bench.clock.advance(StdDuration::from_secs(3600));
    let mut sink = bench.sink(Spec { mode: "atomic".into(), ..to("{date}-{hour}.log") });
    sink.open().await.unwrap();
    write(&mut sink, &batch(&["3"])).await;
    sink.close().await.unwrap();
    let names = ["2026-02-07-10.log", "2026-02-07-11.log", "2026-02-07-12.log"];
    assert_eq!(bench.names(), names);
    assert_eq!(names.map(|name| bench.read(name)), ["1\n", "2\n", "3\n"]);
}
