//! A disk in memory that loses its power, tears writes, fills up and fails, as a seed says.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{Files, Handle};

/// Random numbers that a seed replays (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Writes that fail, per thousand; a part of them is done.
    pub(crate) writes: u64,
    /// Flushes that fail, per thousand; nothing of them is done.
    pub(crate) flushes: u64,
    /// A flush says that all is well and does nothing.
    pub(crate) flushes_lie: bool,
}

/// A disk; a clone is the same one.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<Disk>>);

struct Disk {
    random: Random,
    files: Vec<Inode>,
    folders: BTreeMap<PathBuf, Folder>,
    capacity: u64,
    faults: Faults,
    /// Changes until the power goes.
    changes_left: Option<u64>,
    is_off: bool,
    reads: u64,
    /// Files do not change names; half of the seeds play a system that cannot.
    cannot_exchange: bool,
}

#[derive(Default)]
struct Inode {
    /// What the disk has.
    durable: Vec<u8>,
    /// What programs see.
    live: Vec<u8>,
    reserved: u64,
    changes: Vec<Change>,
    is_linked: bool,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// Name → number of the file.
type Names = BTreeMap<String, usize>;

#[derive(Default)]
struct Folder {
    durable: Names,
    live: Names,
    changes: Vec<Naming>,
}

enum Naming {
    Add(String, usize),
    Remove(String),
    /// Both at once, as a journal does it.
    Rename(String, String, usize),
    /// The same.
    Exchange([(String, usize); 2]),
}

struct SimHandle {
    sim: Sim,
    file: usize,
}

// === impl Random ===

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Gives a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

// === impl Sim ===

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Sim(Arc::new(Mutex::new(Disk {
            random: Random::new(seed),
            files: Vec::new(),
            folders: BTreeMap::new(),
            capacity: u64::MAX,
            faults: Faults::default(),
            changes_left: None,
            is_off: false,
            reads: 0,
            cannot_exchange: seed % 2 == 1,
        })))
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.disk().capacity = bytes;
    }

    /// Gives the bytes that files take.
    pub(crate) fn used(&self) -> u64 {
        self.disk().used()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.disk().faults = faults;
    }

    /// The power goes in the middle of the change after so many.
    pub(crate) fn fail_after(&self, changes: u64) {
        self.disk().changes_left = Some(changes);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// Gives the number of reads so far.
    pub(crate) fn reads(&self) -> u64 {
        self.disk().reads
    }

    /// Gives the number of files that were ever made.
    pub(crate) fn files_made(&self) -> usize {
        self.disk().files.len()
    }

    /// The process ended, and the system goes on: nothing that was written is lost.
    pub(crate) fn killed(&self) {
        let disk = &mut *self.disk();
        disk.is_off = false;
        disk.changes_left = None;
    }

    /// The machine ended: of what was not flushed, any part may have come to the disk.
    pub(crate) fn power_lost(&self) {
        let disk = &mut *self.disk();
        let random = &mut disk.random;
        for file in &mut disk.files {
            for change in std::mem::take(&mut file.changes) {
                apply_some(&mut file.durable, change, random);
            }
            file.live.clone_from(&file.durable);
            file.reserved = 0;
            file.is_linked = false;
        }
        for folder in disk.folders.values_mut() {
            // A journal: what came first is there if anything later is.
            let kept = random.below(folder.changes.len() as u64 + 1) as usize;
            for naming in folder.changes.drain(..).take(kept) {
                naming.apply(&mut folder.durable);
            }
            folder.changes.clear();
            folder.live.clone_from(&folder.durable);
            for file in folder.live.values() {
                disk.files[*file].is_linked = true;
            }
        }
        disk.is_off = false;
        disk.changes_left = None;
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let disk = &mut *self.disk();
        let file = disk.find(path).expect("the file exists");
        let inode = &mut disk.files[file];
        change(&mut inode.live);
        inode.durable.clone_from(&inode.live);
        inode.changes.clear();
    }

    /// Puts a file where none was written.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        self.create_dir(path.parent().expect("it has a folder")).expect("folders are made");
        self.create(path, 0).expect("files are made");
        self.damage(path, |live| live.extend_from_slice(bytes));
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panics while it holds the disk")
    }
}

