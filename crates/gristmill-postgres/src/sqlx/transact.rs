use gristmill_core::{Doing, Driver, Effects, LeaseRef, SettleWithin, Settled, Settlement, Store, Transact};

use super::sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use super::within::{Sqlx, refusal};
use crate::transact::{BEGINNING, COMMITTING, ROLLING_BACK, tell};

impl Driver for Sqlx {
    type Conn<'t> = PgConnection;
    type Open<'t> = Transaction<'t, Postgres>;

    fn conn<'o, 't>(open: &'o mut Self::Open<'t>) -> &'o mut Self::Conn<'t> {
        open
    }

    fn settle<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, settlement: Settlement) -> Doing<'o, Settled> {
        Self::conn(open).settle(store, settlement)
    }

    fn hold<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, lease: LeaseRef) -> Doing<'o, bool> {
        Self::conn(open).hold(store, lease)
    }

    fn commit(open: Self::Open<'_>) -> Doing<'_, ()> {
        Box::pin(async move { open.commit().await.map_err(|error| refusal(error).explain(COMMITTING)) })
    }

    fn rollback(open: Self::Open<'_>) -> Doing<'_, ()> {
        Box::pin(async move { open.rollback().await.map_err(|error| refusal(error).explain(ROLLING_BACK)) })
    }

    fn committed(store: &dyn Store, effects: Effects) {
        tell(store, effects);
    }
}

impl Transact<Sqlx> for &PgPool {
    fn open(&mut self) -> Doing<'_, Transaction<'_, Postgres>> {
        Box::pin(async move { self.begin().await.map_err(|error| refusal(error).explain(BEGINNING)) })
    }
}

impl Transact<Sqlx> for &mut PgConnection {
    fn open(&mut self) -> Doing<'_, Transaction<'_, Postgres>> {
        Box::pin(async move { self.begin().await.map_err(|error| refusal(error).explain(BEGINNING)) })
    }
}
