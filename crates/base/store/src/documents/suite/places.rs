//! Where tests keep documents.

use std::sync::Arc;

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
        match self {
            Self::Memory(documents) => documents.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(folder) => {
                let path = folder.path().join("new/documents.db");
                opened(&format!("sqlite:{}", path.display())).await
            }
            #[cfg(feature = "postgresql")]
            Self::Postgres(schema) => opened(&schema.url("documents")).await,
        }
    }

    pub(super) async fn reopen(&self, documents: Arc<dyn Documents>) -> Arc<dyn Documents> {
        documents.close().await;
        drop(documents);
        self.open().await
    }
}

#[cfg(any(feature = "sqlite", feature = "postgresql"))]
async fn opened(address: &str) -> Arc<dyn Documents> {
    crate::open_documents(address, &levada_runtime::Tasks::new()).await.unwrap()
}
