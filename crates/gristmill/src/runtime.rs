use std::fmt;
use std::sync::Arc;

use crate::core::{Env, Limits, Source, Store};
use crate::hooks::Hooks;
use crate::lock::Bells;
use crate::middleware::Layers;
use crate::registry::Registry;
use crate::routing::Routes;
use crate::{Error, Result};

/// What a program knows of tasks, wherever they are kept: fixed at the start, and shared by its clients, workers and beats.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    pub(crate) env: Env,
    pub(crate) hooks: Hooks,
    pub(crate) layers: Layers,
    pub(crate) routes: Routes,
}

/// What attempts stand on: where they come from and report to, and what their program knows.
pub(crate) struct Ground {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) runtime: Arc<Runtime>,
    /// For those who wait here for locks.
    pub(crate) bells: Arc<Bells>,
    /// The source, if it is a store: only for the transactions of handlers.
    store: Option<Arc<dyn Store>>,
}

impl Ground {
    /// On a source that may be no store.
    pub(crate) fn of_source(source: Arc<dyn Source>, runtime: Arc<Runtime>) -> Self {
        Self { source, runtime, bells: Arc::default(), store: None }
    }

    pub(crate) fn of_store(store: Arc<dyn Store>, runtime: Arc<Runtime>) -> Self {
        Self { source: store.clone(), runtime, bells: Arc::default(), store: Some(store) }
    }

    /// The store in whose database a handler's transaction can be committed together with its settlement.
    pub(crate) fn store(&self) -> Result<&dyn Store> {
        let none = "the tasks of this worker are in no store, so that no transaction can settle them: write without \
                    `transaction` and `settle_in`, such that the work can be repeated";
        self.store.as_deref().ok_or_else(|| Error::fail(none))
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store.as_ref().map(|store| store.location());
        f.debug_struct("Ground").field("store", &store).field("kinds", &self.runtime.registry).finish_non_exhaustive()
    }
}
