//! Which tasks have somebody to run them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What a worker serves, as it is kept: a task is served if its type and its queue are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Serves {
    /// Task types.
    pub kinds: Vec<String>,
    /// Queues, with its concurrency in each.
    pub queues: BTreeMap<String, u32>,
}

/// What workers hold, as lists count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// What runs.
    pub running: u64,
    /// What was claimed ahead and waits for a slot.
    pub buffered: u64,
}

impl Serves {
    /// What it does with the tasks that it holds of a queue: a worker that holds more than run leaves no slot free.
    pub fn holding(&self, queue: &str, held: u64) -> Holding {
        let slots = self.queues.get(queue).map_or(u64::MAX, |slots| u64::from(*slots));
        let running = held.min(slots);
        Holding { running, buffered: held - running }
    }
}

impl AddAssign for Holding {
    fn add_assign(&mut self, other: Self) {
        self.running = self.running.saturating_add(other.running);
        self.buffered = self.buffered.saturating_add(other.buffered);
    }
}

/// What all live workers serve.
#[derive(Debug, Default)]
pub struct Served(pub Vec<Serves>);

impl Served {
    /// Whether somebody runs tasks of this type from this queue.
    pub fn covers(&self, queue: &str, kind: &str) -> bool {
        self.0.iter().any(|serves| serves.queues.contains_key(queue) && serves.kinds.iter().any(|known| known == kind))
    }

    /// The queues that somebody serves, by name.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self.0.iter().flat_map(|serves| serves.queues.keys().map(String::as_str)).collect();
        names.into_iter()
    }

    /// How many serve a task type.
    pub fn workers_of(&self, kind: &str) -> u64 {
        self.0.iter().filter(|serves| serves.kinds.iter().any(|known| known == kind)).count() as u64
    }
}
