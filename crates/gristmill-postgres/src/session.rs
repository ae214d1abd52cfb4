use std::sync::Arc;

use gristmill_core::{Effects, Points, StoreError, Timestamp, failpoint};
use tokio_postgres::Row;

use crate::conn::{Conn, Params};
use crate::effects::{Own, Tidings};
use crate::error::Fault;
use crate::names::{Book, Named, Names, Sort};
use crate::origin::Origin;
use crate::pool::Held;
use crate::sql::{Q, Texts};

/// A connection in the hands of one operation, and all that the operation may touch.
pub(crate) struct Session<'a> {
    held: Held<'a>,
    texts: &'a Texts,
    names: &'a Names,
    /// What its connection leads to.
    origin: Origin,
    /// What was read or given in this session, and belongs to others only once it is committed.
    queues: Book,
    kinds: Book,
    /// The time of a test's clock, in milliseconds.
    pub(crate) now: Option<i64>,
    pub(crate) effects: Effects,
    pub(crate) own: Own,
    /// How many milliseconds its statements wait for a lock, if not as long as usual.
    pub(crate) lock_wait: Option<String>,
    /// Whether its transaction only reads, and sees what was committed before it.
    pub(crate) sees_one_moment: bool,
    open: bool,
    many_days: bool,
    /// Whether statements are planned for their values.
    planned_anew: bool,
}

impl<'a> Session<'a> {
    /// Each statement commits by itself, so that an operation may have one that writes.
    pub(crate) fn new(
        held: Held<'a>,
        origin: Origin,
        texts: &'a Texts,
        names: &'a Names,
        now: Option<Timestamp>,
        many_days: bool,
    ) -> Self {
        let now = now.map(Timestamp::as_millis);
        Self {
            held,
            texts,
            names,
            origin,
            queues: Book::default(),
            kinds: Book::default(),
            now,
            effects: Effects::default(),
            own: Own::default(),
            lock_wait: None,
            sees_one_moment: false,
            open: false,
            many_days,
            planned_anew: false,
        }
    }

    /// From now on everything is one transaction.
    pub(crate) async fn begin(&mut self) -> Result<(), Fault> {
        if !std::mem::replace(&mut self.open, true) {
            self.conn()?.batch(&self.beginning()).await?;
        }
        Ok(())
    }

    /// The same together with its first statement: both are sent at once, and one answer is waited for instead of two.
    pub(crate) async fn begin_with(&mut self, query: Q, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        if std::mem::replace(&mut self.open, true) {
            return self.rows(query, params).await;
        }
        let (conn, beginning) = (self.conn()?, self.beginning());
        // In this order. A transaction that can't begin is an error of the connection, of which the statement learns, too.
        let (begun, rows) = tokio::join!(biased; conn.batch(&beginning), conn.rows(self.texts, query, params));
        begun?;
        Ok(rows?)
    }

    fn beginning(&self) -> String {
        let wait = self.lock_wait.as_ref().map(|wait| format!("; SET LOCAL lock_timeout = {wait}")).unwrap_or_default();
        let mode = if self.sees_one_moment { "REPEATABLE READ READ ONLY" } else { "READ COMMITTED" };
        format!("BEGIN ISOLATION LEVEL {mode}{wait}")
    }

    /// Whether so many days are kept that a statement is not to open all of them. Then everything is one transaction from now on, whose
    /// statements are planned for the values that they get: a plan for any values locks all days, a plan for some ids only theirs. For the
    /// rows of two tables by their ids such a plan has a hash table, too.
    pub(crate) async fn spare_days(&mut self) -> Result<bool, Fault> {
        if self.many_days && !std::mem::replace(&mut self.planned_anew, true) {
            self.begin().await?;
            self.conn()?.batch("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_hashjoin = on").await?;
        }
        Ok(self.many_days)
    }

    /// Whether that has been asked for, and is so.
    pub(crate) fn spares_days(&self) -> bool {
        self.planned_anew
    }

    /// What is written from here on can be taken back alone; a second one replaces the first.
    pub(crate) async fn savepoint(&self) -> Result<(), Fault> {
        Ok(self.conn()?.batch("SAVEPOINT here").await?)
    }

