use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gristmill_core::{Effects, Env, Points, Signals, StoreError, StoreErrorKind, failpoint};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{Fault, explain};
use crate::identity::Identity;
use crate::memory::Memory;
use crate::open;
use crate::options::SqliteOptions;
use crate::tx::{Tx, operate};
use crate::watch::Watch;

/// Operations that one transaction takes, and tasks. Beyond this a commit's cost is spread thin enough, and the first
/// caller of the group should not wait longer.
const GROUP_JOBS_MAX: usize = 512;
const GROUP_WEIGHT_MAX: usize = 5_000;
/// After so long a transaction is committed and the rest of its group waits for the next: other processes want to write, too.
const GROUP_TIME: Duration = Duration::from_millis(25);
/// How often the file is looked at for other processes' commits, while somebody waits: often when one was just seen or begins, as it
/// is told before it can be seen, then half as long again each time.
const POLL_MIN: Duration = Duration::from_micros(500);
/// The most between two looks where nobody tells of others' writes.
const POLL_MAX: Duration = Duration::from_millis(4);
/// And where somebody does: no more than a safety net.
const POLL_MAX_WATCHED: Duration = Duration::from_millis(100);
/// After this long without work the WAL is copied back, so that the next burst begins with an empty one.
const IDLE: Duration = Duration::from_millis(500);

/// What the writer thread is sent.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    /// Somebody began to wait: look out for other processes' commits.
    Watch,
    /// Somebody writes to the file.
    Written,
}

/// One operation with its caller.
pub(crate) trait Job: Send {
    /// Does it. Called again, from the start, if the transaction was rolled back for another's sake.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault>;
    /// Tells the caller; with `Ok` what the last run brought.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
    /// About how many tasks it is about.
    fn weight(&self) -> usize;
}

/// Makes a job of a closure; the answer arrives when it is committed.
pub(crate) fn job<T, F>(weight: usize, run: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Operation { run, brought: None, reply, weight }), answer)
}

struct Operation<T, F> {
    run: F,
    brought: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    weight: usize,
}

impl<T, F> Job for Operation<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.brought = Some((self.run)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.brought) {
            (Ok(()), Some(brought)) => Ok(brought),
            (Ok(()), None) => Err(StoreError::new(StoreErrorKind::Other, "the operation brought nothing")),
            (Err(error), _) => Err(error),
        };
        // A caller that has gone away does not want to know.
        let _ = self.reply.send(answer);
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

/// Starts the thread that does all of this process's writing to the file.
pub(crate) fn start(
    conn: Connection,
    options: SqliteOptions,
    identity: Identity,
    env: Env,
    signals: Arc<Signals>,
) -> std::io::Result<(Arc<Sender<Message>>, JoinHandle<()>)> {
    let (sender, jobs) = channel();
    let sender = Arc::new(sender);
    let writer = Writer {
        what: options.location(),
        watch: Watch::of(conn.path(), Arc::downgrade(&sender)),
        conn,
        options,
        identity,
        env,
        signals,
        memory: Memory::default(),
        jobs,
        seen: None,
        poll: POLL_MIN,
        dirty: None,
    };
    let thread = std::thread::Builder::new().name("gristmill-sqlite".to_owned()).spawn(move || writer.work())?;
    Ok((sender, thread))
}

struct Writer {
    what: String,
    conn: Connection,
    options: SqliteOptions,
    identity: Identity,
    env: Env,
    signals: Arc<Signals>,
    memory: Memory,
    jobs: Receiver<Message>,
    /// `PRAGMA data_version`, which only others' commits change.
    seen: Option<i64>,
    poll: Duration,
    watch: Watch,
    /// When something was last written that no checkpoint has copied back since.
    dirty: Option<Instant>,
}

