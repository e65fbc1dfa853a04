//! What the tests need beyond Rust and a C compiler, and how it gets onto the machine.
//!
//! One line per thing in [`NEEDS`]. Before the tests start, each is looked for; what is missing is installed through the
//! system's packages when this process may do so (root, and `apt-get` is there), otherwise it is named together with the
//! command that would install it. A test that then cannot run prints a line that starts with `SKIPPED: ` and says why.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Everything the tests need, in the order in which it is installed. Nothing yet: all tests run in process.
pub(crate) const NEEDS: &[Need] = &[];

/// One program that tests start, and the package that brings it.
pub(crate) struct Need {
    /// The program looked for in `PATH`.
    pub program: &'static str,
    /// The Debian package that installs it.
    pub package: &'static str,
    /// Which tests need it, for people who decide whether to install it.
    pub used_by: &'static str,
}

/// What this process may do to the machine; a trait, so that the rules are tested without changing one.
pub(crate) trait Machine {
    /// Whether `program` can be started.
    fn has(&self, program: &str) -> bool;
    /// Whether packages can be installed without asking anyone.
    fn can_install(&self) -> bool;
    /// Installs one package.
    fn install(&mut self, package: &str) -> Result<bool>;
}

/// Provides every need that can be provided; returns one line per need that is still missing.
pub(crate) fn provide(needs: &[Need], machine: &mut impl Machine) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for need in needs {
        if machine.has(need.program) {
            continue;
        }
        let Need { program, package, used_by } = need;
        if !machine.can_install() {
            missing.push(format!(
                "`{program}` is missing ({used_by}): run `apt-get install {package}` as root"
            ));
        } else if !machine.install(package)? || !machine.has(program) {
            missing.push(format!(
                "`{program}` is missing ({used_by}): installing package `{package}` failed"
            ));
        }
    }
    Ok(missing)
}

/// The machine this process runs on.
pub(crate) struct ThisMachine {
    is_index_fresh: bool,
}

impl ThisMachine {
    pub(crate) const fn new() -> Self {
        Self { is_index_fresh: false }
    }
}

impl Machine for ThisMachine {
    fn has(&self, program: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    }

    fn can_install(&self) -> bool {
        is_root() && self.has("apt-get")
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
    command.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // Its chatter goes where ours goes, so that stdout holds nothing but results.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    Ok(command.status().context("cannot start apt-get")?.success())
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

    use super::*;

    struct Fake {
        programs: Vec<&'static str>,
        is_root: bool,
        /// Package and the program it brings; other packages fail to install.
        packages: &'static [(&'static str, &'static str)],
        installed: Vec<String>,
    }

    impl Machine for Fake {
        fn has(&self, program: &str) -> bool {
            self.programs.contains(&program)
        }
        fn can_install(&self) -> bool {
            self.is_root
        }
        fn install(&mut self, package: &str) -> Result<bool> {
            self.installed.push(package.to_owned());
            let brings = self.packages.iter().find(|(name, _)| *name == package);
            self.programs.extend(brings.map(|(_, program)| *program));
            Ok(brings.is_some())
        }
    }

    const NEEDS: &[Need] = &[
        Need { program: "present", package: "p", used_by: "a tests" },
        Need { program: "absent", package: "absent-server", used_by: "b tests" },
    ];

    fn fake(is_root: bool, packages: &'static [(&'static str, &'static str)]) -> Fake {
        Fake { programs: vec!["present"], is_root, packages, installed: Vec::new() }
    }

    #[test]
    fn root_installs_only_what_is_missing() {
        let mut machine = fake(true, &[("absent-server", "absent")]);
        assert!(provide(NEEDS, &mut machine).unwrap().is_empty());
        assert_eq!(machine.installed, ["absent-server"]);
    }

    #[test]
    fn others_are_told_the_command() {
        let mut machine = fake(false, &[("absent-server", "absent")]);
        let missing = provide(NEEDS, &mut machine).unwrap();
        let wanted = "`absent` is missing (b tests): run `apt-get install absent-server` as root";
        assert_eq!(missing, [wanted]);
        assert!(machine.installed.is_empty());
    }

    #[test]
    fn a_package_that_does_not_bring_the_program_is_still_missing() {
        let missing = provide(NEEDS, &mut fake(true, &[])).unwrap();
        let failed = "`absent` is missing (b tests): installing package `absent-server` failed";
        assert_eq!(missing, [failed]);
        let missing = provide(NEEDS, &mut fake(true, &[("absent-server", "other")])).unwrap();
        assert_eq!(missing, [failed]);
    }

    #[test]
    fn this_machine_has_cargo_and_not_everything() {
        assert!(ThisMachine::new().has("cargo"));
        assert!(!ThisMachine::new().has("no-such-program-anywhere"));
    }
}
