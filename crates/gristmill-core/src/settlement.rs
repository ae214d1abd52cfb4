use std::sync::Arc;
use std::time::Duration;

use crate::{
    Ack, AttemptState, Event, Failure, FailureReason, Flags, LeaseRef, NewTask, Place, Progress, Standing, State, TaskId, place,
    step,
};

/// The end of an attempt, as the worker reports it.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The claim that it ends; the store refuses it unless this is the newest one.
    pub lease: LeaseRef,
    /// How it ended.
    pub ending: Ending,
    /// How long the handler ran, by the worker's monotonic clock.
    pub ran_for: Duration,
    /// The result as JSON text; for [`Ending::Succeeded`] only.
    pub result: Option<String>,
    /// What went wrong.
    pub failure: Option<Box<Failure>>,
    /// What the attempt logged, if anything.
    pub logs: Option<String>,
    /// How far it came, if it said.
    pub progress: Option<Box<Progress>>,
    /// What the handler enqueued through its context: committed with a success, dropped otherwise. Shared, as there may be many
    /// of them and a settlement is handed over anew with each try.
    pub children: Arc<[NewTask]>,
}

impl Settlement {
    /// A settlement that carries nothing but how it ended.
    pub fn new(lease: LeaseRef, ending: Ending) -> Self {
        Self {
            lease,
            ending,
            ran_for: Duration::ZERO,
            result: None,
            failure: None,
            logs: None,
            progress: None,
            children: Arc::default(),
        }
    }

    /// About how many tasks it writes: its own, and those that it enqueues.
    pub fn weight(&self) -> usize {
        1 + self.children.len()
    }

    /// About how many bytes it writes.
    pub fn bytes(&self) -> usize {
        let own = self.result.as_ref().map_or(0, String::len) + self.logs.as_ref().map_or(0, String::len);
        self.children.iter().fold(own, |sum, child| sum.saturating_add(child.bytes()))
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Succeeded,
    /// With an error, and never again.
    Failed,
    /// With an error; again after the delay, if attempts are left.
    Retry {
        /// The wait.
        delay: Duration,
    },
    /// The handler wants to be run again after the delay; the attempt is given back.
    Snooze {
        /// The wait.
        delay: Duration,
    },
    /// The worker stops; the attempt is given back, and the task is ready at once.
    Released,
    /// The handler ended itself, or honoured a request to stop.
    Cancelled,
    /// The worker that had it is gone. Only a rescue says so.
    Crashed,
}

/// What the store answers to one settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Written; the task is now in this state.
    Done(State),
    /// The claim is no longer the newest one. Nothing was written; the attempt is somebody else's.
    LeaseLost,
    /// Not now: somebody's open transaction holds what it needs, or it can't be written and nothing is wrong with the others.
    /// Nothing was written of it. It is to be handed over again, apart from others.
    Later,
}

/// What a store knows of a leased task when it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The number of the running attempt.
    pub attempt: u32,
    /// Crashes so far.
    pub crashes: u32,
    /// The limit of failed attempts.
    pub max_attempts: u32,
    /// The limit of crashes.
    pub max_crashes: u32,
    /// Whether a crash is run again.
    pub ack: Ack,
    /// False if the worker had to report the start and did not: then the handler never ran.
    pub started: bool,
    /// Whether somebody asked for it to stop.
    pub cancel_requested: bool,
    /// What is unusual about the task.
    pub flags: Flags,
}

/// What a store has to write for a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the attempt goes down in the history.
    pub attempt: AttemptState,
    /// What becomes of the task.
    pub next: Next,
    /// What there is to say of it where nobody else does.
    cause: Option<&'static str>,
}

/// What becomes of a task after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has ended.
    End(State),
    /// It runs again, with these counts.
    Again {
        /// Attempts used.
        attempt: u32,
        /// Crashes so far.
        crashes: u32,
        /// The wait; zero means none.
        delay: Duration,
        /// Where it waits.
        place: Place,
    },
}

