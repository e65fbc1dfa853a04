//! Results on standard output, everything else on standard error.

use std::io::{self, Write};

/// Writes a line to standard output.
///
/// A reader that went away (`levada … | head`) ends the process quietly, as other tools do.
pub(crate) fn line(text: &str) {
    bytes(text.as_bytes());
    bytes(b"\n");
}

/// Writes bytes to standard output; see [`line`].
pub(crate) fn bytes(bytes: &[u8]) {
    let result = io::stdout().lock().write_all(bytes);
    settle(result);
}

/// Flushes standard output.
pub(crate) fn flush() {
    let result = io::stdout().lock().flush();
    settle(result);
}

fn settle(result: io::Result<()>) {
    if let Err(error) = result {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        note(&format!("error: standard output cannot be written: {error}"));
        std::process::exit(3);
    }
}

/// Writes a line for people to standard error.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _gone = writeln!(io::stderr().lock(), "{text}").is_err();
}
