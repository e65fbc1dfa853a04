//! Licences of everything that is built into the product. The same list stands in `deny.toml`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use crate::cargo;

/// Licences under which a dependency may come: permissive, no duty beyond keeping the notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One line per package whose licence is not allowed.
pub(super) fn check() -> Result<Vec<String>> {
    let mut command = cargo::command("tree");
    command.args(["--workspace", "--locked", "--quiet", "--edges", "normal,build"]);
    command.args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]);
    let output = command.output().context("cannot start cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(problems(&String::from_utf8_lossy(&output.stdout)))
}

/// Judges lines of the form `name v1.2.3 (origin)|licence`.
fn problems(listing: &str) -> Vec<String> {
    let packages: BTreeMap<&str, &str> =
        listing.lines().filter_map(|line| line.rsplit_once('|')).collect();
    let refused = packages.into_iter().filter(|(_, licence)| !is_allowed(licence));
    refused
        .map(|(package, licence)| {
            let package: Vec<&str> = package.split(' ').take(2).collect();
            format!("{}: licence `{licence}` is not in the list", package.join(" "))
        })
        .collect()
}

/// Whether an SPDX expression can be satisfied by allowed licences alone.
fn is_allowed(expression: &str) -> bool {
    // `A/B` is the old spelling of `A OR B`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens };
    parser.any() && parser.tokens.is_empty()
}

/// Evaluates while it parses; every branch is read to its end, so that a malformed tail is noticed.
struct Parser<'a> {
    tokens: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, wanted: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn any(&mut self) -> bool {
        let mut good = self.all();
        while self.take("OR") {
            good |= self.all();
        }
        good
    }

    fn all(&mut self) -> bool {
        let mut good = self.one();
        while self.take("AND") {
            good &= self.one();
        }
        good
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let good = self.any();
            return self.take(")") && good;
        }
        let Some((first, rest)) = self.tokens.split_first() else {
            return false;
        };
        self.tokens = rest;
        let mut licence = (*first).to_owned();
        if self.take("WITH")
            && let Some((exception, rest)) = self.tokens.split_first()
        {
            self.tokens = rest;
            licence = format!("{licence} WITH {exception}");
        }
        ALLOWED.contains(&licence.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluates_expressions() {
        for good in [
            "MIT",
            "MIT/GPL-3.0-only",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
            "GPL-2.0-only AND ISC OR MIT",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(MIT OR ISC) AND MPL-2.0",
            "MIT WITH some-exception",
            "GPL-3.0-only OR",
            "MIT)",
            "(MIT",
            "MIT ISC",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn names_each_refused_package_once() {
        let listing = "a v1.0.0|MIT\nb v2.0.0 (*)|GPL-3.0-only\nc v3.0.0 (proc-macro)|\nb v2.0.0 (*)|GPL-3.0-only\n\n";
        let wanted = [
            "b v2.0.0: licence `GPL-3.0-only` is not in the list",
            "c v3.0.0: licence `` is not in the list",
        ];
        assert_eq!(problems(listing), wanted);
    }
}