/// Decides what a settlement means. Every store asks this, so that none decides otherwise.
///
/// - Attempts that crashed do not use up `max_attempts`; they use up `max_crashes`.
/// - A snooze and a release give the attempt back.
/// - A requested cancellation wins over every ending but a success, a crash of the worker included.
/// - A task that runs at most once and was started is not run again, not even when its worker stops cleanly.
/// - A crash of an attempt whose start had to be reported and was not gives the attempt back: the handler never ran.
pub fn judge(held: &Held, ending: Ending) -> Verdict {
    let again = |attempt, crashes, delay: Duration| {
        let limited = held.flags.has(Flags::LIMITED);
        let place = place(Standing { early: !delay.is_zero(), limited, ..Standing::default() });
        Next::Again { attempt, crashes, delay, place }
    };
    let failed_attempts = held.attempt.saturating_sub(held.crashes);
    let (attempt, next) = match ending {
        Ending::Succeeded => (AttemptState::Succeeded, Next::End(State::Succeeded)),
        Ending::Cancelled => (AttemptState::Cancelled, Next::End(State::Cancelled)),
        Ending::Failed => (AttemptState::Failed, Next::End(State::Failed)),
        Ending::Retry { .. } if failed_attempts >= held.max_attempts => (AttemptState::Failed, Next::End(State::Failed)),
        Ending::Retry { delay } => (AttemptState::Failed, again(held.attempt, held.crashes, delay)),
        Ending::Snooze { delay } => (AttemptState::Snoozed, again(held.attempt.saturating_sub(1), held.crashes, delay)),
        Ending::Released if held.ack == Ack::Early && held.started => (AttemptState::Crashed, Next::End(State::Failed)),
        Ending::Released => (AttemptState::Released, again(held.attempt.saturating_sub(1), held.crashes, Duration::ZERO)),
        Ending::Crashed if !held.started => {
            (AttemptState::Released, again(held.attempt.saturating_sub(1), held.crashes, Duration::ZERO))
        }
        Ending::Crashed if held.ack == Ack::Early || held.crashes + 1 >= held.max_crashes => {
            (AttemptState::Crashed, Next::End(State::Failed))
        }
        Ending::Crashed => (AttemptState::Crashed, again(held.attempt, held.crashes + 1, Duration::ZERO)),
    };
    let next = match next {
        Next::End(State::Succeeded) => next,
        _ if held.cancel_requested => Next::End(State::Cancelled),
        _ => next,
    };
    debug_assert!(is_legal(ending, next), "{ending:?} can't lead to {next:?}");
    let cause = match (attempt, ending, next) {
        (AttemptState::Crashed, Ending::Released, _) => {
            Some("the worker stopped while it ran this task, which runs at most once")
        }
        (AttemptState::Crashed, _, _) if held.ack == Ack::Early => {
            Some("the worker died while it ran this task, which runs at most once")
        }
        (AttemptState::Crashed, _, Next::End(State::Failed)) => {
            Some("the worker died while it ran this task, and the crash limit is reached")
        }
        (AttemptState::Crashed, _, _) => Some("the worker died while it ran this task"),
        _ => None,
    };
    Verdict { attempt, next, cause }
}

impl Verdict {
    /// What the history says about an attempt that ended without a word from its handler.
    pub fn default_failure(&self) -> Option<Failure> {
        match (self.cause, self.next) {
            (Some(cause), _) => Some(Failure::new(FailureReason::Crashed, cause)),
            (None, Next::End(State::Cancelled)) => Some(Failure::new(FailureReason::Cancelled, "cancelled on request")),
            (None, _) => None,
        }
    }
}

fn is_legal(ending: Ending, next: Next) -> bool {
    let (event, to) = match (ending, next) {
        (_, Next::End(State::Cancelled)) => (Event::Cancelled, State::Cancelled),
        (Ending::Succeeded, Next::End(state)) => (Event::Succeeded, state),
        (Ending::Crashed | Ending::Released, Next::End(state)) => (Event::Crashed(None), state),
        (_, Next::End(state)) => (Event::Failed(None), state),
        (Ending::Retry { .. }, Next::Again { place, .. }) => (Event::Failed(Some(place)), place.state()),
        (Ending::Snooze { .. }, Next::Again { place, .. }) => (Event::Snoozed(place), place.state()),
        (Ending::Crashed, Next::Again { place, .. }) => (Event::Crashed(Some(place)), place.state()),
        (_, Next::Again { place, .. }) => (Event::Released(place), place.state()),
    };
    step(State::Running, event) == Ok(to)
}

