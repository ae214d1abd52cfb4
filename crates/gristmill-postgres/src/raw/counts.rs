use gristmill_core::StoreError;

use super::Server;
use crate::sql::{Q, quote};

/// What the server has counted in this database since it began to count, whoever asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Statements that clients sent, those that begin and end transactions too; if they are not counted, transactions.
    pub statements: i64,
    /// Claims among them, if statements are counted.
    pub claims: Option<i64>,
    /// How long statements were planned and executed, if they are counted.
    pub ms: Option<f64>,
}

/// The claim's text as far as nothing in it can be shown otherwise than it was sent: constants are shown as parameters.
const CLAIM: &str = "left(query, length($1)) = $1";

impl Server {
    /// Makes the extension that counts statements, if the server has loaded it. Returns false if it counts none.
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn count_statements(&self) -> Result<bool, StoreError> {
        // Whoever may not make it finds the one that is there, or none.
        let _ = self.batch("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await;
        Ok(self.batch("SELECT FROM pg_stat_statements LIMIT 1").await.is_ok())
    }

    /// What was counted so far: by statement, if that is asked for, and else from the transactions of the database, which are told
    /// up to a second late.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn counts(&self, by_statement: bool) -> Result<Counts, StoreError> {
        if !by_statement {
            let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
            return Ok(Counts { statements: self.value(sql).await?, claims: None, ms: None });
        }
        let sql = format!(
            "SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(calls) FILTER (WHERE {CLAIM}), 0)::bigint, \
                    coalesce(sum(total_plan_time + total_exec_time), 0)::float8 \
             FROM pg_stat_statements \
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel \
               AND query NOT LIKE '%pg\\_stat\\_%'"
        );
        let row = self.row(&sql, &self.claim()).await?;
        let read = || Ok(Counts { statements: row.try_get(0)?, claims: Some(row.try_get(1)?), ms: Some(row.try_get(2)?) });
        read().map_err(|error| self.explain(error))
    }

    /// The most locks that any one claim holds at this moment; zero if none is under way.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn locks_of_claims(&self) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT coalesce(max(held), 0) FROM (SELECT count(*) AS held FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE granted AND state = 'active' AND {CLAIM} GROUP BY pid) AS claims"
        );
        let row = self.row(&sql, &self.claim()).await?;
        row.try_get(0).map_err(|error| self.explain(error))
    }

    /// Makes the partitions of the days that lie so far back. Returns false if somebody holds a lock on the tables.
    ///
    /// # Errors
    /// If the server can't be written, or the store has not been made.
    pub async fn make_day_before(&self, days: i64) -> Result<bool, StoreError> {
        let make = "SELECT {s}.make_day((extract(epoch FROM statement_timestamp()) / 86400)::bigint - ";
        self.value(&format!("{}{days})", self.texts.fill(make))).await
    }

    fn claim(&self) -> String {
        let (text, schema) = (self.texts.text(Q::Claim), quote(self.texts.schema()));
        let after_schema = text.find(&schema).map_or(0, |at| at + schema.len());
        let rest = text.get(after_schema..).unwrap_or_default();
        let constant = rest.find(|c: char| c.is_ascii_digit() || c == '\'').unwrap_or(rest.len());
        text.get(..after_schema + constant).unwrap_or_default().to_owned()
    }
}
