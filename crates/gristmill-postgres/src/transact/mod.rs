//! Transactions of handlers, opened on the application's connections or on the store's own.

#[cfg(feature = "tokio-postgres")]
mod lent;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

use gristmill_core::{Effects, Store};

#[cfg(feature = "tokio-postgres")]
pub use lent::Lent;

use crate::PostgresStore;

pub(crate) const BEGINNING: &str = "beginning the task's transaction";
pub(crate) const COMMITTING: &str = "committing the task's transaction";
pub(crate) const ROLLING_BACK: &str = "rolling back the task's transaction";

pub(crate) fn tell(store: &dyn Store, effects: Effects) {
    if let Some(store) = store.as_any().downcast_ref::<PostgresStore>() {
        store.committed(effects);
    }
}