impl Disk {
    fn used(&self) -> u64 {
        let linked = self.files.iter().filter(|file| file.is_linked);
        linked.map(|file| (file.live.len() as u64).max(file.reserved)).sum()
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let (folder, name) = split(path);
        self.folders.get(folder)?.live.get(name).copied()
    }

    /// Counts a change; tells whether the power goes in the middle of it.
    fn change(&mut self) -> io::Result<bool> {
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        if let Some(left) = &mut self.changes_left {
            if *left == 0 {
                self.is_off = true;
                return Ok(true);
            }
            *left -= 1;
        }
        Ok(false)
    }

    fn off<T>() -> io::Result<T> {
        Err(io::Error::other("the power is off"))
    }
}

impl Files for Sim {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // Folders are there at once: an empty one more or less tells nothing.
        self.disk().folders.entry(path.to_owned()).or_default();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let disk = self.disk();
        let folder = disk.folders.get(path).ok_or(io::ErrorKind::NotFound)?;
        let names = folder.live.iter();
        Ok(names.map(|(name, file)| (name.clone(), disk.files[*file].live.len() as u64)).collect())
    }

    fn create(&self, path: &Path, reserve: u64) -> io::Result<Arc<dyn Handle>> {
        let disk = &mut *self.disk();
        if disk.change()? {
            return Disk::off();
        }
        let file = match disk.find(path) {
            Some(file) => {
                disk.files[file].live.clear();
                disk.files[file].changes.push(Change::Cut(0));
                file
            }
            None => {
                disk.files.push(Inode { is_linked: true, ..Inode::default() });
                let file = disk.files.len() - 1;
                let (folder, name) = split(path);
                let folder = disk.folders.get_mut(folder).ok_or(io::ErrorKind::NotFound)?;
                folder.live.insert(name.to_owned(), file);
                folder.changes.push(Naming::Add(name.to_owned(), file));
                file
            }
        };
        if reserve > 0 && disk.used() + reserve > disk.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.files[file].reserved = reserve;
        Ok(Arc::new(SimHandle { sim: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Handle>> {
        let file = self.disk().find(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimHandle { sim: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let disk = &mut *self.disk();
        if disk.change()? {
            return Disk::off();
        }
        let file = disk.find(from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = disk.find(to) {
            disk.files[replaced].is_linked = false;
        }
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from), split(to));
        if from_dir == to_dir {
            let folder = disk.folders.get_mut(from_dir).ok_or(io::ErrorKind::NotFound)?;
            let naming = Naming::Rename(from_name.to_owned(), to_name.to_owned(), file);
            naming.apply(&mut folder.live);
            folder.changes.push(naming);
            return Ok(());
        }
        let add = Naming::Add(to_name.to_owned(), file);
        let remove = Naming::Remove(from_name.to_owned());
        for (dir, naming) in [(to_dir, add), (from_dir, remove)] {
            let folder = disk.folders.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
            naming.apply(&mut folder.live);
            folder.changes.push(naming);
        }
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let disk = &mut *self.disk();
        if disk.cannot_exchange {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if disk.change()? {
            return Disk::off();
        }
        let first = disk.find(one).ok_or(io::ErrorKind::NotFound)?;
        let second = disk.find(other).ok_or(io::ErrorKind::NotFound)?;
        let ((dir, name), (_, other_name)) = (split(one), split(other));
        let naming = Naming::Exchange([(name.to_owned(), second), (other_name.to_owned(), first)]);
        let folder = disk.folders.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        naming.apply(&mut folder.live);
        folder.changes.push(naming);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let disk = &mut *self.disk();
        let file = disk.find(path).ok_or(io::ErrorKind::NotFound)?;
        if disk.change()? {
            return Disk::off();
        }
        let (folder, name) = split(path);
        let folder = disk.folders.get_mut(folder).ok_or(io::ErrorKind::NotFound)?;
        folder.live.remove(name);
        folder.changes.push(Naming::Remove(name.to_owned()));
        disk.files[file].is_linked = false;
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let disk = &mut *self.disk();
        if disk.change()? {
            return Disk::off();
        }
        let (is_failed, lies) =
            (disk.random.below(1_000) < disk.faults.flushes, disk.faults.flushes_lie);
        if is_failed {
            return Err(io::Error::other("the flush of a folder failed"));
        }
        let folder = disk.folders.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        if !lies {
            folder.durable.clone_from(&folder.live);
            folder.changes.clear();
        }
        Ok(())
    }
}

impl Handle for SimHandle {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let disk = &mut *self.sim.disk();
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let is_cut = disk.change()?;
        let is_failed = !is_cut && disk.random.below(1_000) < disk.faults.writes;
        let end = offset + bytes.len() as u64;
        let inode = &disk.files[self.file];
        let has = (inode.live.len() as u64).max(inode.reserved);
        let free = disk.capacity.saturating_sub(disk.used());
        let is_full = end > has + free;
        if is_full {
            bytes.truncate((has + free).saturating_sub(offset) as usize);
        }
        if is_cut || is_failed {
            let kept = disk.random.below(bytes.len() as u64 + 1) as usize;
            bytes.truncate(kept);
        }
        let inode = &mut disk.files[self.file];
        write(&mut inode.live, offset as usize, &bytes);
        inode.changes.push(Change::Write(offset as usize, bytes));
        match (is_cut, is_full, is_failed) {
            (true, ..) => Disk::off(),
            (_, true, _) => Err(io::ErrorKind::StorageFull.into()),
            (_, _, true) => Err(io::Error::other("the write failed")),
            _ => Ok(()),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = &mut *self.sim.disk();
        disk.reads += 1;
        let live = &disk.files[self.file].live;
        let from = live.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.sim.disk().files[self.file].live.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let disk = &mut *self.sim.disk();
        if disk.change()? {
            return Disk::off();
        }
        let inode = &mut disk.files[self.file];
        inode.live.resize(size as usize, 0);
        inode.changes.push(Change::Cut(size as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let disk = &mut *self.sim.disk();
        if disk.change()? {
            return Disk::off();
        }
        if disk.random.below(1_000) < disk.faults.flushes {
            return Err(io::Error::other("the flush failed"));
        }
        if !disk.faults.flushes_lie {
            let inode = &mut disk.files[self.file];
            inode.durable.clone_from(&inode.live);
            inode.changes.clear();
        }
        Ok(())
    }
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Naming::Add(name, file) => {
                names.insert(name.clone(), *file);
            }
            Naming::Remove(name) => {
                names.remove(name);
            }
            Naming::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Naming::Exchange(both) => names.extend(both.iter().cloned()),
        }
    }
}

/// Does all, nothing, or a part of a change: the first bytes, or some sectors.
fn apply_some(durable: &mut Vec<u8>, change: Change, random: &mut Random) {
    const SECTOR: usize = 512;
    match change {
        Change::Cut(size) if random.one_in(2) => durable.resize(size, 0),
        Change::Cut(_) => {}
        Change::Write(offset, bytes) => match random.below(4) {
            0 => {}
            1 => write(durable, offset, &bytes),
            2 => {
                let kept = random.below(bytes.len() as u64 + 1) as usize;
                write(durable, offset, &bytes[..kept]);
            }
            _ => {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    if random.one_in(2) {
                        write(durable, offset + index * SECTOR, sector);
                    }
                }
            }
        },
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn split(path: &Path) -> (&Path, &str) {
    let folder = path.parent().expect("paths have a folder");
    (folder, path.file_name().and_then(|name| name.to_str()).expect("names are text"))
}
