use gristmill_core::kit::encode::{attempt_state_of, ended_of, to_json};
use gristmill_core::kit::row::int;
use gristmill_core::{AttemptState, Ended, Failure, Place, State, Timestamp};
use uuid::Uuid;

use super::concurrency::Returns;
use super::ended::end_columns;
use super::facts::Step;
use super::place::{Placed, Places};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// What a transaction has to write, gathered so that each table is written once.
#[derive(Default)]
pub(super) struct Writes {
    outcomes: Outcomes,
    places: Places,
    pub(super) reports: Reports,
    pub(super) returns: Returns,
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
    /// That the task ended with it.
    pub(super) end: Option<(State, Ended)>,
    pub(super) finished_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) worker: Option<String>,
    pub(super) result: Option<String>,
    pub(super) error: Option<Failure>,
    pub(super) logs: Option<String>,
    pub(super) progress: Option<String>,
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
    owed: Vec<i32>,
}

impl Writes {
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        let rows = &mut self.outcomes;
        let (ended, keep_until, owed) = outcome.end.map_or((0, None, 0), |(state, ended)| end_columns(state, &ended));
        rows.id.push(outcome.id);
        rows.seq.push(outcome.seq);
        rows.finished_at.push(outcome.finished_at.as_millis());
        rows.started_at.push(outcome.started_at.map(Timestamp::as_millis));
        rows.keep_until.push(keep_until);
        rows.claim_no.push(int(outcome.claim_no));
        rows.attempt.push(int(outcome.attempt));
        rows.crashes.push(int(outcome.crashes));
        rows.state.push(attempt_state_of(outcome.state));
        rows.ended.push(ended);
        rows.worker.push(outcome.worker);
        rows.result.push(outcome.result);
        rows.error.push(outcome.error.as_ref().map(to_json));
        rows.logs.push(outcome.logs);
        rows.progress.push(outcome.progress);
        rows.owed.push(owed);
    }

    pub(super) fn place(&mut self, place: Place, task: Placed) {
        self.places.push(place, task);
    }

    /// Writes all of it, and says in the effects what that brings about.
    pub(super) async fn flush(self, s: &mut Session<'_>) -> Result<(), Fault> {
        let Self { outcomes, places, reports, returns, tasks_gone, histories_gone } = self;
        if !histories_gone.is_empty() {
            s.execute(Q::OutcomeDelete, &[&histories_gone]).await?;
        }
        if !tasks_gone.is_empty() {
            s.execute(Q::TaskDelete, &[&tasks_gone]).await?;
        }
        if !outcomes.id.is_empty() {
            outcomes.insert(s).await?;
        }
        reports.write(s).await?;
        // Before its task is put into a line once more, where it matters what it holds.
        returns.write(s).await?;
        places.write(s).await
    }
}

/// What steps of workflows have to learn of their members.
#[derive(Default)]
pub(super) struct Reports {
    workflow: Vec<Uuid>,
    step: Vec<i32>,
    ended: Vec<i16>,
}

impl Reports {
    /// A member has ended.
    pub(super) fn ended(&mut self, (workflow, step): Step, state: State) {
        self.workflow.push(workflow);
        self.step.push(step);
        self.ended.push(ended_of(state));
    }

    /// Writes them, beside the ends that they are about. Whoever commits that has workflows go on.
    pub(super) async fn write(&self, s: &mut Session<'_>) -> Result<(), Fault> {
        if !self.workflow.is_empty() {
            s.execute(Q::ReportInsert, &[&self.workflow, &self.step, &self.ended]).await?;
            s.own.reported = true;
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
                &self.owed,
            ],
        )
        .await?;
        Ok(())
    }
}
