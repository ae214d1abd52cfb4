//! What callers and operators were answered.

use std::collections::{BTreeMap, BTreeSet};

use super::flows::Flows;

/// An operator's word about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Answered: it is cancelled, and never starts.
    Cancelled,
    /// Answered: it runs and is asked to end. Or nothing was answered, or a worker was paused, so that it may be any of these.
    MayEnd,
    /// About to be asked: it may start again from here on.
    Retried,
}

/// Everything by the clock of the journal, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Tasks that somebody asked for, whatever the answer was.
    pub(crate) asked: BTreeSet<String>,
    /// Schedules that were there at any time.
    pub(crate) schedules: BTreeSet<String>,
    /// Tasks of which a caller was told that they are kept.
    pub(crate) enqueued: BTreeSet<String>,
    /// In their order.
    pub(crate) words: BTreeMap<String, Vec<(u64, Word)>>,
    /// When somebody was told that a task has succeeded.
    pub(crate) succeeded: BTreeMap<String, u64>,
    /// Workflows.
    pub(crate) flows: Flows,
}

impl Ledger {
    pub(crate) fn say(&mut self, id: &str, at: u64, word: Word) {
        self.words.entry(id.to_owned()).or_default().push((at, word));
    }

    /// Whether somebody was told before this moment that a task has succeeded.
    pub(crate) fn is_told(&self, id: &str, at: u64) -> bool {
        self.succeeded.get(id).is_some_and(|told| *told < at)
    }

    /// The last word about a task at a moment.
    pub(crate) fn word(&self, id: &str, at: u64) -> Option<Word> {
        self.words.get(id)?.iter().rev().find(|(since, _)| *since <= at).map(|(_, word)| *word)
    }
}
