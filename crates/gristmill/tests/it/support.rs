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

/// What is said through `tracing` on this thread: a line for each event and each span, with its level and its fields.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Listens until the guard is dropped.
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let heard = Self::default();
        let guard = tracing::subscriber::set_default(heard.clone());
        (heard, guard)
    }

    /// The lines that hold all of these.
    pub(crate) fn lines(&self, with: &[&str]) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| with.iter().all(|part| line.contains(part))).cloned().collect()
    }

    fn note(&self, mut line: String, fields: impl FnOnce(&mut Fields<'_>)) {
        fields(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.note(format!("span {}", span.metadata().name()), |fields| span.record(fields));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.note("recorded".to_owned(), |fields| values.record(fields));
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.note(event.metadata().level().to_string(), |fields| event.record(fields));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}
