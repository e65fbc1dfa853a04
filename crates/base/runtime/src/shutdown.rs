//! Shutdown in two steps: drain, then give up.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Draining,
    Aborting,
}

/// Triggers a shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownHandle(watch::Sender<Stage>);

/// Observes a shutdown; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Stage>);

impl ShutdownHandle {
    /// Makes a pair that is running.
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (sender, receiver) = watch::channel(Stage::Running);
        (ShutdownHandle(sender), Shutdown(receiver))
    }

    /// Asks everybody to stop taking in and to finish what is under way.
    pub fn drain(&self) {
        self.raise(Stage::Draining);
    }

    /// Asks everybody to stop now.
    pub fn abort(&self) {
        self.raise(Stage::Aborting);
    }

    /// Gives an observer.
    pub fn observe(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    fn raise(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let is_raised = stage > *current;
            if is_raised {
                *current = stage;
            }
            is_raised
        });
    }
}

impl Shutdown {
    /// Waits until draining or aborting starts.
    pub async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Waits until aborting starts.
    pub async fn aborting(&mut self) {
        self.reached(Stage::Aborting).await;
    }

    /// Tells whether draining or aborting has started.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    /// Tells whether aborting has started.
    pub fn is_aborting(&self) -> bool {
        *self.0.borrow() >= Stage::Aborting
    }

    async fn reached(&mut self, stage: Stage) {
        if self.0.wait_for(|current| *current >= stage).await.is_err() {
            // Nobody can trigger it any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_only_rise() {
        let (handle, mut shutdown) = ShutdownHandle::new();
        assert!(!shutdown.is_draining());
        handle.abort();
        handle.drain();
        shutdown.draining().await;
        shutdown.aborting().await;
        assert!(shutdown.is_aborting());
    }
}