impl Writer {
    fn work(mut self) {
        open::set_patience(self.options.busy_timeout);
        while let Some(first) = self.next() {
            let mut weight = first.weight();
            let mut group = vec![first];
            while group.len() < GROUP_JOBS_MAX && weight < GROUP_WEIGHT_MAX {
                match self.jobs.try_recv() {
                    Ok(Message::Job(job)) => {
                        weight = weight.saturating_add(job.weight());
                        group.push(job);
                    }
                    Ok(Message::Written) => self.written(),
                    Ok(Message::Watch) => {}
                    Err(_) => break,
                }
            }
            self.run(group);
        }
        // Whoever opens the file next finds it whole in one piece. Another process may be using it: then it will do this.
        open::set_patience(Duration::ZERO);
        let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// The next job; `None` when the store was closed and all are done. Meanwhile looks out for other processes.
    fn next(&mut self) -> Option<Box<dyn Job>> {
        loop {
            let message = if self.signals.is_awaited() {
                // Not between jobs that follow one another: there is a look before each.
                if self.poll > POLL_MIN {
                    // In this order: what is written after the look is told.
                    self.watch.arm();
                }
                self.look_out();
                self.jobs.recv_timeout(self.poll)
            } else if self.dirty.is_some() {
                self.jobs.recv_timeout(IDLE)
            } else {
                self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match message {
                Ok(Message::Job(job)) => return Some(job),
                Ok(Message::Watch) => {}
                Ok(Message::Written) => self.written(),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let most = if self.watch.is_armed() { POLL_MAX_WATCHED } else { POLL_MAX };
                    self.poll = (self.poll + self.poll / 2).min(most);
                    self.checkpoint();
                }
            }
        }
    }

    /// Somebody writes, maybe this process: if it is another, its commit can be seen soon.
    fn written(&mut self) {
        self.watch.has_told();
        self.poll = POLL_MIN;
    }

    fn look_out(&mut self) {
        let version = self.conn.prepare_cached("PRAGMA data_version").and_then(|mut look| look.query_row([], |row| row.get(0)));
        // If it can't be read, writes will say so; whoever waits looks again by itself.
        let Ok(version) = version else { return };
        if self.seen.replace(version) != Some(version) {
            if !self.watch.is_armed() {
                self.poll = POLL_MIN;
            }
            self.signals.changed();
        }
    }

    fn checkpoint(&mut self) {
        if self.dirty.is_some_and(|since| since.elapsed() >= IDLE) {
            self.dirty = None;
            // Passive: it waits for nobody, and what it can't copy now is copied next time.
            let _ = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }

    fn run(&mut self, mut group: Vec<Box<dyn Job>>) {
        while !group.is_empty() {
            match self.transact(&mut group) {
                Ok(outcomes) => {
                    let rest = group.split_off(outcomes.len());
                    for (job, outcome) in std::mem::replace(&mut group, rest).into_iter().zip(outcomes) {
                        job.answer(outcome);
                    }
                }
                Err(Aborted { alone: true, .. }) if group.len() > 1 => {
                    // One of them failed and took the others' work with it. Alone, each fails or succeeds by itself.
                    for job in group.drain(..) {
                        self.run(vec![job]);
                    }
                }
                Err(Aborted { error, .. }) => {
                    for job in group.drain(..) {
                        job.answer(Err(error.duplicate()));
                    }
                }
            }
        }
    }

    /// Runs as many in one transaction as its time allows, and at least one. Returns their outcomes, or why nothing was committed.
    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, Aborted> {
        let mut effects = Effects::default();
        let done = self.attempt(group, &mut effects);
        match done {
            Ok((outcomes, wrote)) => {
                if wrote {
                    self.dirty = Some(Instant::now());
                }
                self.signals.committed(&effects);
                Ok(outcomes)
            }
            Err(aborted) => {
                // After some errors SQLite has rolled back by itself. An error is answered only when nothing is pending.
                if !self.conn.is_autocommit() && self.conn.execute_batch("ROLLBACK").is_err() {
                    self.reopen();
                }
                self.memory.forget();
                Err(aborted)
            }
        }
    }

    fn attempt(
        &mut self,
        group: &mut [Box<dyn Job>],
        effects: &mut Effects,
    ) -> Result<(Vec<Result<(), StoreError>>, bool), Aborted> {
        let Self { conn, memory, what, env, identity, .. } = self;
        let whole = |error| Aborted { error: explain(error, what), alone: false };
        let there = || identity.check().map_err(|error| Aborted { error, alone: false });
        there()?;
        conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(whole)?;
        let before = conn.total_changes();
        let mut outcomes = Vec::with_capacity(group.len());
        let mut points = Vec::with_capacity(group.len());
        let (now, passed, begun) = (env.now(), env.monotonic(), Instant::now());
        for job in group.iter_mut() {
            if !outcomes.is_empty() && begun.elapsed() >= GROUP_TIME {
                break;
            }
            let untouched = conn.total_changes();
            effects.points = Points::default();
            // What it has written is rolled back, and what is remembered forgotten: nothing is left of it that could be half done.
            let outcome = catch_unwind(AssertUnwindSafe(|| operate(conn, now, passed, memory, effects, |tx| job.run(tx))))
                .map_err(|panic| Aborted { error: panicked(what, &*panic), alone: true })?;
            points.push(effects.points);
            match outcome {
                Ok(()) => outcomes.push(Ok(())),
                // Refused before it wrote anything: no reason to undo the others.
                Err(Fault::Store(error)) if conn.total_changes() == untouched => outcomes.push(Err(error)),
                Err(fault) => return Err(Aborted { error: fault.explain(what), alone: true }),
            }
        }
        let wrote = conn.total_changes() != before;
        let touched = |point| points.iter().any(|own: &Points| own.contains(point));
        for (point, before, _) in Points::ALL {
            if touched(point) {
                failpoint::pass(before).map_err(|error| Aborted { error, alone: false })?;
            }
        }
        conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(|error| {
            let error = explain(error, what);
            // A large neighbour may have filled the disk; the small ones may still fit.
            Aborted { alone: error.kind() == StoreErrorKind::Full, error }
        })?;
        // Only now is it certain that the commit went into the file that others will find.
        there()?;
        for (point, _, after) in Points::ALL {
            if touched(point)
                && let Err(error) = failpoint::pass(after)
            {
                // A lost reply: it is done, and the caller does not learn it.
                for (outcome, _) in outcomes.iter_mut().zip(&points).filter(|(_, own)| own.contains(point)) {
                    *outcome = Err(error.duplicate());
                }
            }
        }
        Ok((outcomes, wrote))
    }

    /// A connection that can't roll back is of no use; its successor's first act is to recover the file.
    fn reopen(&mut self) {
        // Not into another file, which would be made here if there is none.
        let fresh = self.identity.check().and_then(|()| open::writer(&self.options)).and_then(|conn| {
            open::tune(&conn, &self.options).map_err(|error| explain(error, &self.what))?;
            Ok(conn)
        });
        match fresh {
            Ok(conn) => {
                self.conn = conn;
                self.seen = None;
            }
            Err(error) => tracing::error!(%error, "the store's connection is broken and could not be replaced"),
        }
    }
}

/// What callers are told of a mistake in an operation. Those that come after them are served as before.
pub(crate) fn panicked(what: &str, panic: &(dyn Any + Send)) -> StoreError {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("it did not say why");
    tracing::error!(store = what, panic = said, "an operation of the store panicked; nothing of it was kept");
    StoreError::new(StoreErrorKind::Other, format!("{what}: an operation panicked, and nothing of it was kept: {said}"))
}

/// Why a transaction was not committed.
struct Aborted {
    error: StoreError,
    /// Each operation may succeed by itself.
    alone: bool,
}
