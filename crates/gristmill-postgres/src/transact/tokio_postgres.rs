use gristmill_core::{Doing, Driver, Effects, LeaseRef, SettleWithin, Settled, Settlement, Store, Transact};
use tokio_postgres::{Client, Transaction};

use super::{BEGINNING, COMMITTING, ROLLING_BACK, tell};
use crate::TokioPostgres;
use crate::within::tokio_postgres::refusal;

impl Driver for TokioPostgres {
    type Conn<'t> = Transaction<'t>;
    type Open<'t> = Transaction<'t>;

    fn conn<'o, 't>(open: &'o mut Self::Open<'t>) -> &'o mut Self::Conn<'t> {
        open
    }

    fn settle<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, settlement: Settlement) -> Doing<'o, Settled> {
        (&*open).settle(store, settlement)
    }

    fn hold<'o>(open: &'o mut Self::Open<'_>, store: &dyn Store, lease: LeaseRef) -> Doing<'o, bool> {
        (&*open).hold(store, lease)
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

impl Transact<TokioPostgres> for &mut Client {
    fn open(&mut self) -> Doing<'_, Transaction<'_>> {
        Box::pin(begin(self))
    }
}

pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, gristmill_core::StoreError> {
    client.transaction().await.map_err(|error| refusal(error).explain(BEGINNING))
}
