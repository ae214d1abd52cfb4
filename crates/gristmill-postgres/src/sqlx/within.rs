use super::sqlx::postgres::PgArguments;
use super::sqlx::{Arguments, Error, PgConnection, Postgres, QueryBuilder, Row, Transaction};
use crate::within::{Foreign, Refusal, within};
use gristmill_core::StoreErrorKind;

/// Marks [`Within`](gristmill_core::Within) for connections of this version of sqlx.
#[derive(Clone, Copy, Debug)]
pub enum Sqlx {}

within! { Sqlx:
    for<'a> &'a mut PgConnection,
    for<'a, 't> &'a mut Transaction<'t, Postgres>,
}

impl Foreign for &mut PgConnection {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        let mut arguments = PgArguments::default();
        for param in params {
            arguments.add(param.clone()).map_err(Error::Encode).map_err(refusal)?;
        }
        // The builder, as it is the one way to a text made at run time that sqlx 0.8 and 0.9 share.
        let mut query = QueryBuilder::<Postgres>::with_arguments(sql, arguments);
        let row = query.build().fetch_one(&mut **self).await.map_err(refusal)?;
        row.try_get(0).map_err(refusal)
    }
}

impl Foreign for &mut Transaction<'_, Postgres> {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        let mut conn: &mut PgConnection = self;
        conn.ask(sql, params).await
    }
}

pub(crate) fn refusal(error: Error) -> Refusal {
    let (kind, code, message) = match &error {
        Error::Database(said) => (StoreErrorKind::Other, said.code().map(Into::into), said.message().to_owned()),
        Error::Io(_) | Error::Tls(_) => (StoreErrorKind::Unreachable, None, error.to_string()),
        _ => (StoreErrorKind::Other, None, error.to_string()),
    };
    Refusal { code, message, kind, source: error.into() }
}
