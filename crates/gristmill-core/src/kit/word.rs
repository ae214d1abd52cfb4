use std::time::Duration;

use crate::{Ending, Failure, Progress, Settlement};

/// How an attempt ended, whoever says so: its worker by a settlement, or the store for a worker that is gone.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// What it ended with.
    pub ending: Ending,
    /// How long it ran; `None`: since it was claimed, as nobody measured.
    pub ran_for: Option<Duration>,
    /// Nothing ran: leave no trace in the history.
    pub silent: bool,
    /// What the handler returned.
    pub result: Option<&'a str>,
    /// Why it did not succeed.
    pub failure: Option<&'a Failure>,
    /// What it logged, if that is more than was noted.
    pub logs: Option<&'a str>,
    /// How far it came, if that is more than was noted.
    pub progress: Option<&'a Progress>,
}

impl<'a> Word<'a> {
    /// Of a worker that is gone; `started`: whether its lease says that the handler ran.
    pub fn without(ending: Ending, started: bool) -> Self {
        Self { ending, ran_for: None, silent: !started, result: None, failure: None, logs: None, progress: None }
    }

    /// What a settlement says; `started`: whether its lease says that the handler ran.
    pub fn of(settlement: &'a Settlement, started: bool) -> Self {
        let silent = match settlement.ending {
            // It sat in a buffer and never ran.
            Ending::Released => settlement.ran_for.is_zero(),
            Ending::Crashed => !started,
            _ => false,
        };
        Self {
            ending: settlement.ending,
            ran_for: (settlement.ending != Ending::Crashed).then_some(settlement.ran_for),
            silent,
            result: settlement.result.as_deref(),
            failure: settlement.failure.as_deref(),
            logs: settlement.logs.as_deref(),
            progress: settlement.progress.as_deref(),
        }
    }
}
