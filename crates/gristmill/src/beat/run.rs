use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::change::thaw;
use super::decide::{Decision, Look, decide};
use super::maker::Maker;
use super::memory::{AHEAD_MAX, Memory, SET_ASIDE};
use super::stored::{Stored, is_frozen, json, read_memory};
use crate::core::{
    Advance, Advanced, DueSchedules, Schedule, State, Store, StoreError, StoreErrorKind, TaskId, Tick, TickOutcome, Timestamp,
    Wake, WorkerId, limits,
};
use crate::runtime::Runtime;

/// How long a beat leads without a word from it; another takes over within this and [`LOOK_EVERY`].
const LEASE: Duration = Duration::from_secs(5);
/// The longest a beat sleeps: a change that woke nobody is noticed after this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest it leaves alone what others are changing, perhaps in a long transaction of theirs.
const LOOK_AFTER_OTHERS: Duration = Duration::from_millis(200);
/// The shortest: every task that is enqueued for later wakes beats, too, and thousands of them must not be thousands of looks.
const LOOK_AT_MOST: Duration = Duration::from_millis(10);
/// How often a definition is looked at again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// How often schedules are looked for that wait for a time to which the clock was once set, if another beat is to mend them.
const MEND_AGAIN: Duration = Duration::from_secs(60);
/// Schedules that one round deals with.
const ROUND: usize = 500;
/// Giving up the lead may take so long; it ends by itself otherwise.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A beat that runs. Dropping it does not stop it; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct RunningBeat {
    stop: CancellationToken,
    done: JoinHandle<Result<(), StoreError>>,
}

impl RunningBeat {
    pub(crate) fn start(store: Arc<dyn Store>, runtime: Arc<Runtime>) -> Self {
        let stop = CancellationToken::new();
        // On a tracker, as all that has to be waited for; its handle is what waits.
        let done = TaskTracker::new().spawn(run(store, runtime, stop.clone()));
        Self { stop, done }
    }

    /// A token that stops it when it is cancelled, for a signal handler.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops it, with the round that it is at.
    pub async fn stop(self) {
        self.stop.cancel();
        // It has said why it ended before, if it has.
        let _ = self.ended().await;
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Why the store has to be opened anew, which ended it: its file was removed or replaced, or it was closed.
    pub async fn ended(self) -> Result<(), StoreError> {
        self.done.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "the beat's own task failed");
            Ok(())
        })
    }
}

/// Turns ticks into tasks until `stop`.
///
/// # Errors
/// The store's, if no call on it can succeed any more.
pub(crate) async fn run(store: Arc<dyn Store>, runtime: Arc<Runtime>, stop: CancellationToken) -> Result<(), StoreError> {
    let mut beat = Beat::new(store, runtime);
    let mut errors = 0_u32;
    while !stop.is_cancelled() {
        let next = match beat.round().await {
            Ok(next) => {
                errors = 0;
                next
            }
            Err(error) if error.is_final() => {
                tracing::error!(error = %error, "schedules can't be looked at, and will not before the store is opened anew; the beat stops");
                return Err(error);
            }
            Err(error) => {
                errors += 1;
                tracing::warn!(error = %error, "schedules can't be looked at; trying again");
                Next::Pause(beat.share_of(LOOK_AT_MOST.saturating_mul(1 << errors.min(7)).min(LOOK_EVERY)))
            }
        };
        tokio::select! {
            () = beat.wait(next) => {}
            () = stop.cancelled() => {}
        }
    }
    beat.resign().await;
    Ok(())
}

/// One of the beats of a store.
pub(crate) struct Beat {
    store: Arc<dyn Store>,
    runtime: Arc<Runtime>,
    id: WorkerId,
    /// Until when it may act without asking again; `None` if it did not lead when it last asked.
    leads_until: Option<Instant>,
    /// The last term in which it led. One that slept through another's lead gets a new one, and says so.
    term: Option<i64>,
    /// Rounds on end in which others were changing all that was due.
    stale: u32,
    /// The store's time at the last look.
    looked_at: Timestamp,
    /// When all schedules are to be looked through for those that the clock has frozen; at first, and when it was set back.
    mend_at: Option<Instant>,
    maker: Maker,
}

/// What a round leaves to do.
#[derive(PartialEq)]
pub(crate) enum Next {
    /// More, at once.
    More,
    /// Nothing for so long, unless a schedule changes.
    Sleep(Duration),
    /// Nothing for so long, whatever happens.
    Pause(Duration),
}

impl Beat {
    pub(crate) fn new(store: Arc<dyn Store>, runtime: Arc<Runtime>) -> Self {
        let id = runtime.env.worker_id();
        let mend_at = Some(Instant::now());
        let (looked_at, maker) = (Timestamp::MIN, Maker::default());
        Self { store, runtime, id, leads_until: None, term: None, stale: 0, looked_at, mend_at, maker }
    }

