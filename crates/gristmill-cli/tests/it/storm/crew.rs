//! Those who are at work during a storm, beside the workers: callers, operators, and one who looks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::journal::now;
use super::ledger::{Ledger, Word};
use super::plan::Dice;
use crate::sandbox::{Ended, Sandbox};

/// Tasks of one call.
const BATCH: usize = 8;
/// So many tasks may wait at once: a storm ends soon after its last fault.
const AHEAD: usize = 40;
/// Between two of an operator's words, so that most of the machine is left to the work.
pub(crate) const PACE: Duration = Duration::from_millis(150);

/// What they share.
pub(crate) struct Shared<'a> {
    pub(crate) sandbox: &'a Sandbox,
    /// The store's URL for those who have to reckon with a bad network.
    pub(crate) far: Option<String>,
    pub(crate) ledger: Mutex<Ledger>,
    /// Tasks that have ended, as the journal says.
    pub(crate) ended: AtomicUsize,
    /// Until then, by the journal's clock, a worker from whom a task was taken may start it, though somebody cancelled it meanwhile.
    pub(crate) unsure_until: AtomicU64,
    pub(crate) over: AtomicBool,
    number: AtomicUsize,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, far: Option<String>) -> Self {
        let (ended, unsure_until, over) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { sandbox, far, ledger: Mutex::default(), ended, unsure_until, over, number: AtomicUsize::new(0) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// An id that no other task has.
    pub(crate) fn id(&self) -> String {
        format!("0190a000-0000-7000-8000-{:012x}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// The id of a task that somebody is about to ask for.
    pub(crate) fn ask(&self) -> String {
        let id = self.id();
        self.ledger.lock().unwrap().asked.insert(id.clone());
        id
    }

    /// Runs a command by way of the network.
    pub(crate) fn far(&self, args: &[&str], input: &str) -> Ended {
        let store = self.far.as_deref().map_or(vec![], |url| vec!["--store", url]);
        self.sandbox.run_with_input(&[&store, args].concat(), input)
    }

    /// Enqueues tasks, again with the same ids until it is known that all of them are kept.
    pub(crate) fn call(&self) {
        while !self.is_over() {
            if self.ledger.lock().unwrap().enqueued.len() > self.ended.load(Ordering::Relaxed) + AHEAD {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let ids: Vec<_> = (0..BATCH).map(|_| self.ask()).collect();
            let line = |(n, id): (usize, &String)| {
                let delay = if n % 3 == 0 { "80ms" } else { "0s" };
                format!("{}\n", json!({ "task": "job", "args": { "n": n }, "id": id, "in": delay, "priority": n }))
            };
            let lines: String = ids.iter().enumerate().map(line).collect();
            while !self.is_over() {
                let ended = self.far(&["enqueue", "--jsonl", "-", "-o", "jsonl"], &lines);
                let acknowledged = ended.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let ids = acknowledged.filter_map(|line| line["id"].as_str().map(str::to_owned));
                self.ledger.lock().unwrap().enqueued.extend(ids);
                match ended.code {
                    Some(0) => break,
                    Some(3) => {}
                    _ => panic!("a caller is refused: {ended:?}"),
                }
            }
        }
    }

    /// Says this and that, to tasks, queues and a schedule.
    pub(crate) fn operate(&self, mut dice: Dice) {
        while !self.is_over() {
            match dice.below(8) {
                0..=2 => self.cancel_some(&mut dice),
                3 | 4 => self.retry_some(&mut dice),
                5 => {
                    self.sandbox.run(&["queues", "pause", "default"]);
                    self.sandbox.run(&["queues", "resume", "default"]);
                }
                6 => {
                    let every = ["1s", "2s", "3s"][dice.below(3)];
                    self.sandbox.run(&["schedules", "edit", "edited", "--every", every]);
                }
                _ => {
                    self.sandbox.run(&["schedules", "pause", "edited"]);
                    self.sandbox.run(&["schedules", "resume", "edited"]);
                }
            }
            std::thread::sleep(PACE);
        }
        // Whatever became of the last word.
        self.sandbox.ok(&["queues", "resume", "default"]);
    }

    fn cancel_some(&self, dice: &mut Dice) {
        // One of the last, as those before have ended.
        let recent: Vec<_> = self.ledger.lock().unwrap().enqueued.iter().rev().take(AHEAD).cloned().collect();
        if recent.is_empty() {
            return;
        }
        let id = &recent[dice.below(recent.len())];
        let ended = self.sandbox.run(&["tasks", "cancel", id, "-o", "jsonl"]);
        let answer: Value = serde_json::from_str(ended.stdout.trim()).unwrap_or_default();
        let at = now();
        let word = match answer["outcome"].as_str() {
            Some("cancelled") if self.unsure_until.load(Ordering::Relaxed) < at => Word::Cancelled,
            Some("already_ended") => return,
            _ => Word::MayEnd,
        };
        self.ledger.lock().unwrap().say(id, at, word);
    }

    fn retry_some(&self, dice: &mut Dice) {
        let mut ledger = self.ledger.lock().unwrap();
        let cancelled: Vec<_> =
            ledger.words.keys().filter(|id| ledger.word(id, u64::MAX) == Some(Word::Cancelled)).cloned().collect();
        if cancelled.is_empty() {
            return;
        }
        let id = &cancelled[dice.below(cancelled.len())];
        ledger.say(id, now(), Word::Retried);
        drop(ledger);
        if self.sandbox.run(&["tasks", "retry", id]).code != Some(0) {
            // It may be that it is retried all the same.
            self.ledger.lock().unwrap().say(id, now(), Word::MayEnd);
        }
    }

    /// Looks what has succeeded.
    pub(crate) fn look(&self) {
        while !self.is_over() {
            let list = ["tasks", "list", "--state", "succeeded", "--kind", "job", "--limit", "200", "-o", "json"];
            let page: Value = serde_json::from_str(&self.sandbox.run(&list).stdout).unwrap_or_default();
            let at = now();
            let mut ledger = self.ledger.lock().unwrap();
            for task in page["items"].as_array().into_iter().flatten() {
                ledger.succeeded.entry(task["id"].as_str().unwrap().to_owned()).or_insert(at);
            }
            drop(ledger);
            std::thread::sleep(3 * PACE);
        }
    }
}
