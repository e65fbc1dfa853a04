//! `disk`: space of mounted filesystems, one record per device, from `/proc/mounts` and `statvfs`.
//!
//! Reported are filesystems on a device of this host, ZFS datasets, and an overlay that is the root
//! (a container). A device mounted several times is reported once, at its shortest mount point. A
//! mount hidden by a later one at the same place is not reported. Left out are pseudo filesystems,
//! images that are always full (`squashfs`), and network and user-space filesystems: asking those
//! can block for as long as their server is away.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `total` | bytes | size |
//! | `used` | bytes | `total` less `free` |
//! | `free` | bytes | not used |
//! | `available` | bytes | not used and open to programs without special rights |
//! | `used_percent` | percent | `used` of `used` and `available`, as `df` shows it |
//! | `inodes_total` | inodes | inodes the filesystem can hold; 0 where it has no limit |
//! | `inodes_used` | inodes | inodes in use |
//! | `inodes_free` | inodes | inodes left |
//!
//! | tag | meaning |
//! |---|---|
//! | `device` | the device, such as `/dev/sda1` |
//! | `mount` | the mount point as the host sees it |
//! | `fstype` | the type of filesystem, such as `ext4` |

use std::collections::BTreeMap;

use super::error::Problems;
use super::text::{lines, words};
use super::{CollectError, Collector, Ctx, INSTANCES_MAX};

/// Types that are left out although their source is a path, or may be one.
const SKIPPED_TYPES: [&[u8]; 15] = [
    b"9p",
    b"autofs",
    b"ceph",
    b"cifs",
    b"cramfs",
    b"erofs",
    b"fuse",
    b"iso9660",
    b"nfs",
    b"nfs4",
    b"romfs",
    b"smb3",
    b"smbfs",
    b"squashfs",
    b"virtiofs",
];

/// See the module.
#[derive(Default)]
pub(super) struct Disk;

/// A line of the mount table.
#[derive(Debug, PartialEq)]
struct Mount {
    device: Vec<u8>,
    point: Vec<u8>,
    fstype: Vec<u8>,
}

impl Collector for Disk {
    const NAME: &'static str = "disk";
    const TAGS: &'static [(&'static str, &'static str)] = &[
        ("device", "device of the filesystem, such as `/dev/sda1`"),
        ("mount", "mount point as the host sees it"),
        ("fstype", "type of the filesystem, such as `ext4`"),
    ];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("total", "size, bytes"),
        ("used", "total less free, bytes"),
        ("free", "not used, bytes"),
        ("available", "not used and open to programs without special rights, bytes"),
        ("used_percent", "used of used and available, as `df` shows it, percent"),
        ("inodes_total", "inodes the filesystem can hold; 0 where it has no limit"),
        ("inodes_used", "inodes in use"),
        ("inodes_free", "inodes left"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read_namespaced("mounts")?;
        let mut problems = Problems::default();
        let mut mounts = Vec::new();
        for (number, line) in lines(file.text) {
            match parse(line) {
                Some(mount) => mounts.push(mount),
                None => {
                    problems.note(Err(file.malformed(number, "a device, a mount point and a type")))
                }
            }
        }
        let mounts = choose(mounts);
        if mounts.len() > INSTANCES_MAX {
            let what = "mounted filesystems";
            problems.note(Err(CollectError::TooMany { what, limit: INSTANCES_MAX }));
        }
        for mount in mounts.iter().take(INSTANCES_MAX) {
            problems.note(measure(ctx, mount));
        }
        problems.finish()
    }
}

