use gristmill_core::{AttemptState, Failure, State, Timestamp};
use uuid::Uuid;

use super::encode::{attempt_state_of, ended_of, int, to_json};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// What a transaction has to write, gathered so that each table is written once.
#[derive(Default)]
pub(super) struct Writes {
    outcomes: Outcomes,
    ready: Waiting,
    scheduled: Waiting,
    run_at: Vec<i64>,
    pub(super) tasks_gone: Vec<Uuid>,
    pub(super) histories_gone: Vec<Uuid>,
}

/// One row of the history.
pub(super) struct Outcome {
    pub(super) id: Uuid,
    pub(super) seq: i64,
    pub(super) claim_no: u32,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) state: AttemptState,
    /// That the task ended with it, and until when it is kept.
    pub(super) end: Option<(State, i64)>,
    pub(super) finished_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) worker: Option<String>,
    pub(super) result: Option<String>,
    pub(super) error: Option<Failure>,
    pub(super) logs: Option<String>,
    pub(super) progress: Option<String>,
}

/// A task's place in line.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: Uuid,
    pub(super) seq: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) queue: i32,
    pub(super) kind: i32,
    pub(super) attempt: u32,
    pub(super) claim_no: u32,
    pub(super) crashes: u32,
    pub(super) priority: i16,
}

#[derive(Default)]
struct Outcomes {
    id: Vec<Uuid>,
    seq: Vec<i64>,
    finished_at: Vec<i64>,
    started_at: Vec<Option<i64>>,
    keep_until: Vec<Option<i64>>,
    claim_no: Vec<i32>,
    attempt: Vec<i32>,
    crashes: Vec<i32>,
    state: Vec<i16>,
    ended: Vec<i16>,
    worker: Vec<Option<String>>,
    result: Vec<Option<String>>,
    error: Vec<Option<String>>,
    logs: Vec<Option<String>>,
    progress: Vec<Option<String>>,
}

#[derive(Default)]
struct Waiting {
    id: Vec<Uuid>,
    seq: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    queue: Vec<i32>,
    kind: Vec<i32>,
    attempt: Vec<i32>,
    claim_no: Vec<i32>,
    crashes: Vec<i32>,
    priority: Vec<i16>,
}

impl Writes {
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        let rows = &mut self.outcomes;
        rows.id.push(outcome.id);
        rows.seq.push(outcome.seq);
        rows.finished_at.push(outcome.finished_at.as_millis());
        rows.started_at.push(outcome.started_at.map(Timestamp::as_millis));
        rows.keep_until.push(outcome.end.map(|(_, keep_until)| keep_until));
        rows.claim_no.push(int(outcome.claim_no));
        rows.attempt.push(int(outcome.attempt));
        rows.crashes.push(int(outcome.crashes));
        rows.state.push(attempt_state_of(outcome.state));
        rows.ended.push(outcome.end.map_or(0, |(state, _)| ended_of(state)));
        rows.worker.push(outcome.worker);
        rows.result.push(outcome.result);
        rows.error.push(outcome.error.as_ref().map(to_json));
        rows.logs.push(outcome.logs);
        rows.progress.push(outcome.progress);
    }

    pub(super) fn ready(&mut self, place: Place) {
        self.ready.push(place);
    }

    pub(super) fn scheduled(&mut self, place: Place, run_at: i64) {
        self.scheduled.push(place);
        self.run_at.push(run_at);
    }

    /// Writes all of it, and says in `effects` what became ready and scheduled.
    pub(super) async fn flush(self, s: &mut Session<'_>) -> Result<(), Fault> {
        let Self { outcomes, ready, scheduled, run_at, tasks_gone, histories_gone } = self;
        if !histories_gone.is_empty() {
            s.execute(Q::OutcomeDelete, &[&histories_gone]).await?;
        }
        if !tasks_gone.is_empty() {
            s.execute(Q::TaskDelete, &[&tasks_gone]).await?;
        }
        if !outcomes.id.is_empty() {
            outcomes.insert(s).await?;
        }
        if !ready.id.is_empty() {
            let w = &ready;
            s.execute(
                Q::ReadyInsert,
                &[&w.id, &w.seq, &w.expires_at, &w.queue, &w.kind, &w.attempt, &w.claim_no, &w.crashes, &w.priority],
            )
            .await?;
            s.effects.readied = true;
            let places = w.queue.iter().zip(&w.priority).zip(&w.seq).map(|((queue, priority), seq)| (*queue, *priority, *seq));
            s.own.returned.extend(places);
        }
        if !scheduled.id.is_empty() {
            let w = &scheduled;
            s.execute(
                Q::ScheduledInsert,
                &[&w.id, &w.seq, &w.expires_at, &w.queue, &w.kind, &w.attempt, &w.claim_no, &w.crashes, &w.priority, &run_at],
            )
            .await?;
            s.effects.scheduled = true;
        }
        Ok(())
    }
}

impl Outcomes {
    async fn insert(self, s: &mut Session<'_>) -> Result<(), Fault> {
        s.execute(
            Q::OutcomeInsert,
            &[
                &self.id,
                &self.seq,
                &self.finished_at,
                &self.started_at,
                &self.keep_until,
                &self.claim_no,
                &self.attempt,
                &self.crashes,
                &self.state,
                &self.ended,
                &self.worker,
                &self.result,
                &self.error,
                &self.logs,
                &self.progress,
            ],
        )
        .await?;
        Ok(())
    }
}

impl Waiting {
    fn push(&mut self, place: Place) {
        self.id.push(place.id);
        self.seq.push(place.seq);
        self.expires_at.push(place.expires_at);
        self.queue.push(place.queue);
        self.kind.push(place.kind);
        self.attempt.push(int(place.attempt));
        self.claim_no.push(int(place.claim_no));
        self.crashes.push(int(place.crashes));
        self.priority.push(place.priority);
    }
}
