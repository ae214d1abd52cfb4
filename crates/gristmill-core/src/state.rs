use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Place;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for other tasks.
    Blocked,
    /// Due later: a delay, a retry, a snooze.
    Scheduled,
    /// Held back by a limit.
    Waiting,
    /// May run now.
    Ready,
    /// A worker has it.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Ended because it was not started by its deadline.
    Expired,
}

impl State {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Waiting,
        Self::Ready,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether the task has ended. Only an explicit retry leaves such a state.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// The name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is not a state; they are {all}")
        })
    }
}

/// How one attempt ended, or that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// It runs.
    Running,
    /// It returned a result.
    Succeeded,
    /// It returned an error, panicked, or ran too long.
    Failed,
    /// Its worker died or lost its lease.
    Crashed,
    /// It asked to be run again later; the attempt was given back.
    Snoozed,
    /// Its worker stopped cleanly before it ended; the attempt was given back.
    Released,
    /// It was cancelled.
    Cancelled,
    /// It was never started: too late.
    Expired,
}

impl AttemptState {
    /// All of them. A store may keep an attempt's state as its place in this list, which only grows at its end.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Crashed,
        Self::Snoozed,
        Self::Released,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// What can happen to a task. Where it goes to a place, that is what [`place`](crate::place) says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The tasks it waited for are done.
    DependenciesDone(Place),
    /// Its time has come.
    Due(Place),
    /// A slot of its limit is free.
    Admitted,
    /// Its limit was lowered before anybody claimed it.
    Withdrawn,
    /// A worker claimed it.
    Claimed,
    /// The attempt succeeded.
    Succeeded,
    /// The attempt failed; with a place if there is another one.
    Failed(Option<Place>),
    /// The worker died; with a place if the crash limit is not reached.
    Crashed(Option<Place>),
    /// The handler wants to be run later.
    Snoozed(Place),
    /// The worker stops and gives the task back.
    Released(Place),
    /// Somebody cancelled it.
    Cancelled,
    /// It was not started by its deadline.
    Expired,
    /// Somebody wants an ended task to run again.
    Retried(Place),
}

/// An event that can't happen in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} can't have the event {event:?}")]
pub struct Illegal {
    /// The state.
    pub from: State,
    /// The event.
    pub event: Event,
}

/// The state machine. No store invents a transition: whatever one does to a task is an event here.
///
/// # Errors
/// If the event can't happen in that state; nothing may be changed then.
pub fn step(from: State, event: Event) -> Result<State, Illegal> {
    use {Event as E, Place as P, State as S};
    Ok(match (from, event) {
        // It may not be due yet, and it may need a slot.
        (S::Blocked, E::DependenciesDone(to @ (P::Scheduled | P::Waiting | P::Ready | P::Parked))) => to.state(),
        (S::Scheduled, E::Due(to @ (P::Waiting | P::Ready | P::Parked))) => to.state(),
        (S::Waiting, E::Admitted) => S::Ready,
        (S::Ready, E::Withdrawn) => S::Waiting,
        (S::Ready, E::Claimed) => S::Running,
        (S::Running, E::Succeeded) => S::Succeeded,
        // It has given its slot back, and waits for its time first.
        (
            S::Running,
            E::Failed(Some(to @ (P::Scheduled | P::Waiting | P::Ready | P::Parked)))
            | E::Snoozed(to @ (P::Scheduled | P::Waiting | P::Ready | P::Parked)),
        ) => to.state(),
        (
            S::Running,
            E::Crashed(Some(to @ (P::Waiting | P::Ready | P::Parked))) | E::Released(to @ (P::Waiting | P::Ready | P::Parked)),
        ) => to.state(),
        (S::Running, E::Failed(None) | E::Crashed(None)) => S::Failed,
        (S::Blocked | S::Scheduled | S::Waiting | S::Ready | S::Running, E::Cancelled) => S::Cancelled,
        (S::Blocked | S::Scheduled | S::Waiting | S::Ready, E::Expired) => S::Expired,
        (S::Succeeded | S::Failed | S::Cancelled | S::Expired, E::Retried(to @ (P::Waiting | P::Ready | P::Parked))) => {
            to.state()
        }
        (from, event) => return Err(Illegal { from, event }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event; those with a place as a function of it.
    fn events(to: Place) -> [Event; 15] {
        [
            Event::DependenciesDone(to),
            Event::Due(to),
            Event::Admitted,
            Event::Withdrawn,
            Event::Claimed,
            Event::Succeeded,
            Event::Failed(Some(to)),
            Event::Failed(None),
            Event::Crashed(Some(to)),
            Event::Crashed(None),
            Event::Snoozed(to),
            Event::Released(to),
            Event::Cancelled,
            Event::Expired,
            Event::Retried(to),
        ]
    }

    /// Every pair of state and event, a row a state and a column an event; `-` is illegal. `swr` is where the event says, among
    /// scheduled, waiting and ready; `wr` the same without scheduled.
    #[test]
    fn the_whole_table() {
        //           deps due adm withdr claim succ fail+ fail- crash+ crash- snooze release cancel expire retry
        let table = [
            (State::Blocked, "swr - - - - - - - - - - - cancelled expired -"),
            (State::Scheduled, "- wr - - - - - - - - - - cancelled expired -"),
            (State::Waiting, "- - ready - - - - - - - - - cancelled expired -"),
            (State::Ready, "- - - waiting running - - - - - - - cancelled expired -"),
            (State::Running, "- - - - - succeeded swr failed wr failed swr wr cancelled - -"),
            (State::Succeeded, "- - - - - - - - - - - - - - wr"),
            (State::Failed, "- - - - - - - - - - - - - - wr"),
            (State::Cancelled, "- - - - - - - - - - - - - - wr"),
            (State::Expired, "- - - - - - - - - - - - - - wr"),
        ];
        assert_eq!(table.map(|(state, _)| state), State::ALL);
        for (from, row) in table {
            let row: Vec<_> = row.split_whitespace().collect();
            for to in Place::ALL {
                let events = events(to);
                assert_eq!(row.len(), events.len(), "{from}");
                for (event, expected) in events.into_iter().zip(&row) {
                    let expected = match (*expected, to) {
                        ("swr", Place::Blocked) | ("wr", Place::Blocked | Place::Scheduled) => "-".to_owned(),
                        ("swr" | "wr", to) => to.state().to_string(),
                        (word, _) => word.to_owned(),
                    };
                    let got = step(from, event).map_or("-".to_owned(), |state| state.to_string());
                    assert_eq!(got, expected, "{from} on {event:?}");
                }
            }
        }
    }

    #[test]
    fn names_survive_a_round_trip() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>(), Ok(state));
        }
        assert!("done".parse::<State>().unwrap_err().contains("succeeded"));
    }
}
