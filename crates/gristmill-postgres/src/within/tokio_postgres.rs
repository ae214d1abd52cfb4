use gristmill_core::StoreErrorKind;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::{Foreign, Refusal, within};
use crate::error::of_network;

/// Marks [`Within`](gristmill_core::Within) for transactions of tokio-postgres, and for clients with one that is open.
#[derive(Clone, Copy, Debug)]
pub enum TokioPostgres {}

within! { TokioPostgres:
    for<'a, 't> &'a Transaction<'t>,
    for<'a, 't> &'a mut Transaction<'t>,
    for<'a> &'a Client,
    for<'a> &'a mut Client,
}

impl Foreign for &Transaction<'_> {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        ask(*self, sql, params).await
    }
}

impl Foreign for &mut Transaction<'_> {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        ask(*self, sql, params).await
    }
}

impl Foreign for &Client {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        ask(*self, sql, params).await
    }
}

impl Foreign for &mut Client {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        ask(*self, sql, params).await
    }
}

/// Unnamed, as a prepared statement would cost a round trip of its own and stay on a connection that is not ours.
async fn ask(client: &impl GenericClient, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
    let params: Vec<_> = params.iter().map(|param| (param as &(dyn ToSql + Sync), Type::TEXT)).collect();
    let row = client.query_typed(sql, &params).await.map_err(refusal)?.into_iter().next();
    row.map_or(Ok(String::new()), |row| row.try_get(0)).map_err(refusal)
}

pub(crate) fn refusal(error: Error) -> Refusal {
    let code = error.code().map(|code| code.code().to_owned());
    let (kind, message) = match error.as_db_error() {
        Some(said) => (StoreErrorKind::Other, said.message().to_owned()),
        None => of_network(&error),
    };
    Refusal { code, message, kind, source: error.into() }
}
