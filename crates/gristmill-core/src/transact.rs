use std::future::Future;
use std::pin::Pin;

use crate::{Effects, LeaseRef, Settled, Settlement, Store, StoreError};

/// The future of one step of a transaction.
///
/// Boxed, as the compiler can't see through the lifetimes of such a future that a handler's future is `Send`.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where a handler's transaction can be opened: a pool or a connection, of whatever driver.
#[diagnostic::on_unimplemented(
    message = "no transaction can be opened on `{Self}`",
    note = "pass `cx.sqlite()?`, `cx.postgres()?`, `&pool` of sqlx on PostgreSQL, or `&mut client` of tokio-postgres (of a pool's \
            object: `&mut **object`), with the feature of the driver enabled: `sqlite`, `sqlx-0_8` or `sqlx-0_9` (that of \
            your version), or `tokio-postgres`"
)]
pub trait Transact<D: Driver>: Send {
    /// Opens it.
    fn open(&mut self) -> Doing<'_, D::Open<'_>>;

    /// Takes back what the transaction ran on, once that has ended well. Not called if it was dropped half way.
    fn ended(&mut self) {}
}

/// The transactions of a driver, apart from where they are opened.
pub trait Driver: Sized + 'static {
    /// What a handler's work gets: enough to write and for savepoints, and no way to commit.
    type Conn<'t>: Send;

    /// An open transaction, which rolls back if it is dropped.
    type Open<'t>: Send;

    /// What the work gets of it.
    fn conn<'o, 't>(open: &'o mut Self::Open<'t>) -> &'o mut Self::Conn<'t>;

    /// As [`SettleWithin::settle`](crate::SettleWithin::settle).
    fn settle<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, settlement: Settlement) -> Doing<'o, Settled>;

    /// As [`SettleWithin::hold`](crate::SettleWithin::hold).
    fn hold<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, lease: LeaseRef) -> Doing<'o, bool>;

    /// Commits. After an error it is not known whether it did.
    fn commit(open: Self::Open<'_>) -> Doing<'_, ()>;

    /// Takes back what was written.
    fn rollback(open: Self::Open<'_>) -> Doing<'_, ()>;

    /// Tells the store what was committed beside it.
    fn committed(store: &dyn Store, effects: Effects);
}