    /// Takes back what was written since the savepoint. Names that were given numbers since then are forgotten with it.
    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        (self.queues, self.kinds) = (Book::default(), Book::default());
        Ok(self.conn()?.batch("ROLLBACK TO SAVEPOINT here").await?)
    }

    /// Whether a transaction is open, so that statements no longer commit by themselves.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The rows that a statement brings.
    pub(crate) async fn rows(&self, query: Q, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        Ok(self.conn()?.rows(self.texts, query, params).await?)
    }

    /// The only row that a statement brings, if it brings any.
    pub(crate) async fn row(&self, query: Q, params: Params<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(query, params).await?.into_iter().next())
    }

    /// How many rows a statement wrote.
    pub(crate) async fn execute(&self, query: Q, params: Params<'_>) -> Result<u64, Fault> {
        Ok(self.conn()?.execute(self.texts, query, params).await?)
    }

    /// The database that it works on.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn conn(&self) -> Result<&Conn, StoreError> {
        self.held.conn()
    }

    pub(crate) fn texts(&self) -> &Texts {
        self.texts
    }

    /// Commits what is open and gives the connection back. What the operation wanted others to know is theirs now; an error
    /// beside it is a reply that was lost on purpose.
    pub(crate) async fn end(self) -> Result<(Tidings, Result<(), StoreError>), Fault> {
        let touched = |point| self.effects.points.contains(point);
        for (point, before, _) in Points::ALL {
            if touched(point) {
                failpoint::pass(before)?;
            }
        }
        if self.open {
            self.conn()?.batch("COMMIT").await?;
        }
        self.held.release();
        for named in self.queues.all() {
            self.names.keep(self.origin, Sort::Queue, named);
        }
        for named in self.kinds.all() {
            self.names.keep(self.origin, Sort::Kind, named);
        }
        let mut reply = Ok(());
        for (point, _, after) in Points::ALL {
            if self.effects.points.contains(point) {
                reply = reply.and(failpoint::pass(after));
            }
        }
        Ok((Tidings { effects: self.effects, own: self.own }, reply))
    }

    /// Takes back what is open, as something failed. A connection on which that fails too is closed, which does the same.
    pub(crate) async fn undo(self, fault: &Fault) {
        if fault.ends_the_session() {
            return;
        }
        if self.open {
            let Ok(conn) = self.held.conn() else { return };
            if conn.batch("ROLLBACK").await.is_err() {
                return;
            }
        }
        self.held.release();
    }

    /// The numbers of names, given now to those that have none.
    pub(crate) async fn intern<'n>(
        &mut self,
        sort: Sort,
        names: impl Iterator<Item = &'n str>,
        known: bool,
    ) -> Result<(), Fault> {
        let mut missing: Vec<&str> =
            names.filter(|name| self.named(sort, name).is_none_or(|named| known && !named.known)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        self.execute(sort.intern(), &[&missing, &known, &self.lock_wait]).await?;
        self.learn(sort, sort.find(), &missing).await
    }

    /// The number of a name, if it has one.
    pub(crate) async fn find(&mut self, sort: Sort, name: &str) -> Result<Option<i32>, Fault> {
        if let Some(id) = self.id(sort, name) {
            return Ok(Some(id));
        }
        self.learn(sort, sort.find(), &vec![name]).await?;
        Ok(self.id(sort, name))
    }

    /// Reads the names of numbers, so that [`name`](Self::name) knows them.
    pub(crate) async fn read_names(&mut self, sort: Sort, ids: impl Iterator<Item = i32>) -> Result<(), Fault> {
        let mut missing: Vec<i32> = ids.filter(|id| self.name(sort, *id).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        self.learn(sort, sort.names(), &missing).await
    }

    /// The number of a name that was interned or found.
    pub(crate) fn id(&self, sort: Sort, name: &str) -> Option<i32> {
        self.named(sort, name).map(|named| named.id)
    }

    /// The name of a number that was read.
    pub(crate) fn name(&self, sort: Sort, id: i32) -> Option<Arc<str>> {
        self.own(sort).name(id).or_else(|| self.names.by_id(self.origin, sort, id))
    }

    async fn learn(&mut self, sort: Sort, query: Q, param: &(dyn tokio_postgres::types::ToSql + Sync)) -> Result<(), Fault> {
        let rows = self.rows(query, &[param]).await?;
        for row in rows {
            let name: &str = row.try_get(1)?;
            self.keep_name(sort, Named { id: row.try_get(0)?, name: name.into(), known: row.try_get(2)? });
        }
        Ok(())
    }

    /// Keeps a name that a statement brought along.
    pub(crate) fn keep_name(&mut self, sort: Sort, named: Named) {
        match sort {
            Sort::Queue => self.queues.keep(named),
            Sort::Kind => self.kinds.keep(named),
        }
    }

    fn named(&self, sort: Sort, name: &str) -> Option<Named> {
        self.own(sort).get(name).cloned().or_else(|| self.names.by_name(self.origin, sort, name))
    }

    fn own(&self, sort: Sort) -> &Book {
        match sort {
            Sort::Queue => &self.queues,
            Sort::Kind => &self.kinds,
        }
    }
}
