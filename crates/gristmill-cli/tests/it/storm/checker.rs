//! Holds the journal against the ledger. It knows nothing of the store, and asks it nothing.

use std::collections::{BTreeMap, BTreeSet};

use gristmill::Timestamp;

use super::journal::Event;
use super::ledger::{Ledger, Word};

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A caller was told that it is kept, and it never ran to its end.
    Lost(String),
    /// One claim ran twice: two workers believed to have it, or one forgot that it had run it.
    ClaimRanTwice(String, u64),
    /// Somebody was told that it has succeeded, and it had not run to its end.
    NeverRan(String),
    /// It was claimed after somebody was told that it has succeeded.
    RanAfterItsEnd(String),
    /// It started after an operator was told that it is cancelled.
    RanAfterCancel(String),
    /// It ran, and nobody asked for it.
    Phantom(String),
    /// Two tasks for one tick.
    TickTwice(String, String),
    /// No task for a tick between two others.
    TickMissing(String, String),
}

/// Schedules that tick each second and were left alone.
pub(crate) struct Steady {
    pub(crate) schedules: Vec<String>,
    /// When the clock went elsewhere, by the journal's, in microseconds.
    pub(crate) until: Option<u64>,
}

impl Steady {
    /// How long after a tick the clock may go elsewhere without an effect on it. Another beat leads long before that.
    const SETTLED: u64 = 10_000_000;

    /// The last second of a tick that has to be there, if one was later.
    fn last(&self) -> i64 {
        self.until.map_or(i64::MAX, |until| i64::try_from((until - Self::SETTLED) / 1_000_000).unwrap())
    }
}

/// Tasks that were acknowledged and have neither ended nor been cancelled.
pub(crate) fn unfinished(events: &[Event], ledger: &Ledger) -> BTreeSet<String> {
    let ended: BTreeSet<_> = events.iter().filter(|event| event.end).map(|event| event.id.as_str()).collect();
    let given_up = |id: &str| matches!(ledger.word(id, u64::MAX), Some(Word::Cancelled | Word::MayEnd));
    ledger.enqueued.iter().filter(|id| !ended.contains(id.as_str()) && !given_up(id)).cloned().collect()
}

/// All that is wrong when everything has ended.
pub(crate) fn check(events: &[Event], ledger: &Ledger, steady: &Steady) -> BTreeSet<Wrong> {
    let mut wrong: BTreeSet<_> = unfinished(events, ledger).into_iter().map(Wrong::Lost).collect();
    let mut claims = BTreeSet::new();
    let last_ends = last_ends(events, ledger);
    let unrun = ledger.succeeded.keys().filter(|id| !last_ends.contains_key(id.as_str()));
    wrong.extend(unrun.cloned().map(Wrong::NeverRan));
    for start in events.iter().filter(|event| !event.end) {
        if !claims.insert((&start.id, start.fence)) {
            wrong.insert(Wrong::ClaimRanTwice(start.id.clone(), start.fence));
        }
        // A worker that was paused may have told a command to start just before, which then starts beside its successor, or after it.
        if last_ends.get(start.id.as_str()).is_some_and(|fence| *fence < start.fence) && ledger.is_told(&start.id, start.at) {
            wrong.insert(Wrong::RanAfterItsEnd(start.id.clone()));
        }
        let is_tick = || start.args["schedule"].as_str().is_some_and(|name| ledger.schedules.contains(name));
        let is_of_a_flow = || start.args["flow"].as_str().is_some_and(|key| ledger.flows.has(key));
        if !ledger.asked.contains(&start.id) && !is_tick() && !is_of_a_flow() {
            wrong.insert(Wrong::Phantom(start.id.clone()));
        }
        if ledger.word(&start.id, start.at) == Some(Word::Cancelled) {
            wrong.insert(Wrong::RanAfterCancel(start.id.clone()));
        }
    }
    wrong.extend(check_ticks(events, steady));
    wrong
}

/// The last claim that had ended when somebody was told that its task has succeeded. The one that succeeded is none after it.
fn last_ends<'a>(events: &'a [Event], ledger: &Ledger) -> BTreeMap<&'a str, u64> {
    let mut last = BTreeMap::new();
    for end in events.iter().filter(|event| event.end && !ledger.is_told(&event.id, event.at)) {
        let fence = last.entry(end.id.as_str()).or_default();
        *fence = end.fence.max(*fence);
    }
    last
}

/// What was written and said about the tasks that something is wrong with, for whoever has to find out why.
pub(crate) fn stories(wrong: &BTreeSet<Wrong>, events: &[Event], ledger: &Ledger) -> String {
    let mut stories = String::new();
    for wrong in wrong {
        let (Wrong::Lost(id)
        | Wrong::NeverRan(id)
        | Wrong::ClaimRanTwice(id, _)
        | Wrong::RanAfterItsEnd(id)
        | Wrong::RanAfterCancel(id)
        | Wrong::Phantom(id)
        | Wrong::TickTwice(id, _)
        | Wrong::TickMissing(id, _)) = wrong;
        stories += &format!("{wrong:?}\n");
        let lines = events.iter().filter(|event| event.id == *id).map(|event| format!("    {event:?}\n"));
        stories.extend(lines);
        stories += &format!("    succeeded {:?}, said {:?}\n", ledger.succeeded.get(id), ledger.words.get(id));
    }
    stories
}

