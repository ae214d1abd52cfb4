//! Work for many at once falls apart if one of them stands in its way: because an open transaction of somebody's holds what that one
//! needs, or because it can't be written at all. That one then waits or fails by itself, and without a connection while it waits.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Advance, Advanced, EnqueueOutcome, KindSpec, LeaseRef, NewTask, Note, Settled, Settlement, StoreError, StoreErrorKind,
    WorkerId,
};
use tokio::time::Instant;

use crate::error::{is_locked, sqlstate};
use crate::gather::Caller;
use crate::inner::{Inner, Kind, run};
use crate::names::Sort;
use crate::ops;

/// Parts that may fail before the rest is cut no further. One of a thousand is found by ten cuts.
const FAULTS_MAX: u32 = 12;
/// The pauses between tries of what somebody holds up grow from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// The last of them for what nobody waits for.
const PAUSE_OF_DECLARATIONS: Duration = Duration::from_secs(30);

/// Whether it asks for what no store could do.
fn is_invalid(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Invalid
}

/// Whether one of many may be the reason, and the others fare better without it.
fn is_of_one(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Invalid => true,
        StoreErrorKind::Other => !error.is_lasting() && sqlstate(error).is_some(),
        _ => is_locked(error),
    }
}

/// What falls apart, part by part.
struct Parts<T> {
    todo: Vec<Vec<T>>,
    faults: u32,
}

impl<T> Parts<T> {
    fn new(todo: Vec<Vec<T>>) -> Self {
        Self { todo, faults: 0 }
    }

    fn next(&mut self) -> Option<Vec<T>> {
        self.todo.pop()
    }

    /// The part failed: its halves come next, unless it is one alone, or enough has failed.
    fn halve(&mut self, mut part: Vec<T>) -> Result<(), Vec<T>> {
        self.faults += 1;
        if part.len() < 2 || self.faults > FAULTS_MAX {
            return Err(part);
        }
        let half = part.split_off(part.len() / 2);
        self.todo.extend([half, part]);
        Ok(())
    }
}

/// How long something is tried again that somebody holds up: as long as a lock is waited for.
struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { since: Instant::now(), pause: PAUSES[0] }
    }

    /// Waits a little before the next try; false if there is to be none.
    async fn lasts(&mut self, inner: &Inner) -> bool {
        let most = inner.connect.options.lock_timeout;
        if !most.is_zero() && self.since.elapsed() >= most {
            return false;
        }
        let lasts = inner.pause(self.pause).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSES[1]);
        lasts
    }
}

impl Inner {
    /// Settles what can be settled now. What somebody has in hand, or what alone can't be written, is to come again later.
    pub(crate) async fn settle(self: &Arc<Self>, all: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let done: Result<_, StoreError> = run!(self, pool, Kind::SingleBriefly, s => ops::settle(&mut s, all));
        match done {
            Err(error) if is_locked(&error) => self.settle_free(all).await,
            Err(error) if is_of_one(&error) && all.len() > 1 => self.settle_in_parts(all).await,
            done => done,
        }
    }

    /// Settles all but what somebody has in hand. With children, it may be their names or ids that somebody holds: those fall apart.
    async fn settle_free(self: &Arc<Self>, all: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let alone: Vec<usize> = (0..all.len()).filter(|n| all[*n].children.is_empty()).collect();
        if alone.is_empty() {
            return self.settle_in_parts(all).await;
        }
        let chosen: Vec<Settlement> = alone.iter().map(|n| all[*n].clone()).collect();
        let done: Result<_, StoreError> = run!(self, pool, Kind::Transaction, s => ops::settle_free(&mut s, &chosen));
        let done = match done {
            Err(error) if is_of_one(&error) && !is_locked(&error) => return self.settle_in_parts(all).await,
            done => done?,
        };
        let mut answers = vec![Settled::Later; all.len()];
        for (n, answer) in alone.into_iter().zip(done) {
            answers[n] = answer;
        }
        let parents: Vec<usize> = (0..all.len()).filter(|n| !all[*n].children.is_empty()).collect();
        if !parents.is_empty() {
            let chosen: Vec<Settlement> = parents.iter().map(|n| all[*n].clone()).collect();
            match self.settle_in_parts(&chosen).await {
                Ok(done) => parents.into_iter().zip(done).for_each(|(n, answer)| answers[n] = answer),
                // The others are written, and must not be said to be none.
                Err(error) => tracing::debug!(%error, "the rest of a batch is settled later"),
            }
        }
        Ok(answers)
    }

