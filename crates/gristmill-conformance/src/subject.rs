use std::future::Future;
use std::sync::Arc;

use gristmill_core::{Env, Store, async_trait};

/// How the suite gets the stores that it examines.
///
/// A closure that makes an empty store is one; a store on disk implements [`reopen`](Self::reopen) as well.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new, empty store that takes its time from `env`.
    async fn fresh(&self, env: Env) -> Arc<dyn Store>;

    /// The store as the next process finds it after this one died without a word. All that was acknowledged must be there.
    ///
    /// A store that has nothing but its process stays as it is, which is what the default does.
    async fn reopen(&self, store: Arc<dyn Store>, _env: Env) -> Arc<dyn Store> {
        store
    }

    /// The same store as another process has it at the same time.
    ///
    /// For a store that no two processes can share, it is the same handle, which the default gives.
    async fn another(&self, store: &Arc<dyn Store>, _env: Env) -> Arc<dyn Store> {
        store.clone()
    }
}

#[async_trait]
impl<F, Fut, S> Subject for F
where
    F: Fn(Env) -> Fut + Send + Sync,
    Fut: Future<Output = Arc<S>> + Send,
    S: Store,
{
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        self(env).await
    }
}