fn check_ticks(events: &[Event], steady: &Steady) -> BTreeSet<Wrong> {
    let mut wrong = BTreeSet::new();
    let mut ticks: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for event in events {
        if let (Some(schedule), Some(tick)) = (event.args["schedule"].as_str(), event.args["tick"].as_str()) {
            ticks.entry(schedule).or_default().entry(tick).or_default().insert(&event.id);
        }
    }
    for (schedule, ticks) in ticks {
        let twice = ticks.iter().filter(|(_, tasks)| tasks.len() > 1);
        wrong.extend(twice.map(|(tick, _)| Wrong::TickTwice(schedule.to_owned(), (*tick).to_owned())));
        if steady.schedules.iter().any(|name| name == schedule) {
            let seconds: BTreeSet<_> =
                ticks.keys().map(|tick| tick.parse::<Timestamp>().unwrap().as_millis().div_euclid(1_000)).collect();
            let (first, last) = (seconds.first().copied().unwrap_or(0), seconds.last().copied().unwrap_or(0));
            let missing = (first..=last.min(steady.last())).filter(|second| !seconds.contains(second));
            let tick = |second: i64| Timestamp::from_millis(second * 1_000).to_string();
            wrong.extend(missing.map(|second| Wrong::TickMissing(schedule.to_owned(), tick(second))));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(id: &str, fence: u64, at: u64, end: bool) -> Event {
        Event { kind: "job".to_owned(), id: id.to_owned(), fence, at, end, args: Value::Null }
    }

    fn tick(id: &str, second: u32, at: u64) -> Event {
        let args = json!({ "schedule": "s", "tick": format!("2027-01-01T00:00:{second:02}Z") });
        Event { kind: "tick".to_owned(), args, ..event(id, 1, at, false) }
    }

    /// A storm in which nothing went wrong: a crash and a second attempt, whose worker was only paused, a cancel before the start, a
    /// cancelled one that is retried, and three ticks.
    fn in_order() -> (Vec<Event>, Ledger) {
        let mut ledger = Ledger::default();
        ledger.asked.extend(["a", "b", "c", "d"].map(str::to_owned));
        ledger.enqueued.clone_from(&ledger.asked);
        ledger.schedules.insert("s".to_owned());
        ledger.succeeded.insert("a".to_owned(), 50);
        ledger.say("b", 20, Word::Cancelled);
        ledger.say("c", 20, Word::Cancelled);
        ledger.say("c", 30, Word::Retried);
        ledger.say("d", 12, Word::MayEnd);
        let events = vec![
            event("a", 2, 10, false),
            event("a", 3, 30, false),
            event("a", 3, 40, true),
            event("a", 1, 60, false),
            event("c", 1, 35, false),
            event("c", 1, 36, true),
            event("d", 1, 11, false),
            tick("t1", 1, 1),
            tick("t2", 2, 2),
            tick("t3", 3, 3),
        ];
        (events, ledger)
    }

    fn found(change: impl FnOnce(&mut Vec<Event>, &mut Ledger)) -> Vec<Wrong> {
        let (mut events, mut ledger) = in_order();
        change(&mut events, &mut ledger);
        let steady = Steady { schedules: vec!["s".to_owned()], until: None };
        check(&events, &ledger, &steady).into_iter().collect()
    }

    #[test]
    fn what_is_in_order_is_left_alone() {
        assert_eq!(found(|_, _| {}), []);
    }

    #[test]
    fn a_lost_task_is_found() {
        let lost = |id: &str| [Wrong::Lost(id.to_owned())];
        assert_eq!(found(|_, ledger| _ = ledger.enqueued.insert("x".to_owned())), lost("x"));
        let only_began = found(|events, ledger| {
            events.retain(|event| event.id != "a" || !event.end);
            ledger.succeeded.clear();
        });
        assert_eq!(only_began, lost("a"));
        assert_eq!(found(|events, _| events.retain(|event| event.id != "c")), lost("c"), "it was retried");
    }

    #[test]
    fn a_doubled_success_is_found() {
        let twice = [Wrong::ClaimRanTwice("c".to_owned(), 1)];
        assert_eq!(found(|events, _| events.push(event("c", 1, 37, false))), twice);
        let again = [Wrong::RanAfterItsEnd("a".to_owned())];
        assert_eq!(found(|events, _| events.push(event("a", 4, 51, false))), again);
    }

    #[test]
    fn a_phantom_is_found() {
        let phantom = |id: &str| [Wrong::Phantom(id.to_owned())];
        assert_eq!(found(|events, _| events.push(event("x", 1, 70, false))), phantom("x"), "a task that was rolled back");
        let elsewhere = |event: &mut Event| event.args["schedule"] = json!("t");
        let of_no_schedule = found(|events, _| {
            events.push(tick("t4", 4, 4));
            events.last_mut().map(elsewhere);
        });
        assert_eq!(of_no_schedule, phantom("t4"));
        let never_ran = [Wrong::NeverRan("d".to_owned())];
        assert_eq!(found(|_, ledger| _ = ledger.succeeded.insert("d".to_owned(), 80)), never_ran, "a success without a run");
    }

    #[test]
    fn a_run_after_a_cancel_is_found() {
        let wrong = |id: &str| [Wrong::RanAfterCancel(id.to_owned())];
        assert_eq!(found(|events, _| events.push(event("b", 1, 21, false))), wrong("b"));
        assert_eq!(found(|events, _| events.push(event("c", 2, 25, false))), wrong("c"), "before it was retried");
    }

    #[test]
    fn a_tick_that_is_doubled_or_missing_is_found() {
        let second = "2027-01-01T00:00:02Z".to_owned();
        assert_eq!(found(|events, _| events.push(tick("t4", 2, 9))), [Wrong::TickTwice("s".to_owned(), second)]);
        let missing = [Wrong::TickMissing("s".to_owned(), "2027-01-01T00:00:02.000Z".to_owned())];
        assert_eq!(found(|events, _| events.retain(|event| event.id != "t2")), missing);
    }
}