    async fn settle_in_parts(self: &Arc<Self>, all: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut answers = vec![Settled::Later; all.len()];
        let (mut parts, mut is_any_done) = (Parts::new(vec![(0..all.len()).collect()]), false);
        while let Some(part) = parts.next() {
            let chosen: Vec<Settlement> = part.iter().map(|n| all[*n].clone()).collect();
            let done: Result<Vec<Settled>, StoreError> =
                run!(self, pool, Kind::TransactionBriefly, s => ops::settle_free(&mut s, &chosen));
            match done {
                Ok(done) => {
                    is_any_done = true;
                    part.into_iter().zip(done).for_each(|(n, answer)| answers[n] = answer);
                }
                Err(error) if is_of_one(&error) => {
                    if let Err(part) = parts.halve(part)
                        && !is_locked(&error)
                    {
                        let task = all[part[0]].lease.id;
                        tracing::warn!(%task, outcomes = part.len(), %error, "this outcome can't be written; trying again, apart from others");
                    }
                }
                Err(error) if is_any_done => {
                    tracing::debug!(%error, "the rest of a batch is settled later");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Records that handlers are about to run.
    pub(crate) async fn start_leases(self: &Arc<Self>, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        let mut patience = Patience::new();
        loop {
            let done: Result<_, StoreError> = run!(self, pool, Kind::SingleBriefly, s => ops::start(&mut s, leases));
            match done {
                Err(error) if is_locked(&error) && patience.lasts(self).await => {}
                done => return done,
            }
        }
    }

    /// Keeps what attempts say. If somebody has one of them in hand, the others' is kept, and this fails.
    pub(crate) async fn note(self: &Arc<Self>, notes: &[Note]) -> Result<Vec<bool>, StoreError> {
        let is_question = notes.iter().all(|note| note.logs.is_none() && note.progress.is_none());
        let mut patience = Patience::new();
        loop {
            let done: Result<_, StoreError> = run!(self, pool, Kind::SingleBriefly, s => ops::note(&mut s, notes));
            match done {
                Err(error) if is_locked(&error) && !is_question => {
                    let rest: Result<(), StoreError> = run!(self, pool, Kind::Transaction, s => ops::note_free(&mut s, notes));
                    return rest.and(Err(error));
                }
                Err(error) if is_locked(&error) && patience.lasts(self).await => {}
                done => return done,
            }
        }
    }

    /// Ends a worker. What somebody has in hand of its tasks is left to a sweep.
    pub(crate) async fn leave(self: &Arc<Self>, worker: WorkerId) -> Result<u64, StoreError> {
        let leave: Result<_, StoreError> =
            run!(self, pool, Kind::TransactionBriefly, s => ops::leave(&mut s, &self.workers, worker, ops::Which::All));
        match leave {
            Err(error) if is_locked(&error) => {
                run!(self, pool, Kind::Transaction, s => ops::leave(&mut s, &self.workers, worker, ops::Which::Free))
            }
            left => left,
        }
    }

    /// Writes what a beat decided. A schedule that somebody holds up is answered as one that has changed. Of one that asks for what can't
    /// be, the beat has to hear, alone with it, to set it aside.
    pub(crate) async fn advance(self: &Arc<Self>, all: &[Advance]) -> Result<Vec<Advanced>, StoreError> {
        let done: Result<_, StoreError> = run!(self, pool, Kind::TransactionBriefly, s => ops::advance_schedules(&mut s, all));
        match done {
            Err(error) if is_invalid(&error) => Err(error),
            Err(error) if is_of_one(&error) && (all.len() > 1 || is_locked(&error)) => self.advance_in_parts(all).await,
            done => done,
        }
    }

    async fn advance_in_parts(self: &Arc<Self>, all: &[Advance]) -> Result<Vec<Advanced>, StoreError> {
        let mut answers: Vec<Advanced> = all.iter().map(|_| Advanced::Stale).collect();
        // Each time with others first, as those that are held up are always the longest due.
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_cached_key(|_| self.env.random().to_bits());
        let (mut parts, mut is_any_done, mut invalid) = (Parts::new(vec![order]), false, None);
        while let Some(part) = parts.next() {
            let chosen: Vec<Advance> = part.iter().map(|n| all[*n].clone()).collect();
            let done: Result<Vec<Advanced>, StoreError> =
                run!(self, pool, Kind::TransactionBriefly, s => ops::advance_schedules(&mut s, &chosen));
            match done {
                Ok(done) => {
                    is_any_done = true;
                    part.into_iter().zip(done).for_each(|(n, answer)| answers[n] = answer);
                }
                Err(error) if is_of_one(&error) => {
                    let Err(part) = parts.halve(part) else { continue };
                    let schedule = &all[part[0]].name;
                    if is_locked(&error) {
                        tracing::debug!(schedule, %error, "the schedule waits for somebody's transaction");
                    } else if is_invalid(&error) {
                        invalid = Some(error);
                    } else {
                        tracing::warn!(schedule, %error, "the schedule's ticks can't be written; trying again, apart from others");
                    }
                }
                Err(error) if is_any_done => {
                    tracing::debug!(%error, "the rest of the schedules is advanced later");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        match invalid {
            Some(error) if !is_any_done => Err(error),
            // It is due still when these no longer are.
            _ => Ok(answers),
        }
    }

    /// Records what task types declare. One that somebody else is just making is recorded when that is done, and nobody waits.
    pub(crate) async fn declare(self: &Arc<Self>, all: &[KindSpec]) -> Result<(), StoreError> {
        let mut parts = Parts::new(vec![all.iter().collect::<Vec<_>>()]);
        while let Some(part) = parts.next() {
            let kinds: Vec<KindSpec> = part.iter().map(|kind| (*kind).clone()).collect();
            match self.declare_once(&kinds).await {
                Err(error) if is_locked(&error) => {
                    if parts.halve(part).is_err() {
                        self.tasks.spawn(self.clone().declare_later(kinds));
                    }
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn declare_once(self: &Arc<Self>, kinds: &[KindSpec]) -> Result<(), StoreError> {
        run!(self, pool, Kind::SingleBriefly, s => ops::declare(&mut s, kinds))
    }

    async fn declare_later(self: Arc<Self>, kinds: Vec<KindSpec>) {
        let mut pause = PAUSES[0];
        while self.pause(pause).await {
            pause = pause.saturating_mul(2).min(PAUSE_OF_DECLARATIONS);
            match self.declare_once(&kinds).await {
                Err(error) if is_locked(&error) => {}
                Err(error) => return tracing::debug!(%error, "a task type could not be declared"),
                Ok(()) => return,
            }
        }
    }

    /// Enqueues for all who wait for it, until nobody does.
    pub(crate) async fn serve_callers(self: Arc<Self>) {
        let mut serving = Serving(Some(self.clone()));
        while let Some(callers) = self.gather.next() {
            match self.enqueue(&callers).await {
                Ok(outcomes) => answer(callers, outcomes),
                // Those who come now don't wait for it.
                Err(error) if is_locked(&error) || (is_of_one(&error) && callers.len() > 1) => {
                    self.tasks.spawn(self.clone().serve_apart(callers));
                }
                Err(error) => refuse(callers, &error),
            }
        }
        serving.0 = None;
    }

    /// Enqueues for callers one of whom can't be served now, or not at all.
    async fn serve_apart(self: Arc<Self>, callers: Vec<Caller>) {
        // A name that somebody else is just making is no name that is known.
        let (known, new): (Vec<_>, Vec<_>) =
            callers.into_iter().partition(|caller| caller.tasks.iter().all(|task| self.knows_names_of(task)));
        let mut parts = Parts::new(if new.is_empty() { Vec::new() } else { vec![new] });
        if !known.is_empty() {
            // Before any turn, as those who wait for one may be many, and wait for somebody's transaction.
            match self.enqueue(&known).await {
                Ok(outcomes) => answer(known, outcomes),
                Err(error) if is_of_one(&error) => parts.todo.push(known),
                Err(error) => refuse(known, &error),
            }
        }
        while let Some(mut part) = parts.next() {
            let Ok(apart) = self.gather.apart.acquire().await else { return };
            part.retain(|caller| !caller.reply.is_closed());
            if part.is_empty() {
                continue;
            }
            let done = self.enqueue(&part).await;
            drop(apart);
            match done {
                Ok(outcomes) => answer(part, outcomes),
                Err(error) if is_of_one(&error) => match parts.halve(part) {
                    Ok(()) => {}
                    Err(part) if is_locked(&error) || part.len() > 1 => {
                        for caller in part {
                            self.tasks.spawn(self.clone().serve_alone(caller));
                        }
                    }
                    Err(part) => refuse(part, &error),
                },
                Err(error) => refuse(part, &error),
            }
        }
    }

    /// Enqueues for a caller who waits for somebody else's transaction, as long as he does.
    async fn serve_alone(self: Arc<Self>, caller: Caller) {
        let (mut patience, caller) = (Patience::new(), vec![caller]);
        loop {
            let lasts = patience.lasts(&self).await;
            let Ok(apart) = self.gather.apart.acquire().await else { return };
            if caller[0].reply.is_closed() {
                return;
            }
            let done = self.enqueue_again(&caller).await;
            drop(apart);
            match done {
                Ok(outcomes) => return answer(caller, outcomes),
                Err(error) if is_locked(&error) && lasts => {}
                Err(error) => return refuse(caller, &error),
            }
        }
    }

    async fn enqueue(self: &Arc<Self>, callers: &[Caller]) -> Result<Vec<EnqueueOutcome>, StoreError> {
        let tasks = tasks_of(callers);
        run!(self, pool, Kind::SingleBriefly, s => ops::enqueue(&mut s, &tasks))
    }

    async fn enqueue_again(self: &Arc<Self>, callers: &[Caller]) -> Result<Vec<EnqueueOutcome>, StoreError> {
        let tasks = tasks_of(callers);
        run!(self, pool, Kind::SingleAgain, s => ops::enqueue(&mut s, &tasks))
    }

    fn knows_names_of(&self, task: &NewTask) -> bool {
        let knows = |sort, name: &str| self.named(sort, name).is_some_and(|named| named.known);
        knows(Sort::Queue, &task.queue) && knows(Sort::Kind, &task.kind)
    }

    /// Waits about so long; false if the store is closed.
    async fn pause(&self, about: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(about.mul_f64(0.5 + self.env.random())) => true,
            () = self.closing.cancelled() => false,
        }
    }
}

fn tasks_of(callers: &[Caller]) -> Vec<&NewTask> {
    callers.iter().flat_map(|caller| &caller.tasks).collect()
}

/// Gives each caller his part of what a group of them was answered.
fn answer(callers: Vec<Caller>, outcomes: Vec<EnqueueOutcome>) {
    let mut outcomes = outcomes.into_iter();
    for caller in callers {
        // A caller that has gone away does not want to know.
        let _ = caller.reply.send(Ok(outcomes.by_ref().take(caller.tasks.len()).collect()));
    }
}

fn refuse(callers: Vec<Caller>, error: &StoreError) {
    for caller in callers {
        let _ = caller.reply.send(Err(error.duplicate()));
    }
}

/// Somebody serves callers. If he panics, another goes on: else all who come after him would wait for ever.
struct Serving(Option<Arc<Inner>>);

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take()
            && inner.gather.interrupted()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            inner.tasks.spawn_on(inner.clone().serve_callers(), &runtime);
        }
    }
}
