//! The lines of the load, each computed from its number alone, so that receivers can tell what they should have got.

use std::io::Write as _;
use std::thread;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bench::data::Random;

/// Lines in one body. Source: the definition of the workload.
pub(super) const LINES: u64 = 5_000;
/// Hosts; each point belongs to one.
pub(super) const HOSTS: u64 = 500;
/// The time of line 0, Unix nanoseconds.
const FIRST: u64 = 1_700_000_000_000_000_000;
/// Between two lines, nanoseconds.
const STEP: u64 = 1_000_000;
/// Any fixed number will do.
const SEED: u64 = 0x6c65_7661_6461_2037;

/// Gives the host of a line.
pub(super) fn host(number: u64) -> u64 {
    Random::new(SEED ^ number).below(HOSTS)
}

/// Appends a line: four tags, four fields, a time in nanoseconds that is the number of the line.
pub(super) fn write(number: u64, out: &mut Vec<u8>) {
    let mut random = Random::new(SEED ^ number);
    let host = random.below(HOSTS);
    let mut next = |below| random.below(below);
    let written = writeln!(
        out,
        "cpu,host=web-{host:03},rack=r{:02},region=eu-{},service=svc-{} usage_user={}.{},usage_system={}.{},idle={}i,load={}.{} {}",
        next(40),
        next(4),
        next(30),
        next(100),
        next(1_000),
        next(100),
        next(1_000),
        next(1_000_000),
        next(16),
        next(100),
        FIRST + number * STEP
    );
    debug_assert!(written.is_ok(), "a vector takes everything");
}

/// Gives the number of a line by its time.
pub(super) fn number(line: &[u8]) -> Option<u64> {
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    let time: u64 = std::str::from_utf8(&line[at + 1..]).ok()?.parse().ok()?;
    let since = time.checked_sub(FIRST)?;
    since.is_multiple_of(STEP).then_some(since / STEP)
}

/// Makes the bodies `0..count`.
pub(super) fn bodies(count: u64) -> Result<Vec<Vec<u8>>> {
    spread((0..count).collect(), |body| {
        let mut out = Vec::with_capacity(160 * LINES as usize);
        (body * LINES..(body + 1) * LINES).for_each(|line| write(line, &mut out));
        out.shrink_to_fit();
        Ok(out)
    })
}

/// Compresses bodies as agents do: gzip at its usual level.
pub(super) fn packed(bodies: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    spread(bodies, |body| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&body)?;
        Ok(encoder.finish()?)
    })
}

/// Works on many things on all processors; results are in the order of the things.
fn spread<T: Send, R: Send>(
    things: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut shares: Vec<Vec<T>> = (0..count).map(|_| Vec::new()).collect();
    for (at, thing) in things.into_iter().enumerate() {
        shares[at % count].push(thing);
    }
    let work = &work;
    let done: Vec<Result<Vec<R>>> = thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect()))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(done) => done,
                Err(_) => bail!("a thread that makes bodies panicked"),
            })
            .collect()
    });
    let done = done.into_iter().collect::<Result<Vec<_>>>()?;
    let total = done.iter().map(Vec::len).sum();
    let mut shares: Vec<_> = done.into_iter().map(Vec::into_iter).collect();
    (0..total).map(|at| shares[at % count].next().context("a body is missing")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn lines_are_in_order_and_know_their_number() {
        let bodies = bodies(3).unwrap();
        let lines: Vec<&[u8]> =
            bodies.iter().flat_map(|body| body.split(|b| *b == b'\n')).collect();
        let numbers: Vec<u64> = lines.iter().filter_map(|line| number(line)).collect();
        assert_eq!(numbers, (0..3 * LINES).collect::<Vec<_>>());
        let text = std::str::from_utf8(lines[0]).unwrap();
        let expected = format!("cpu,host=web-{:03},rack=r", host(0));
        assert!(text.starts_with(&expected) && text.ends_with(" 1700000000000000000"), "{text}");
        assert_eq!(number(b"cpu f=1 1700000000000000001"), None);
        assert_eq!(number(b"cpu"), None);
    }

    #[test]
    fn packed_bodies_are_the_same_in_the_same_order() {
        let plain = bodies(3).unwrap();
        for (packed, plain) in packed(plain.clone()).unwrap().iter().zip(&plain) {
            let mut text = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap();
            assert_eq!(&text, plain);
        }
    }
}
