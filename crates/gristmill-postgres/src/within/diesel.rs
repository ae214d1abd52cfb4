use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use gristmill_core::StoreErrorKind;

use super::{Foreign, Refusal, within};

/// Marks [`Within`](gristmill_core::Within) for connections of diesel-async.
#[derive(Clone, Copy, Debug)]
pub enum Diesel {}

within! { Diesel: for<'a> &'a mut AsyncPgConnection }

impl Foreign for &mut AsyncPgConnection {
    async fn ask(&mut self, sql: &str, params: &[Option<String>]) -> Result<String, Refusal> {
        Call { sql, params }.get_result(&mut **self).await.map_err(refusal)
    }
}

/// A statement that diesel keeps prepared by its text, which it does with none of `sql_query`.
struct Call<'q> {
    sql: &'q str,
    params: &'q [Option<String>],
}

impl Query for Call<'_> {
    type SqlType = Text;
}

impl<C> diesel::RunQueryDsl<C> for Call<'_> {}

impl QueryId for Call<'_> {
    type QueryId = ();
    // Each schema has a text of its own.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Call<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let mut rest = self.sql;
        for (n, param) in (1..).zip(self.params) {
            // From the right: the schema stands before the parameters, and its name may hold such a mark, too.
            let (before, after) = rest.rsplit_once(&format!("${n}")).unwrap_or((rest, ""));
            out.push_sql(before);
            out.push_bind_param::<Nullable<Text>, _>(param)?;
            rest = after;
        }
        out.push_sql(rest);
        Ok(())
    }
}

fn refusal(error: Error) -> Refusal {
    let (kind, code) = match &error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => {
            (StoreErrorKind::Unreachable, None)
        }
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => (StoreErrorKind::Busy, Some("40001")),
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => (StoreErrorKind::ReadOnly, Some("25006")),
        Error::DatabaseError(_, said) => (StoreErrorKind::Other, code_of(said.message())),
        _ => (StoreErrorKind::Other, None),
    };
    Refusal { code: code.map(str::to_owned), message: error.to_string(), kind, source: error.into() }
}

/// The SQLSTATE behind a message, as diesel tells no more of most errors. A server that speaks another language than English
/// is only quoted.
fn code_of(message: &str) -> Option<&'static str> {
    const MARKS: &[(&str, &str, &str)] = &[
        ("schema ", " does not exist", "3F000"),
        ("function ", " does not exist", "42883"),
        ("permission denied", "", "42501"),
        ("current transaction is aborted", "", "25P02"),
        ("deadlock detected", "", "40P01"),
        ("canceling statement due to lock timeout", "", "55P03"),
        ("canceling statement due to statement timeout", "", "57014"),
    ];
    MARKS.iter().find(|(start, end, _)| message.starts_with(start) && message.ends_with(end)).map(|(_, _, code)| *code)
}
