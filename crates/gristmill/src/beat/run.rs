use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decide::{Decision, Look, decide};
use super::maker::Maker;
use super::memory::Memory;
use super::stored::{Stored, json, read_memory};
use crate::client::Client;
use crate::core::{
    Advance, Advanced, DueSchedules, Schedule, State, StoreError, StoreErrorKind, TaskId, TickOutcome, Wake, WorkerId, limits,
};

/// How long a beat leads without a word from it; another takes over within this and [`LOOK_EVERY`].
const LEASE: Duration = Duration::from_secs(5);
/// The longest a beat sleeps: a change that woke nobody is noticed after this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Schedules that one round deals with.
const ROUND: usize = 500;

/// A beat that runs. Dropping it does not stop it; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct RunningBeat {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl RunningBeat {
    pub(crate) fn start(client: Client) -> Self {
        let stop = CancellationToken::new();
        Self { done: tokio::spawn(run(client, stop.clone())), stop }
    }

    /// A token that stops it when it is cancelled, for a signal handler.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops it, with the round that it is at.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        if let Err(error) = self.done.await {
            tracing::error!(error = %error, "the beat's own task failed");
        }
    }
}

/// Turns ticks into tasks until `stop`.
pub(crate) async fn run(client: Client, stop: CancellationToken) {
    let id = client.env().worker_id();
    let mut beat = Beat { client, id, leads_until: None, maker: Maker::default() };
    let mut errors = 0_u32;
    while !stop.is_cancelled() {
        let wait = match beat.round().await {
            Ok(wait) => {
                errors = 0;
                wait
            }
            Err(error) => {
                errors += 1;
                tracing::warn!(error = %error, "schedules can't be looked at; trying again");
                Duration::from_millis(20).saturating_mul(1 << errors.min(6)).min(LOOK_EVERY)
            }
        };
        if !wait.is_zero() {
            tokio::select! {
                () = beat.client.store().wait(Wake::Scheduled, wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    if beat.leads_until.is_some()
        && let Err(error) = beat.client.store().resign_beat(beat.id).await
    {
        tracing::debug!(error = %error, "the lead could not be given up; it ends by itself");
    }
}

struct Beat {
    client: Client,
    id: WorkerId,
    /// Until when it may act without asking again; `None` if it never led.
    leads_until: Option<Instant>,
    maker: Maker,
}

impl Beat {
    /// Deals with what is due; returns how long there is nothing more to do.
    async fn round(&mut self) -> Result<Duration, StoreError> {
        let due = self.client.store().due_schedules(ROUND).await?;
        if due.schedules.is_empty() {
            return Ok(due.next_due.map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY)));
        }
        // Only now, so that beats of a store with no schedule due write nothing.
        if !self.leads().await? {
            return Ok(LOOK_EVERY.mul_f64(0.5 + 0.5 * self.client.env().random()));
        }
        self.advance(due).await?;
        Ok(Duration::ZERO)
    }

    async fn leads(&mut self) -> Result<bool, StoreError> {
        if self.leads_until.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        let asked = Instant::now();
        let lead = self.client.store().lead_beats(self.id, LEASE).await?;
        if lead.leads && self.leads_until.is_none() {
            tracing::info!(beat = %self.id, term = lead.term, "this beat leads");
        }
        self.leads_until = lead.leads.then(|| asked + LEASE / 2);
        Ok(lead.leads)
    }

    async fn advance(&mut self, due: DueSchedules) -> Result<(), StoreError> {
        let now = due.now;
        let read: Vec<_> = due.schedules.into_iter().map(|schedule| (Stored::read(&schedule), schedule)).collect();
        self.maker.learn(&self.client, read.iter().filter_map(|(stored, _)| Some(&stored.as_ref().ok()?.definition))).await?;
        let last: Vec<TaskId> = read.iter().filter_map(|(stored, _)| stored.as_ref().ok()?.memory.last_task).collect();
        let states = self.client.store().task_states(&last).await?;
        let mut states = last.into_iter().zip(states).collect::<std::collections::HashMap<_, _>>();
        let mut batch = Vec::new();
        for (stored, schedule) in read {
            let advance = match stored {
                Ok(stored) => {
                    let last_state = stored.memory.last_task.and_then(|id| states.remove(&id).flatten());
                    self.decide(&schedule, stored, now, last_state)
                }
                Err(why) => set_aside(&schedule, &why),
            };
            batch.push(advance);
            if !fits(&batch)
                && let Some(rest) = batch.pop()
            {
                self.write(std::mem::replace(&mut batch, vec![rest])).await?;
            }
        }
        self.write(batch).await
    }

    fn decide(&self, schedule: &Schedule, stored: Stored, now: crate::Timestamp, last_state: Option<State>) -> Advance {
        let Stored { definition, plan, memory } = stored;
        let look = Look { name: &schedule.name, definition: &definition, plan: &plan, memory, now, last_state };
        let Decision { due_at, memory, ticks, cancel } =
            decide(look, |tick| self.maker.make(&self.client, &schedule.name, &definition, tick));
        if let Some(why) = &memory.ended {
            tracing::info!(schedule = schedule.name, why, "the schedule has ended");
        }
        Advance { name: schedule.name.clone(), revision: schedule.revision, due_at, memory: json(&memory), ticks, cancel }
    }

    async fn write(&self, batch: Vec<Advance>) -> Result<(), StoreError> {
        match self.client.store().advance_schedules(batch.clone()).await {
            Ok(answers) => {
                for (advance, answer) in batch.iter().zip(answers) {
                    tell(advance, &answer);
                }
                Ok(())
            }
            // One of them asks for what can't be. Alone, each is written or set aside.
            Err(error) if error.kind() == StoreErrorKind::Invalid && batch.len() > 1 => {
                for advance in batch {
                    Box::pin(self.write(vec![advance])).await?;
                }
                Ok(())
            }
            Err(error) if error.kind() == StoreErrorKind::Invalid => {
                let aside = batch.into_iter().map(|advance| Advance {
                    due_at: None,
                    memory: json(&Memory { ended: Some(format!("set aside: {error}")), ..Memory::default() }),
                    ticks: Vec::new(),
                    cancel: Vec::new(),
                    ..advance
                });
                self.client.store().advance_schedules(aside.collect()).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a store takes all of it at once.
fn fits(batch: &[Advance]) -> bool {
    Advance::check(batch).is_ok() && batch.len() < limits::BATCH_TASKS_MAX
}

/// One that can't be read ticks no more, and says why; the others go on.
fn set_aside(schedule: &Schedule, why: &str) -> Advance {
    tracing::error!(schedule = schedule.name, why, "the schedule is set aside; mend it with `gristmill schedules edit`");
    let memory = read_memory(schedule).unwrap_or_default();
    let memory = Memory { ended: Some(format!("set aside: {why}")), ..memory };
    Advance {
        name: schedule.name.clone(),
        revision: schedule.revision,
        due_at: None,
        memory: json(&memory),
        ticks: Vec::new(),
        cancel: Vec::new(),
    }
}

fn tell(advance: &Advance, answer: &Advanced) {
    let Advanced::Done(new) = answer else {
        return tracing::debug!(schedule = advance.name, "the schedule was changed meanwhile; it is looked at again");
    };
    for (tick, new) in advance.ticks.iter().zip(new) {
        let reason = tick.reason.as_deref().unwrap_or_default();
        let (schedule, at, outcome) = (&advance.name, tick.at, tick.outcome.as_str());
        match (new, tick.outcome) {
            (false, _) => tracing::warn!(schedule, tick = %at, "the tick had its task before; it gets no other"),
            (true, TickOutcome::Enqueued | TickOutcome::Manual) => tracing::debug!(schedule, tick = %at, outcome, reason),
            (true, TickOutcome::Failed) => tracing::error!(schedule, tick = %at, outcome, reason),
            (true, _) => tracing::warn!(schedule, tick = %at, outcome, reason),
        }
    }
}
