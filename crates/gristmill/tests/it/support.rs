//! What several modules use: an application whose tasks tell what they do, on the in-memory store and on a file.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::{Env, Store};
use gristmill::testing::MemoryStore;
use gristmill::{App, Client};
use tokio::sync::{Notify, Semaphore};

/// What handlers record and wait for.
#[derive(Clone, Default)]
pub(crate) struct Probe {
    seen: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

impl Probe {
    pub(crate) fn saw(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
        self.changed.notify_waiters();
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until something was recorded that fits; the deadline is only there to end a broken test.
    pub(crate) async fn until(&self, what: impl Fn(&[String]) -> bool) {
        within(async {
            loop {
                let changed = self.changed.notified();
                if what(&self.seen()) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    pub(crate) async fn until_seen(&self, what: &str) {
        self.until(|seen| seen.iter().any(|entry| entry == what)).await;
    }

    /// Closes the gate: `pass` waits until it is opened.
    pub(crate) fn close(&self) {
        *self.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    }

    pub(crate) fn open(&self) {
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.close();
        }
    }

    pub(crate) async fn pass(&self) {
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            let _ = gate.acquire().await;
        }
    }
}

/// Ends a test that would hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("what the test waits for does not happen")
}

/// On the in-memory store.
pub(crate) async fn in_memory<S: Send + Sync + 'static>(app: App<S>) -> Client {
    let store: Arc<dyn Store> = MemoryStore::new(Env::system());
    app.with_store(store).await.unwrap()
}

/// On a file that lives as long as the folder.
pub(crate) async fn on_file<S: Send + Sync + 'static>(app: App<S>, folder: &tempfile::TempDir) -> Client {
    app.connect(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap()
}
