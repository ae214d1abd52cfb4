use gristmill_core::{Doing, Transact};
use tokio_postgres::Transaction;

use super::tokio_postgres::begin;
use crate::pool::Held;
use crate::{PostgresStore, TokioPostgres};

/// One of the store's own connections for a handler's transaction, taken when that begins. See [`PostgresStore::lend`].
pub struct Lent<'s> {
    store: &'s PostgresStore,
    held: Option<Held<'s>>,
}

impl PostgresStore {
    /// A connection for a handler's transaction, out of as many as the option `transactions` says. They are apart from those
    /// for the store's own work, which handlers can't hold up, and are as the server makes them: no timeouts but its own.
    ///
    /// Given back when the transaction has ended; closed, and its statement cancelled, if it was dropped half way.
    pub fn lend(&self) -> Lent<'_> {
        Lent { store: self, held: None }
    }
}

impl Transact<TokioPostgres> for Lent<'_> {
    fn open(&mut self) -> Doing<'_, Transaction<'_>> {
        Box::pin(async move {
            let held = self.store.handlers().get().await?;
            begin(self.held.insert(held).client_mut()?).await
        })
    }

    fn ended(&mut self) {
        if let Some(held) = self.held.take() {
            held.release();
        }
    }
}

impl std::fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("taken", &self.held.is_some()).finish_non_exhaustive()
    }
}
