//! Who this server is.

use std::fs;
use std::io;
use std::path::Path;

use levada_api::Identity;
use levada_runtime::durable;
use uuid::Uuid;

/// The version of Kapacitor whose API is served; clients look at it.
const KAPACITOR_VERSION: &str = "1.8.0";

/// Reads the IDs of the data folder; the first server of a folder makes them.
///
/// Source: kapacitor: `cluster.id` and `server.id` in `data_dir`.
pub(crate) fn load(folder: &Path) -> io::Result<Identity> {
    Ok(Identity {
        kapacitor_version: KAPACITOR_VERSION.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        cluster_id: id(&folder.join("cluster.id"))?,
        server_id: id(&folder.join("server.id"))?,
    })
}

/// Gives the name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn id(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if Uuid::try_parse(text.trim()).is_ok() => Ok(text.trim().to_owned()),
        Ok(_) => {
            let text =
                format!("`{}` does not hold a UUID; delete it to get a new one", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4().to_string();
            durable::replace(path, id.as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn ids_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = load(&folder.path().join("new")).unwrap();
        assert_ne!(first.cluster_id, first.server_id);
        assert_eq!(load(&folder.path().join("new")).unwrap(), first);
        fs::write(folder.path().join("new/server.id"), "no").unwrap();
        let error = load(&folder.path().join("new")).unwrap_err().to_string();
        assert!(error.contains("does not hold a UUID"), "{error}");
    }
}
