//! Which queue belongs to which URL of a sinker, from one start to the next.
//!
//! The destination of such a URL has the place of its sinker as its name. When sinkers have changed places, or one is gone,
//! what waits must not go to the URL of another, so a file tells whose each queue is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use levada_gateway::destination::DestinationSpec;
use levada_gateway::rules::Target;
use levada_gateway::wal::{Keep, Queue, QueueSettings};
use levada_model::with_causes;
use levada_runtime::{Clock, Tasks, durable};
use sha2::{Digest as _, Sha256};

use super::specs;

/// The file, beside the folders of the queues.
const FILE: &str = "sinkers.json";

/// Whose the queues of sinkers are: the name of each, and its [`mark`].
pub(super) type Kept = BTreeMap<String, String>;

/// Reads whose queues are; a file that cannot be read says nothing.
pub(super) fn read(dir: &Path) -> Kept {
    let path = dir.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "it is not known whose the queues of sinkers are");
            return Kept::default();
        }
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "it is not known whose the queues of sinkers are");
        Kept::default()
    })
}

/// Notes whose the queues of sinkers are now; those of others stay as they were noted.
pub(super) fn note<'s>(dir: &Path, sinkers: impl Iterator<Item = &'s DestinationSpec>) {
    let before = read(dir);
    let mut kept = before.clone();
    kept.extend(sinkers.map(|spec| (spec.name.clone(), mark(spec))));
    if kept != before {
        write(dir, &kept);
    }
}

fn write(dir: &Path, kept: &Kept) {
    let path = dir.join(FILE);
    let text = serde_json::to_vec(kept).map_err(io::Error::other);
    if let Err(error) = text.and_then(|text| durable::replace(&path, &text)) {
        tracing::warn!(path = %path.display(), %error, "it cannot be noted whose the queues of sinkers are");
    }
}

/// Gives what stands for the URL and the token of a destination, and does not tell them.
pub(super) fn mark(spec: &DestinationSpec) -> String {
    let mut hash = Sha256::new();
    for endpoint in &spec.endpoints {
        for text in [&endpoint.url, &endpoint.token] {
            hash.update(text.as_bytes());
            hash.update([0]);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives each destination of a sinker the name of the queue that belongs to its URL, and tells what else waits that nobody
/// sends. Gives what the names of before stand for.
pub(super) async fn place(
    wanted: &mut [DestinationSpec],
    sinkers: usize,
    dir: &Path,
    tasks: &Tasks,
    clock: &Arc<dyn Clock>,
) -> BTreeMap<String, String> {
    let (others, wanted) = wanted.split_at_mut(wanted.len() - sinkers);
    let (mut kept, mut is_cleaned) = (read(dir), false);
    let settings = others.iter().chain(&*wanted).next().map(|spec| spec.queue.clone());
    let settings =
        QueueSettings { age_max: None, keep: Keep::Disk, ..settings.unwrap_or_default() };
    let marks: Vec<String> = wanted.iter().map(mark).collect();
    let is_wanted = |name: &str| others.iter().any(|spec| spec.name == name);
    for name in folders(dir) {
        let is_alone = match kept.get(&name) {
            Some(mark) => !marks.contains(mark),
            None => wanted.iter().all(|spec| spec.name != name),
        };
        if is_wanted(&name) || !is_alone {
            continue;
        }
        match holds(&dir.join(&name), &name, settings.clone(), tasks, clock).await {
            Ok((0, 0)) => is_cleaned |= kept.remove(&name).is_some(),
            Ok((points, dead_letters)) => tracing::warn!(
                destination = name,
                points,
                dead_letters,
                "a queue holds points for a destination that the settings do not have; they stay on the disk"
            ),
            Err(error) => {
                tracing::warn!(
                    destination = name,
                    error,
                    "a queue that nobody sends cannot be read"
                );
            }
        }
    }
    let known = kept.len();
    kept.retain(|name, mark| marks.contains(mark) || dir.join(name).is_dir());
    is_cleaned |= kept.len() < known;
    let mut taken: BTreeSet<String> = others.iter().map(|spec| spec.name.clone()).collect();
    let mut names = vec![None; wanted.len()];
    for (at, mark) in marks.iter().enumerate() {
        let is_own = |name: &&String| kept[*name] == *mark && !taken.contains(*name);
        let place = wanted[at].name.clone();
        let found = kept.keys().filter(is_own).min_by_key(|name| **name != place).cloned();
        taken.extend(found.clone());
        names[at] = found;
    }
    for (at, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_none()) {
        let next = (1..).map(|more| specs::sinker_destination(sinkers + more));
        let free = std::iter::once(wanted[at].name.clone()).chain(next);
        *name = { free }.find(|name| !taken.contains(name) && !kept.contains_key(name));
        taken.extend(name.clone());
    }
    let named = wanted.iter_mut().zip(names);
    let named = named.filter_map(|(spec, name)| {
        let name = name?;
        Some((std::mem::replace(&mut spec.name, name.clone()), name))
    });
    let named = named.collect();
    let before = kept.clone();
    kept.extend(wanted.iter().map(|spec| (spec.name.clone(), mark(spec))));
    if kept != before || is_cleaned {
        write(dir, &kept);
    }
    named
}

/// Lets rules find the queues of sinkers under the names of their places.
pub(super) fn renamed(
    names: &BTreeMap<String, String>,
    mut targets: BTreeMap<String, Target>,
) -> BTreeMap<String, Target> {
    let found = names.iter().filter_map(|(name, queue)| Some((name, targets.get(queue)?.clone())));
    let found: Vec<(&String, Target)> = found.collect();
    targets.extend(found.into_iter().map(|(name, target)| (name.clone(), target)));
    targets
}

/// Gives the folders that hold a queue.
fn folders(dir: &Path) -> Vec<String> {
    let files = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let is_queue = |path: &Path| {
        files(path).any(|file| {
            let name = file.file_name();
            name == "cursor" || Path::new(&name).extension().is_some_and(|end| end == "seg")
        })
    };
    let queues = files(dir).filter(|entry| is_queue(&entry.path()));
    queues.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Gives how many points a queue holds that wait, and how many that were refused for good.
async fn holds(
    dir: &Path,
    name: &str,
    settings: QueueSettings,
    tasks: &Tasks,
    clock: &Arc<dyn Clock>,
) -> Result<(u64, u64), String> {
    let queue = Queue::open(dir, name, settings, tasks, Arc::clone(clock));
    let queue = queue.map_err(|error| with_causes(&error))?;
    let counts = queue.counts();
    queue.close().await;
    Ok((counts.queued, counts.dead_lettered))
}
