//! Packages and origins that must not be in `Cargo.lock`. The same rules stand in `deny.toml`, for people who have cargo-deny.

use super::manifest::lines;
use super::{Findings, Tree};

/// Packages that must not appear, each with the reason.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-sys", "TLS is rustls on ring; this one needs cmake and a C++ compiler"),
    ("native-tls", "TLS is rustls on ring; this one needs the system's OpenSSL"),
];
/// The only origin of foreign packages.
const REGISTRY: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let Some(file) = tree.file("Cargo.lock") else {
        return;
    };
    for line in lines(&file.text).filter(|line| line.table == "package") {
        let value = line.value.trim_matches('"');
        match line.key {
            "name" => {
                if let Some((name, reason)) = BANNED.iter().find(|(name, _)| *name == value) {
                    findings.problem(
                        &file.path,
                        line.number,
                        format!("`{name}` is banned: {reason}"),
                    );
                }
            }
            "source" if line.value != REGISTRY => {
                let text = format!("`{value}` is not the crates.io registry");
                findings.problem(&file.path, line.number, text);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    #[test]
    fn refuses_bans_and_foreign_origins() {
        let good = "\
[[package]]
name = \"openssl-probe\"
source = \"registry+https://github.com/rust-lang/crates.io-index\"

[[package]]
name = \"ours\"
";
        assert_eq!(problems_of(check, &[("Cargo.lock", good)]), [""; 0]);
        let bad = "\
[[package]]
name = \"native-tls\"

[[package]]
name = \"fork\"
source = \"git+https://example.com/fork#abc\"

[[package]]
name = \"aws-lc-sys\"
source = \"registry+https://mirror.example.com/index\"
";
        let problems = problems_of(check, &[("Cargo.lock", bad)]);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].starts_with("Cargo.lock:2: `native-tls` is banned: TLS is rustls"));
    }
}
