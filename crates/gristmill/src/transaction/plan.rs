use serde::Serialize;

use crate::attempt::Attempt;
use crate::core::{Effects, Ending, LeaseRef, OnError, Policy, Settled, Settlement, State, StoreError};
use crate::error::BoxError;
use crate::error::LeaseLost;
use crate::{Error, Result};

/// What is done with a handler's transaction whose work is over.
pub(crate) enum Plan {
    /// It settles the attempt, and commits.
    Settle(Settlement),
    /// It commits though the work failed, if this lease still holds.
    Hold(LeaseRef),
    /// It commits: a synchronous call has no attempt that anybody else could have.
    Commit,
    Rollback,
}

impl Attempt {
    pub(crate) fn plan<T: Serialize>(&self, outcome: &Result<T>) -> Result<Plan> {
        let on_error = self.policy().map(|policy| policy.on_error).unwrap_or_default();
        Ok(match (outcome, self.lease) {
            (Err(_), _) if on_error == OnError::Rollback => Plan::Rollback,
            (_, None) => Plan::Commit,
            (Err(_), Some(lease)) => Plan::Hold(lease),
            (Ok(output), Some(lease)) => Plan::Settle(self.success(lease, output)?),
        })
    }

    /// The settlement of a success, with all that the handler left behind.
    pub(crate) fn success<T: Serialize>(&self, lease: LeaseRef, output: &T) -> Result<Settlement> {
        let unwritten = |error| Error::fail(format!("the result can't be written as JSON: {error}"));
        let result = serde_json::to_string(output).map_err(unwritten)?;
        let oversize = self.policy().map(|policy| policy.large_result).unwrap_or_default();
        let mut settlement = Settlement::new(lease, Ending::Succeeded);
        settlement.result = Some(self.runtime().stored_result(self.id, &self.kind, result, oversize)?);
        settlement.ran_for = self.since.elapsed();
        self.leave_in(&mut settlement);
        Ok(settlement)
    }

    /// What the store is told once the plan is committed.
    pub(crate) fn effects(&self, plan: &Result<Plan>) -> Effects {
        let Ok(Plan::Settle(settlement)) = plan else { return Effects::default() };
        // Due now or later: who waits for either looks again.
        let enqueued = !settlement.children.is_empty();
        Effects { ended: vec![self.id], readied: enqueued, scheduled: enqueued, ..Effects::default() }
    }

    pub(crate) fn check_settled(&self, settled: Result<Settled, StoreError>) -> Result<(), Undo> {
        match settled? {
            Settled::LeaseLost => self.check_held(Ok(false)),
            Settled::Done(State::Succeeded) => Ok(()),
            // In a transaction of one's own everything is waited for.
            Settled::Later => Err(Undo::Because(Error::retry("the store put the settlement off"))),
            // Nothing but a child that can't be kept stands against a success. Committed now, its effect would stay, and the
            // next attempt do it again.
            Settled::Done(_) => Err(Undo::Because(Error::retry("a task that this one enqueued can't be kept"))),
        }
    }

    pub(crate) fn check_held(&self, held: Result<bool, StoreError>) -> Result<(), Undo> {
        if held? { Ok(()) } else { Err(Undo::Because(LeaseLost { id: self.id }.into())) }
    }

    fn policy(&self) -> Option<&Policy> {
        self.runtime().registry.get(&self.kind).map(|kind| &kind.spec.policy)
    }
}

/// Why a transaction is not committed, or perhaps not.
pub(crate) enum Undo {
    /// The work has failed, and its writes are not to be kept.
    AsPlanned,
    Because(Error),
}

impl Undo {
    /// What the handler is told. If the work has failed besides, its own error decides what comes next.
    pub(crate) fn end<T>(self, outcome: Result<T>) -> Result<T> {
        match (self, outcome) {
            (Self::AsPlanned, outcome) => outcome,
            (Self::Because(why), Err(error)) if error.source.is_some() && !why.is_lease_lost() => {
                Err(error.map_source(|source| Box::new(NotKept { source, why: why.to_string() })))
            }
            (Self::Because(why), _) => Err(why),
        }
    }
}

impl From<Error> for Undo {
    fn from(error: Error) -> Self {
        Self::Because(error)
    }
}

impl From<StoreError> for Undo {
    fn from(error: StoreError) -> Self {
        Self::Because(error.into())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{source}; what it had written could not be committed: {why}")]
struct NotKept {
    source: BoxError,
    why: String,
}