fn measure(ctx: &mut Ctx<'_>, mount: &Mount) -> Result<(), CollectError> {
    let figures = ctx.files.filesystem(&mount.point)?;
    let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
    let total = bytes(figures.f_blocks);
    let free = bytes(figures.f_bfree);
    let available = bytes(figures.f_bavail);
    let used = total.saturating_sub(free);
    let tags: [(&str, &[u8]); 3] =
        [("device", &mount.device), ("mount", &mount.point), ("fstype", &mount.fstype)];
    let record = ctx.output.record(Disk::NAME, &tags);
    let record = record.integer("total", total).integer("used", used);
    let mut record = record.integer("free", free).integer("available", available);
    let reachable = used as f64 + available as f64;
    if reachable > 0.0 {
        record = record.decimal("used_percent", used as f64 / reachable * 100.0);
    }
    let inodes_used = figures.f_files.saturating_sub(figures.f_ffree);
    let record = record.integer("inodes_total", figures.f_files);
    let record = record.integer("inodes_used", inodes_used);
    record.integer("inodes_free", figures.f_ffree).finish()
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = words(line);
    let mut next = || words.next().map(unescape);
    let mount = Mount { device: next()?, point: next()?, fstype: next()? };
    mount.point.starts_with(b"/").then_some(mount)
}

/// Gives the mounts to report, by device.
fn choose(mounts: Vec<Mount>) -> Vec<Mount> {
    let mut visible = BTreeMap::new();
    for mount in mounts {
        visible.insert(mount.point.clone(), mount);
    }
    let mut by_device: BTreeMap<Vec<u8>, Mount> = BTreeMap::new();
    for mount in visible.into_values().filter(is_reported) {
        match by_device.get_mut(&mount.device) {
            Some(chosen) if chosen.point.len() <= mount.point.len() => {}
            Some(chosen) => *chosen = mount,
            None => {
                by_device.insert(mount.device.clone(), mount);
            }
        }
    }
    by_device.into_values().collect()
}

fn is_reported(mount: &Mount) -> bool {
    match mount.fstype.as_slice() {
        b"zfs" => true,
        b"overlay" => mount.point == b"/",
        fstype if SKIPPED_TYPES.contains(&fstype) || fstype.starts_with(b"fuse.") => false,
        // Two slashes begin the name of a server.
        _ => mount.device.starts_with(b"/") && !mount.device.starts_with(b"//"),
    }
}

/// Undoes the escapes of the mount table: white space and backslashes stand there as `\040` in
/// octal.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(table: &str) -> Vec<String> {
        let mounts = table.lines().filter_map(|line| parse(line.as_bytes())).collect();
        let name = |mount: Mount| String::from_utf8_lossy(&mount.point).into_owned();
        choose(mounts).into_iter().map(name).collect()
    }

    #[test]
    fn escapes_of_the_mount_table_are_undone() {
        assert_eq!(unescape(br"/mnt/a\040b\134c"), br"/mnt/a b\c");
        assert_eq!(unescape(br"\377\400\04"), b"\xff\\400\\04");
        assert_eq!(unescape(b"\\"), b"\\");
    }

    #[test]
    fn pseudo_and_network_filesystems_are_left_out() {
        let table = "proc /proc proc rw\ntmpfs /run tmpfs rw\n/dev/sda1 / ext4 rw\nserver:/x /n nfs4 rw\n\
                     // server/share /c cifs rw\n/dev/loop0 /snap/x squashfs ro\nuser@h: /s
                     // fuse.sshfs rw\n\
                     tank/data /tank zfs rw\noverlay /var/lib/x/merged overlay rw\n/dev/sdb1 /w fuseblk rw\n\
                     /etc/auto.misc /misc autofs rw\n";
        assert_eq!(chosen(table), ["/", "/w", "/tank"]);
        assert_eq!(chosen("overlay / overlay rw"), ["/"]);
    }

    #[test]
    fn a_device_is_reported_once_at_its_shortest_visible_mount() {
        let table =
            "/dev/sda1 /etc/hosts ext4 rw\n/dev/sda1 /data ext4 rw\n/dev/sda1 /data2 ext4 rw";
        assert_eq!(chosen(table), ["/data"]);
        assert_eq!(chosen(&format!("{table}\ntmpfs /data tmpfs rw")), ["/data2"]);
        assert_eq!(chosen("/dev/sda1 / ext4 rw\n/dev/sdb1 / xfs rw"), ["/"]);
    }
}
