use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{self, RESULTS_BYTES_MAX};
use crate::{InvalidInput, TaskId, Timestamp};

/// How long an event is kept by default.
pub const EVENT_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Something that has happened, on its way into a store: whoever awaits it by its name is told, now or when it comes to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    name: String,
    payload: String,
    kept: Duration,
}

impl NewEvent {
    /// An event with this name and payload, JSON text, that is kept for [`EVENT_KEPT`].
    ///
    /// # Errors
    /// If the name is empty or too long, or the payload no JSON, nested too deeply, or larger than
    /// [`RESULTS_BYTES_MAX`](crate::limits::RESULTS_BYTES_MAX).
    pub fn new(name: impl Into<String>, payload: impl Into<String>) -> Result<Self, InvalidInput> {
        let (name, payload) = (name.into(), payload.into());
        limits::check_name("event", &name)?;
        if payload.len() > RESULTS_BYTES_MAX {
            let problem = format!("has {} bytes of JSON; at most {RESULTS_BYTES_MAX} are allowed", payload.len());
            return Err(InvalidInput::new("payload", problem));
        }
        limits::check_depth("payload", &payload)?;
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&payload) {
            return Err(InvalidInput::new("payload", format!("is no JSON: {error}")));
        }
        Ok(Self { name, payload, kept: EVENT_KEPT })
    }

    /// The same, kept for so long for who comes to wait for it later.
    #[must_use]
    pub fn kept_for(self, kept: Duration) -> Self {
        Self { kept: kept.min(limits::DURATION_MAX), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is told, as JSON text.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// For how long it is kept.
    pub const fn kept(&self) -> Duration {
        self.kept
    }
}

/// What became of an event that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// It is there, and whoever waits for it goes on.
    Stored,
    /// One of this name was there already: the first one wins.
    Exists,
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its name.
    pub name: String,
    /// What it told, as JSON text.
    pub payload: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
}

/// A task that awaits an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The event's name.
    pub event: String,
    /// The task.
    pub task: TaskId,
    /// When it stops waiting.
    pub until: Option<Timestamp>,
}
