use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gristmill_core::{Env, NewTask, Source, Store, StoreError, async_trait};

use crate::Subject;

/// How the checks get the sources that they examine. Every [`Subject`], which makes stores, is one.
#[async_trait]
pub trait SourceSubject: Send + Sync {
    /// A new, empty source that takes its time from `env`.
    async fn open(&self, env: Env) -> Outlet;
}

#[async_trait]
impl<S: Subject> SourceSubject for S {
    async fn open(&self, env: Env) -> Outlet {
        Outlet::of_store(self.fresh(env).await)
    }
}

/// A source, and the way in which tasks get into it, which is no part of what a worker needs.
pub struct Outlet {
    pub(super) source: Arc<dyn Source>,
    pub(super) publish: Box<Publish>,
}

type Publish = dyn Fn(Vec<NewTask>) -> Publishing + Send + Sync;
type Publishing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

impl Outlet {
    /// A source into which `publish` puts tasks: they can be claimed, once they are due, when its future has ended.
    pub fn new(source: Arc<dyn Source>, publish: impl Fn(Vec<NewTask>) -> Publishing + Send + Sync + 'static) -> Self {
        Self { source, publish: Box::new(publish) }
    }

    /// A store, into which tasks are enqueued.
    pub fn of_store(store: Arc<dyn Store>) -> Self {
        Self::new(store.clone(), move |tasks| {
            let store = store.clone();
            Box::pin(async move { store.enqueue(tasks).await.map(drop) })
        })
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}