    /// Deals with what is due.
    pub(crate) async fn round(&mut self) -> Result<Next, StoreError> {
        let is_leader = self.leads_until.is_some();
        // One that leads not only asks whether there is anything to lead for.
        let due = self.store.due_schedules(if is_leader { ROUND } else { 1 }).await?;
        if std::mem::replace(&mut self.looked_at, due.now) > due.now.saturating_add(AHEAD_MAX) {
            self.mend_at = Some(Instant::now());
        }
        if self.mend_at.is_some_and(|at| at <= Instant::now()) && self.mend(due.now).await? {
            return Ok(Next::More);
        }
        if due.schedules.is_empty() {
            return Ok(Next::Sleep(due.next_due.map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY))));
        }
        // Only now, so that beats of a store with no schedule due write nothing.
        if !self.leads().await? {
            return Ok(Next::Pause(self.share_of(LOOK_EVERY)));
        }
        if !is_leader || self.advance(due).await? {
            self.stale = 0;
            return Ok(Next::More);
        }
        self.stale += 1;
        Ok(Next::Pause(self.share_of(LOOK_AT_MOST.saturating_mul(1 << self.stale.min(5)).min(LOOK_AFTER_OTHERS))))
    }

    /// Looks through all schedules for those that the clock has frozen, and deals with them; true if there were any. Every beat
    /// does so once, at its start, as nobody knows what the clock was before, and again whenever it was set back.
    async fn mend(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let (mut after, mut mended) = (None, false);
        loop {
            let page = self.store.schedules(None, after.as_deref(), ROUND).await?;
            let is_last = page.len() < ROUND;
            after = page.last().map(|schedule| schedule.name.clone());
            let frozen = page.into_iter().filter(|schedule| is_frozen(schedule, now));
            let names: Vec<_> = frozen.map(|schedule| schedule.name).collect();
            if !names.is_empty() {
                if !self.leads().await? {
                    self.mend_at = Some(Instant::now() + MEND_AGAIN);
                    return Ok(mended);
                }
                tracing::warn!(schedules = names.len(), "the clock was ahead when these schedules last ticked; they go on now");
                self.store.edit_schedules(&names, &thaw().ask().0).await?;
                mended = true;
            }
            if is_last {
                self.mend_at = None;
                return Ok(mended);
            }
        }
    }

    pub(crate) async fn wait(&self, next: Next) {
        match next {
            // Even so, stopping and other tasks of the runtime have their turn.
            Next::More => tokio::task::yield_now().await,
            Next::Sleep(wait) => {
                let at_most = tokio::time::sleep(wait.min(LOOK_AT_MOST));
                self.store.wait(Wake::Scheduled, wait).await;
                at_most.await;
            }
            Next::Pause(wait) => tokio::time::sleep(wait).await,
        }
    }

    async fn leads(&mut self) -> Result<bool, StoreError> {
        if self.leads_until.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        let asked = Instant::now();
        let lead = self.store.lead_beats(self.id, LEASE).await?;
        if lead.leads && self.term.replace(lead.term) != Some(lead.term) {
            tracing::info!(beat = %self.id, term = lead.term, "this beat leads");
        }
        self.leads_until = lead.leads.then(|| asked + LEASE / 2);
        Ok(lead.leads)
    }

    pub(crate) async fn resign(&self) {
        if self.leads_until.is_none() {
            return;
        }
        match tokio::time::timeout(LAST_WORD, self.store.resign_beat(self.id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %error, "the lead could not be given up; it ends by itself"),
            Err(_) => tracing::debug!("the store does not answer; the lead ends by itself"),
        }
    }

    /// Decides about what is due and writes it; true if any of it was written.
    async fn advance(&mut self, due: DueSchedules) -> Result<bool, StoreError> {
        let now = due.now;
        let read: Vec<_> = due.schedules.into_iter().map(|schedule| (Stored::read(&schedule), schedule)).collect();
        self.maker
            .learn(&*self.store, &self.runtime, read.iter().filter_map(|(stored, _)| Some(&stored.as_ref().ok()?.definition)))
            .await?;
        let last: Vec<TaskId> = read.iter().filter_map(|(stored, _)| stored.as_ref().ok()?.memory.last_task).collect();
        let states = self.store.task_states(&last).await?;
        let mut states = last.into_iter().zip(states).collect::<std::collections::HashMap<_, _>>();
        let (mut batch, mut written) = (Vec::new(), false);
        for (stored, schedule) in read {
            let advance = match stored {
                Ok(stored) => {
                    let last_state = stored.memory.last_task.and_then(|id| states.remove(&id).flatten());
                    self.decide(&schedule, stored, now, last_state)
                }
                Err(why) => unreadable(schedule, &why, now),
            };
            batch.push(advance);
            if !fits(&batch)
                && let Some(rest) = batch.pop()
            {
                written |= self.write(std::mem::replace(&mut batch, vec![rest])).await?;
            }
        }
        Ok(self.write(batch).await? || written)
    }

    fn decide(&self, schedule: &Schedule, stored: Stored, now: Timestamp, last_state: Option<State>) -> Advance {
        let Stored { definition, plan, mut memory } = stored;
        // It can be read again.
        memory.ended.take_if(|why| why.starts_with(SET_ASIDE));
        let look = Look { name: &schedule.name, definition: &definition, plan: &plan, memory, now, last_state };
        let Decision { due_at, memory, ticks, cancel } = decide(look, |tick| {
            self.maker.make(&self.runtime, &schedule.name, &definition, tick).map_err(|error| error.to_string())
        });
        if let Some(why) = &memory.ended {
            tracing::info!(schedule = schedule.name, why, "the schedule has ended");
        }
        Advance { name: schedule.name.clone(), revision: schedule.revision, due_at, memory: json(&memory), ticks, cancel }
    }

    /// Half of it or more, so that beats that started together do not ask together for ever.
    fn share_of(&self, wait: Duration) -> Duration {
        wait.mul_f64(0.5 + 0.5 * self.runtime.env.random())
    }

    async fn write(&self, batch: Vec<Advance>) -> Result<bool, StoreError> {
        match self.store.advance_schedules(batch.clone()).await {
            Ok(answers) => {
                for (advance, answer) in batch.iter().zip(&answers) {
                    tell(advance, answer);
                }
                Ok(answers.iter().any(|answer| *answer != Advanced::Stale))
            }
            // One of them asks for what can't be. Alone, each is written or set aside.
            Err(error) if error.kind() == StoreErrorKind::Invalid && batch.len() > 1 => {
                let mut written = false;
                for advance in batch {
                    written |= Box::pin(self.write(vec![advance])).await?;
                }
                Ok(written)
            }
            Err(error) if error.kind() == StoreErrorKind::Invalid => {
                let why = error.to_string();
                let aside = batch.into_iter().map(|advance| {
                    let memory = serde_json::from_str(&advance.memory).unwrap_or_default();
                    set_aside(advance.name, advance.revision, memory, &why, None)
                });
                let answers = self.store.advance_schedules(aside.collect()).await?;
                Ok(answers.iter().any(|answer| *answer != Advanced::Stale))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a store takes all of it at once.
fn fits(batch: &[Advance]) -> bool {
    Advance::check(batch).is_ok() && batch.len() < limits::BATCH_TASKS_MAX
}

/// One that can't be read ticks no more. What is only its definition is looked at again now and then: while a program is
/// deployed, a newer version may have written it, and lead by then.
fn unreadable(schedule: Schedule, why: &str, now: Timestamp) -> Advance {
    let memory = read_memory(&schedule);
    let due_at = memory.as_ref().ok().map(|_| now.saturating_add(READ_AGAIN));
    set_aside(schedule.name, schedule.revision, memory.unwrap_or_default(), why, due_at)
}

/// One that can't be read or written says why; the others go on.
fn set_aside(name: String, revision: i64, memory: Memory, why: &str, due_at: Option<Timestamp>) -> Advance {
    if !memory.is_set_aside() {
        tracing::error!(schedule = name, why, "the schedule is set aside; define it anew or remove it");
    }
    let memory = json(&Memory { ended: Some(format!("{SET_ASIDE}{why}")), ..memory });
    Advance { name, revision, due_at, memory, ticks: Vec::new(), cancel: Vec::new() }
}

fn tell(advance: &Advance, answer: &Advanced) {
    let Advanced::Done(new) = answer else {
        return tracing::debug!(schedule = advance.name, "the schedule was changed meanwhile; it is looked at again");
    };
    let mut left_out: Vec<(TickOutcome, Vec<&Tick>)> = Vec::new();
    for (tick, new) in advance.ticks.iter().zip(new) {
        let reason = tick.reason.as_deref().unwrap_or_default();
        let (schedule, at, outcome) = (&advance.name, tick.at, tick.outcome.as_str());
        match (new, tick.outcome) {
            (false, _) => tracing::warn!(schedule, tick = %at, "the tick had its task before; it gets no other"),
            (true, TickOutcome::Enqueued | TickOutcome::Manual) => tracing::debug!(schedule, tick = %at, outcome, reason),
            (true, TickOutcome::Failed) => tracing::error!(schedule, tick = %at, outcome, reason),
            (true, _) => match left_out.last_mut().filter(|(same, _)| *same == tick.outcome) {
                Some((_, ticks)) => ticks.push(tick),
                None => left_out.push((tick.outcome, vec![tick])),
            },
        }
    }
    // A line for all that follow each other: there may be a hundred of them after a night without a beat.
    for (outcome, ticks) in left_out {
        let [first, .., last] = ticks.as_slice() else {
            let Some(tick) = ticks.first() else { continue };
            let reason = tick.reason.as_deref().unwrap_or_default();
            tracing::warn!(schedule = advance.name, tick = %tick.at, outcome = outcome.as_str(), reason);
            continue;
        };
        let reason = last.reason.as_deref().unwrap_or_default();
        let (schedule, outcome, count) = (&advance.name, outcome.as_str(), ticks.len());
        tracing::warn!(schedule, ticks = count, first = %first.at, last = %last.at, outcome, reason);
    }
}
