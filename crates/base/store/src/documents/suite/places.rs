//! Where tests keep documents.

use std::sync::Arc;

use levada_runtime::Tasks;

use crate::{Documents, MemoryDocuments};

/// A store that can be opened again.
pub(super) enum Place {
    Memory(Arc<MemoryDocuments>),
    #[cfg(feature = "sqlite")]
    Sqlite(tempfile::TempDir),
    #[cfg(feature = "postgresql")]
    Postgres(crate::postgres::tests::Schema),
}

// === impl Place ===

impl Place {
    #[expect(clippy::unnecessary_wraps, reason = "as for the others")]
    pub(super) fn memory(_: &str) -> Option<Self> {
        Some(Self::Memory(Arc::default()))
    }

    #[cfg(feature = "sqlite")]
    #[expect(clippy::unnecessary_wraps, reason = "as for the others")]
    pub(super) fn sqlite(_: &str) -> Option<Self> {
        Some(Self::Sqlite(tempfile::tempdir().unwrap()))
    }

    #[cfg(feature = "postgresql")]
    pub(super) fn postgres(test: &str) -> Option<Self> {
        crate::postgres::tests::Schema::new(&format!("documents_{test}")).map(Self::Postgres)
    }

    /// Says whether its content ends with the store.
    pub(super) fn forgets(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    pub(super) async fn open(&self) -> Arc<dyn Documents> {
        let address = match self {
            Self::Memory(documents) => return documents.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(folder) => {
                format!("sqlite:{}", folder.path().join("new/documents.db").display())
            }
            #[cfg(feature = "postgresql")]
            Self::Postgres(schema) => schema.url("documents"),
        };
        crate::open_documents(&address, &Tasks::new()).await.unwrap()
    }

    pub(super) async fn reopen(&self, documents: Arc<dyn Documents>) -> Arc<dyn Documents> {
        documents.close().await;
        drop(documents);
        self.open().await
    }
}