impl Settlement {
    /// The same attempt as one that failed, because a task that it enqueued was refused: another task has that one's id. A
    /// success that lost a child in silence would be none.
    #[must_use]
    pub fn refused(&self, child: TaskId) -> Self {
        let message = format!("the attempt enqueued a task with the id {child}, which is another task's; nothing of it was kept");
        Self {
            ending: Ending::Failed,
            result: None,
            failure: Some(Box::new(Failure::new(FailureReason::Error, message))),
            children: Arc::default(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Held = Held {
        attempt: 2,
        crashes: 0,
        max_attempts: 3,
        max_crashes: 2,
        ack: Ack::Late,
        started: true,
        cancel_requested: false,
        flags: Flags::NONE,
    };

    fn again(attempt: u32, crashes: u32, delay: Duration) -> Next {
        let place = if delay.is_zero() { Place::Ready } else { Place::Scheduled };
        Next::Again { attempt, crashes, delay, place }
    }

    #[test]
    fn attempts_and_crashes_are_counted_apart() {
        let delay = Duration::from_secs(1);
        let retry = Ending::Retry { delay };
        assert_eq!(judge(&HELD, retry).next, again(2, 0, delay));
        assert_eq!(judge(&Held { attempt: 3, ..HELD }, retry).next, Next::End(State::Failed));
        // Of four attempts one crashed: three failed, which is the limit.
        assert_eq!(judge(&Held { attempt: 3, crashes: 1, ..HELD }, retry).next, again(3, 1, delay));
        assert_eq!(judge(&Held { attempt: 4, crashes: 1, ..HELD }, retry).next, Next::End(State::Failed));
        assert_eq!(judge(&HELD, Ending::Crashed).next, again(2, 1, Duration::ZERO));
        assert_eq!(judge(&Held { crashes: 1, ..HELD }, Ending::Crashed).next, Next::End(State::Failed));
    }

    #[test]
    fn a_crash_before_the_reported_start_costs_nothing() {
        let verdict = judge(&Held { started: false, ack: Ack::Early, crashes: 1, ..HELD }, Ending::Crashed);
        let again = again(1, 1, Duration::ZERO);
        assert_eq!((verdict.attempt, verdict.next), (AttemptState::Released, again));
        for ending in [Ending::Crashed, Ending::Released] {
            assert_eq!(judge(&Held { ack: Ack::Early, ..HELD }, ending).next, Next::End(State::Failed));
        }
    }

    #[test]
    fn what_a_limit_admitted_waits_for_it_again() {
        let held = Held { flags: Flags::LIMITED, ..HELD };
        let place = |ending| match judge(&held, ending).next {
            Next::Again { place, .. } => Some(place),
            Next::End(_) => None,
        };
        let delay = Duration::from_secs(1);
        assert_eq!(place(Ending::Retry { delay }), Some(Place::Scheduled));
        assert_eq!(place(Ending::Retry { delay: Duration::ZERO }), Some(Place::Waiting));
        assert_eq!(place(Ending::Released), Some(Place::Waiting));
        assert_eq!(place(Ending::Crashed), Some(Place::Waiting));
    }

    #[test]
    fn a_crash_says_what_happened() {
        let early = Held { ack: Ack::Early, ..HELD };
        for (held, ending, says) in [
            (early, Ending::Released, "the worker stopped while it ran this task, which runs at most once"),
            (early, Ending::Crashed, "the worker died while it ran this task, which runs at most once"),
            (
                Held { crashes: 1, ..HELD },
                Ending::Crashed,
                "the worker died while it ran this task, and the crash limit is reached",
            ),
            (HELD, Ending::Crashed, "the worker died while it ran this task"),
        ] {
            let failure = judge(&held, ending).default_failure().unwrap();
            assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Crashed, says));
        }
    }

    #[test]
    fn a_requested_cancellation_wins_over_all_but_success() {
        let held = Held { cancel_requested: true, ..HELD };
        let delay = Duration::ZERO;
        for ending in [
            Ending::Failed,
            Ending::Retry { delay },
            Ending::Snooze { delay },
            Ending::Released,
            Ending::Crashed,
            Ending::Cancelled,
        ] {
            assert_eq!(judge(&held, ending).next, Next::End(State::Cancelled), "{ending:?}");
        }
        assert_eq!(judge(&held, Ending::Succeeded).next, Next::End(State::Succeeded));
    }
}
