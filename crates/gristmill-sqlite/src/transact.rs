//! Transactions of handlers, opened on the store's own connections.

use gristmill_core::{
    Doing, Driver, Effects, LeaseRef, SettleWithin, Settled, Settlement, Store, StoreError, StoreErrorKind, Transact,
};
use rusqlite::Connection;

use crate::error::explain;
use crate::store::SqliteStore;
use crate::{Rusqlite, open};

/// One of the store's own connections for a handler's transaction, taken when that begins. See [`SqliteStore::lend`].
pub struct Lent<'s> {
    store: &'s SqliteStore,
}

impl SqliteStore {
    /// A connection to the file for a handler's transaction, beside those of the store's own work. Two are kept for the next ones;
    /// it is closed instead if its transaction was dropped half way.
    pub fn lend(&self) -> Lent<'_> {
        Lent { store: self }
    }
}

impl Transact<Rusqlite> for Lent<'_> {
    /// Waits for whoever writes to the file, on a thread where that holds up nobody.
    fn open(&mut self) -> Doing<'_, Opened<'_>> {
        let store = self.store;
        Box::pin(async move {
            let (kept, options) = (store.take_spare()?, store.options().clone());
            let conn = aside(move || {
                let what = options.location();
                open::set_patience(options.busy_timeout);
                let conn = kept.map_or_else(|| open::spare(&options), Ok)?;
                conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| explain(error, &what))?;
                Ok(conn)
            });
            Ok(Opened { store, conn: conn.await? })
        })
    }
}

/// An open write transaction, which rolls back if it is dropped, as its connection closes.
pub struct Opened<'s> {
    store: &'s SqliteStore,
    conn: Connection,
}

impl Opened<'_> {
    /// What is written after an end that nobody meant would stand alone.
    fn check(&self) -> Result<(), StoreError> {
        if !self.conn.is_autocommit() {
            return Ok(());
        }
        let why = "the transaction has ended before its time, by a statement of the task or by SQLite after an error";
        Err(StoreError::new(StoreErrorKind::Other, why))
    }
}

impl Driver for Rusqlite {
    type Conn<'t> = Connection;
    type Open<'t> = Opened<'t>;

    fn conn<'o, 't>(open: &'o mut Self::Open<'t>) -> &'o mut Self::Conn<'t> {
        &mut open.conn
    }

    fn settle<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, settlement: Settlement) -> Doing<'o, Settled> {
        let settled = open.check().and_then(|()| open.conn.settle(store, settlement).into_inner());
        Box::pin(std::future::ready(settled))
    }

    fn hold<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, lease: LeaseRef) -> Doing<'o, bool> {
        let held = open.check().and_then(|()| open.conn.hold(store, lease).into_inner());
        Box::pin(std::future::ready(held))
    }

    fn commit(open: Self::Open<'_>) -> Doing<'_, ()> {
        Box::pin(async move {
            open.check()?;
            let Opened { store, conn } = open;
            let what = store.options().location();
            let conn = aside(move || conn.execute_batch("COMMIT").map(|()| conn).map_err(|error| explain(error, &what))).await?;
            store.give_back(conn)
        })
    }

    fn rollback(open: Self::Open<'_>) -> Doing<'_, ()> {
        Box::pin(async move {
            let Opened { store, conn } = open;
            conn.execute_batch("ROLLBACK").map_err(|error| explain(error, &store.options().location()))?;
            store.give_back(conn)
        })
    }

    fn committed(store: &dyn Store, _: Effects) {
        if let Some(store) = store.as_any().downcast_ref::<SqliteStore>() {
            store.changed();
        }
    }
}

impl std::fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("file", &self.store.path()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("file", &self.store.path()).finish_non_exhaustive()
    }
}

/// Does what waits for a lock or a disk on a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::new(StoreErrorKind::Other, "the transaction was cut off").with_source(error))?
}
