//! Who of those who wait for slots is given them. Pure: a store reads what stands in its tables under the locks of the keys, asks this about one
//! task after the other, and writes what it says, so that no store admits otherwise.
//!
//! A task waits in the line of one key at a time, in the order in which tasks were enqueued, and takes all that it needs at once or nothing. If
//! another of its keys is full, it goes on to wait in that one's line, and those behind it are not held up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use super::spent::UNCLAIMED;
use super::{FAIR, Limit, Need, OnExcess, Spent};
use crate::Timestamp;

/// How many slots the keys have whose lines are looked at, and how many are taken.
#[derive(Clone, Debug)]
pub struct Slots {
    keys: BTreeMap<String, Key>,
    /// The fair keys of which one waits in another's line.
    away: BTreeSet<String>,
    /// Keys whose lines could not be looked at to their ends: what is free of them is of those who stand there.
    halted: BTreeSet<String>,
    now: Timestamp,
}

#[derive(Clone, Debug)]
struct Key {
    /// `None` if nobody has said it yet, or it was forgotten while nobody held a slot.
    limit: Option<Limit>,
    used: u64,
    /// How many were taken before anybody was let in here.
    taken: u64,
    is_learned: bool,
    spent: Spent,
    /// When somebody who found it full should look again.
    next: Option<Timestamp>,
}

impl Key {
    fn free(&self, now: Timestamp) -> Option<u64> {
        let limit = self.limit?;
        Some(match limit.ruled() {
            Some(rule) if limit.count > 0 => self.spent.free(rule, now, self.used),
            _ => u64::from(limit.count).saturating_sub(self.used),
        })
    }

    /// One that needs more than there is by now, as the limit was lowered after it had come, needs all of it: it would close the key for ever.
    fn is_full(&self, cost: u32, now: Timestamp) -> bool {
        let most = self.limit.map_or(cost, |limit| limit.most()).max(1);
        self.free(now).is_some_and(|free| free < cost.min(most).into())
    }

    /// Somebody who needs so much has found it full.
    fn lacked(&mut self, cost: u32, now: Timestamp) {
        let Some(limit) = self.limit.filter(|limit| limit.count > 0) else { return };
        if let Some(rule) = limit.ruled() {
            let mut next = self.spent.next(rule, now, self.used, cost);
            // Those that were let in before are still to be claimed, by nobody maybe.
            if self.used == self.taken && self.spent.free(rule, now, 0) >= cost.into() {
                next = next.max(now.saturating_add(UNCLAIMED));
            }
            self.next = Some(self.next.map_or(next, |known| known.min(next)));
        }
    }
}

/// Slots that are taken of a key, and that it does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// So many are to go back, or as many as those have who may give some back.
    pub least: u64,
    /// But no more than these, though the next one who gives back had more.
    pub most: u64,
}

impl Excess {
    /// Who gives back what he has, of those who have slots and are not claimed, the newest first, each with how many he has.
    pub fn pick<T>(self, holders: impl IntoIterator<Item = (T, u32)>) -> Vec<T> {
        let mut back = 0;
        let gives = |(_, cost): &(T, u32)| {
            let is_due = back < self.least && back + u64::from(*cost) <= self.most;
            back += u64::from(*cost);
            is_due
        };
        holders.into_iter().take_while(gives).map(|(holder, _)| holder).collect()
    }
}

/// What becomes of the first of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It becomes ready, and has all the slots that it needs.
    Yes,
    /// It is not let in: the line's own key is full. What becomes of it, its rule for the key says; if it waits, all behind it do.
    Full(OnExcess),
    /// It ends, as it is not to wait for this key, which is full.
    Dropped(String),
    /// It waits in the line of this key from now on.
    Elsewhere(String),
    /// One of its keys is not among those looked at: all of them have to be looked at together.
    Unknown,
}

impl Slots {
    /// Of no key yet, at this moment.
    pub const fn at(now: Timestamp) -> Self {
        Self { keys: BTreeMap::new(), away: BTreeSet::new(), halted: BTreeSet::new(), now }
    }

    /// A key that is looked at: how many slots it has, and how many are taken. They may be more than it has, if it had more before. What nobody
    /// has said so far, the first task says that is asked about. Of one with a rate only those count as taken that have not begun; what has, is
    /// in `spent`.
    pub fn add(&mut self, key: String, limit: Option<Limit>, used: u64, spent: Spent) {
        // Of turns there are always some; programs that know none write slots of them.
        let used = if key.starts_with(FAIR) { 0 } else { used };
        self.keys.insert(key, Key { limit, used, taken: used, is_learned: false, spent, next: None });
    }

    /// One of the tasks of a key of a fair queue waits in the line of another key. As long as it does, the rest stays where it is: were all of them in that line, whoever came first
    /// would have it to himself.
    pub fn is_away(&mut self, key: String) {
        self.away.insert(key);
    }

    /// What a lowered limit left taken: whoever has it and is not claimed yet goes back to wait. Unless nobody may start at all, one keeps his who
    /// would be alone: if he needs more than there are by now, nobody else would ever give him way.
    pub fn excess(&self, key: &str) -> Option<Excess> {
        let key = self.keys.get(key)?;
        let of_limit = u64::from(key.limit?.most());
        let most = key.spent.left(self.now).map_or(of_limit, |left| left.min(of_limit));
        let least = key.used.checked_sub(most).filter(|slots| *slots > 0)?;
        Some(Excess { least, most: if most > 0 { key.used - 1 } else { key.used } })
    }

    /// How many slots of a key are free; `None` if nobody has said how many it has.
    pub fn free(&self, key: &str) -> Option<u64> {
        self.keys.get(key).map_or(Some(0), |key| key.free(self.now))
    }

    /// Whether those who need so many slots would take all of a key. Of one that nobody may begin with, nobody takes any.
    pub fn is_taken_by(&self, key: &str, wanted: u64) -> bool {
        let limit = self.keys.get(key).and_then(|key| key.limit).filter(|limit| limit.count > 0);
        limit.is_some_and(|limit| wanted >= limit.most().into())
    }

    /// The line of this key was not looked at to its end: what is free of it is of those who stand there.
    pub fn halts(&mut self, line: &str) {
        self.halted.insert(line.to_owned());
    }

    /// How many slots of a key somebody lacks who needs so many. Of one that nobody may begin with, none: nobody makes room there.
    pub fn lacking(&self, key: &str, cost: u32) -> u64 {
        let Some((key, limit)) = self.keys.get(key).and_then(|key| Some((key, key.limit.filter(|limit| limit.count > 0)?)))
        else {
            return 0;
        };
        (key.used + u64::from(cost.min(limit.most()))).saturating_sub(limit.most().into())
    }

    /// When the line of a key should be looked at again, should nothing else happen; `None` if only what others do can let somebody in.
    pub fn next(&self, key: &str) -> Option<Timestamp> {
        self.keys.get(key)?.next
    }

    /// The limits that tasks have said, of keys that had none.
    pub fn learned(&self) -> impl Iterator<Item = (&str, Limit)> {
        self.keys.iter().filter(|(_, key)| key.is_learned).filter_map(|(name, key)| Some((name.as_str(), key.limit?)))
    }

    /// Who waited in a line for all of a key does so no more, and the next of that key may go there.
    fn stands_no_more(&mut self, line: &str, needs: &[Need]) {
        for turn in needs.iter().filter(|need| need.is_turn() && need.key != line) {
            self.away.remove(&turn.key);
        }
    }

    /// Decides about the first task of the line of `line`; `holds` says of a key whether the task has its slots already. What it takes is taken
    /// from then on.
    ///
    /// ```
    /// use gristmill_core::Timestamp;
    /// use gristmill_core::concurrency::admission::{Admitted, Slots};
    /// use gristmill_core::concurrency::{Limit, Need, Spent};
    ///
    /// let mut slots = Slots::at(Timestamp::from_millis(0));
    /// slots.add("a".to_owned(), Some(Limit::of(2)), 0, Spent::default());
    /// slots.add("b".to_owned(), Some(Limit::of(1)), 1, Spent::default());
    /// let need = |key: &str| Need::of(key, 2);
    /// assert_eq!(slots.admit("a", &[need("a"), need("b")], |_| false), Admitted::Elsewhere("b".to_owned()));
    /// assert_eq!(slots.admit("a", &[need("a")], |_| false), Admitted::Yes);
    /// assert_eq!(slots.free("a"), Some(1));
    /// ```
    pub fn admit(&mut self, line: &str, needs: &[Need], holds: impl Fn(&str) -> bool) -> Admitted {
        let takes: Vec<&Need> = needs.iter().filter(|need| !holds(&need.key)).collect();
        // Those too that it holds: they may have been closed meanwhile.
        if needs.iter().any(|need| !self.keys.contains_key(&need.key)) {
            self.halts(line);
            return Admitted::Unknown;
        }
        // Who holds something goes on in any case: one that is away may wait for that.
        let is_one_of_many = line.starts_with(FAIR) && !needs.iter().any(|need| holds(&need.key));
        if is_one_of_many && self.away.contains(line) {
            return Admitted::Full(OnExcess::Wait);
        }
        if is_one_of_many && needs.iter().any(|need| need.key != line && self.halted.contains(&need.key)) {
            return Admitted::Unknown;
        }
        for need in &takes {
            if let Some(key) = self.keys.get_mut(&need.key).filter(|key| key.limit.is_none()) {
                (key.limit, key.is_learned) = (Some(need.limit()), true);
            }
        }
        let now = self.now;
        // A key without any lets nobody start, not even who has his slots.
        let is_full = |need: &&Need| {
            self.keys.get(&need.key).is_some_and(|key| {
                if holds(&need.key) { key.limit.is_some_and(|limit| limit.count == 0) } else { key.is_full(need.cost, now) }
            })
        };
        if let Some(need) = needs.iter().filter(|need| need.on_excess == OnExcess::Drop).find(is_full) {
            let full = need.key.clone();
            self.stands_no_more(line, needs);
            return Admitted::Dropped(full);
        }
        // It waits first where nobody makes room for it, so that nobody does in vain.
        let makes_room = |need: &&Need| need.on_excess == OnExcess::CancelRunning;
        let mut full = needs.iter().filter(is_full).collect::<Vec<_>>();
        full.sort_by_key(|need| (makes_room(need), need.key != line));
        let full = full.first().copied();
        if let Some(full) = full {
            if let Some(key) = self.keys.get_mut(&full.key) {
                key.lacked(full.cost, now);
            }
            if full.key == line {
                return Admitted::Full(full.on_excess);
            }
            if is_one_of_many {
                self.away.insert(line.to_owned());
            }
            return Admitted::Elsewhere(full.key.clone());
        }
        self.stands_no_more(line, needs);
        for need in takes.into_iter().filter(|need| !need.is_turn()) {
            if let Some(key) = self.keys.get_mut(&need.key) {
                key.used = key.used.saturating_add(need.cost.into());
            }
        }
        Admitted::Yes
    }
}

/// Looks at lines, each given with its key, step by step: first at those of limits, one to its end after the other, so that what is free goes to who waits
/// for it, and not to who comes at this moment; then at those of the keys of fair queues in rounds, a step of each, so that slots that come free together
/// do not all go to one key. A line is left when a step says [`ControlFlow::Break`].
///
/// # Errors
/// What a step fails with, at once.
pub fn in_turn<'k, L, E>(
    lines: impl IntoIterator<Item = (&'k str, L)>,
    mut step: impl FnMut(&'k str, &mut L) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let (mut round, others): (VecDeque<_>, VecDeque<_>) = lines.into_iter().partition(|(key, _)| key.starts_with(FAIR));
    for (key, mut line) in others {
        while step(key, &mut line)?.is_continue() {}
    }
    while let Some((key, mut line)) = round.pop_front() {
        if step(key, &mut line)?.is_continue() {
            round.push_back((key, line));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    fn need(key: &str, cost: u32) -> Need {
        Need { cost, ..Need::of(key, 9) }
    }

    fn slots(keys: &[(&str, u32, u64)]) -> Slots {
        let mut slots = Slots::at(Timestamp::from_millis(0));
        keys.iter().for_each(|(key, limit, used)| slots.add((*key).to_owned(), Some(Limit::of(*limit)), *used, Spent::default()));
        slots
    }

    #[test]
    fn all_or_none_are_taken() {
        let mut slots = slots(&[("a", 3, 0), ("b", 2, 1), ("c", 1, 1)]);
        assert_eq!(slots.admit("a", &[need("a", 1), need("b", 1)], |_| false), Admitted::Yes);
        assert_eq!(slots.admit("a", &[need("a", 1), need("b", 1)], |_| false), Admitted::Elsewhere("b".to_owned()));
        assert_eq!((slots.free("a"), slots.free("b")), (Some(2), Some(0)), "who waits for one holds nothing of another");
        assert_eq!(slots.admit("b", &[need("a", 1), need("b", 1)], |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!(
            slots.admit("b", &[need("b", 1), need("c", 1)], |_| false),
            Admitted::Full(OnExcess::Wait),
            "its own line comes first"
        );
        assert_eq!(slots.admit("a", &[need("a", 1), need("d", 1)], |_| false), Admitted::Unknown);
        assert_eq!(slots.free("a"), Some(2));
    }

    #[test]
    fn a_task_that_does_not_fit_is_not_passed_by() {
        let mut slots = slots(&[("a", 4, 2)]);
        assert_eq!(slots.admit("a", &[need("a", 3)], |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!(slots.admit("a", &[need("a", 2)], |_| false), Admitted::Yes);
        assert_eq!(slots.admit("a", &[need("a", 1)], |_| false), Admitted::Full(OnExcess::Wait));
    }

    #[test]
    fn one_that_needs_more_than_there_is_by_now_runs_alone() {
        let mut slots = slots(&[("a", 3, 1), ("b", 3, 0), ("closed", 0, 0)]);
        assert_eq!(slots.admit("a", &[need("a", 5)], |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!(slots.admit("b", &[need("b", 5)], |_| false), Admitted::Yes);
        assert_eq!((slots.free("b"), slots.admit("b", &[need("b", 1)], |_| false)), (Some(0), Admitted::Full(OnExcess::Wait)));
        assert_eq!(slots.admit("closed", &[need("closed", 1)], |_| false), Admitted::Full(OnExcess::Wait));
    }

    #[test]
    fn what_a_task_holds_already_it_need_not_take() {
        let mut slots = slots(&[("a", 1, 1), ("b", 1, 0)]);
        assert_eq!(slots.admit("a", &[need("a", 1), need("b", 1)], |key| key == "a"), Admitted::Yes);
        assert_eq!((slots.free("a"), slots.free("b")), (Some(0), Some(0)));
    }

    #[test]
    fn what_nobody_has_said_the_first_one_says() {
        let mut slots = Slots::at(Timestamp::from_millis(0));
        slots.add("a".to_owned(), None, 8, Spent::default());
        assert_eq!((slots.free("a"), slots.learned().next()), (None, None));
        assert_eq!(slots.admit("a", &[need("a", 1)], |_| false), Admitted::Yes);
        assert_eq!(slots.learned().collect::<Vec<_>>(), [("a", Limit::of(9))]);
        assert_eq!(slots.admit("a", &[Need { limit: 90, ..need("a", 1) }], |_| false), Admitted::Full(OnExcess::Wait));
    }

    #[test]
    fn of_a_key_of_a_fair_queue_one_at_a_time_waits_for_a_slot() {
        let turn = |key: &str| Need { key: format!("fair:5:q:{key}"), ..need("", 1) };
        let mut slots = slots(&[("fair:5:q:a", 9, 0), ("fair:5:q:b", 9, 0), ("q", 1, 0)]);
        let mut admit = |line: &str, key: &str, holds: bool| slots.admit(line, &[turn(key), need("q", 1)], |_| holds);
        assert_eq!(admit("fair:5:q:a", "a", false), Admitted::Yes);
        assert_eq!(admit("fair:5:q:a", "a", false), Admitted::Elsewhere("q".to_owned()));
        assert_eq!(admit("fair:5:q:a", "a", false), Admitted::Full(OnExcess::Wait), "one of its key is there already");
        assert_eq!(admit("fair:5:q:b", "b", false), Admitted::Elsewhere("q".to_owned()));
        assert_eq!(admit("fair:5:q:a", "a", true), Admitted::Yes, "it has what another may wait for");
        let mut slots = super::tests::slots(&[("fair:5:q:a", 9, 0), ("q", 1, 0)]);
        slots.is_away("fair:5:q:a".to_owned());
        let needs = [turn("a"), need("q", 1)];
        assert_eq!(slots.admit("fair:5:q:a", &needs, |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!(slots.admit("q", &needs, |_| false), Admitted::Yes);
        assert_eq!(slots.admit("fair:5:q:a", &needs, |_| false), Admitted::Elsewhere("q".to_owned()), "the next may go");
        assert_eq!(
            slots.admit("q", &[turn("b"), need("q", 1)], |_| false),
            Admitted::Unknown,
            "all of its keys are to be looked at together"
        );
        let mut slots = super::tests::slots(&[("fair:5:q:a", 9, 0), ("q", 9, 0)]);
        assert_eq!(slots.admit("q", &[turn("b"), need("q", 1)], |_| false), Admitted::Unknown);
        assert_eq!(
            slots.admit("fair:5:q:a", &needs, |_| false),
            Admitted::Unknown,
            "nor does somebody else take what is free meanwhile"
        );
    }

    #[test]
    fn who_is_not_to_wait_is_dropped_and_who_may_says_what_becomes_of_others() {
        let of = |key: &str, on_excess| Need { on_excess, ..need(key, 1) };
        let mut slots = slots(&[("a", 1, 1), ("b", 2, 1), ("closed", 0, 0), ("d", 9, 0)]);
        let mut admit = |line: &str, needs: &[Need]| slots.admit(line, needs, |_| false);
        let drop = OnExcess::Drop;
        assert_eq!(admit("a", &[of("a", drop)]), Admitted::Dropped("a".to_owned()));
        assert_eq!(admit("b", &[of("a", drop), need("b", 1)]), Admitted::Dropped("a".to_owned()), "nor does it wait elsewhere");
        assert_eq!(admit("closed", &[of("a", drop), need("closed", 1)]), Admitted::Dropped("a".to_owned()));
        assert_eq!(admit("closed", &[of("closed", drop)]), Admitted::Dropped("closed".to_owned()));
        assert_eq!(admit("b", &[of("b", drop)]), Admitted::Yes);
        let newest = OnExcess::KeepNewest;
        assert_eq!(admit("a", &[of("a", newest), need("b", 1)]), Admitted::Full(newest));
        assert_eq!(admit("b", &[of("a", newest), of("b", drop)]), Admitted::Dropped("b".to_owned()));
        let room = OnExcess::CancelRunning;
        assert_eq!(admit("a", &[of("a", room), of("closed", OnExcess::Wait)]), Admitted::Elsewhere("closed".to_owned()));
        assert_eq!(admit("d", &[of("a", room), of("d", OnExcess::Wait)]), Admitted::Elsewhere("a".to_owned()));
        assert_eq!(admit("a", &[of("a", room)]), Admitted::Full(room));
        assert_eq!((slots.lacking("a", 1), slots.lacking("a", 9), slots.lacking("b", 2)), (1, 1, 2));
        assert_eq!((slots.lacking("closed", 1), slots.lacking("unknown", 1)), (0, 0));
        assert!(slots.is_taken_by("b", 2) && !slots.is_taken_by("b", 1) && !slots.is_taken_by("closed", 9));
    }

    #[test]
    fn lines_of_limits_come_first_and_those_of_fair_queues_take_turns() {
        let lines = [("a", 2), ("fair:a", 3), ("fair:b", 1), ("fair:c", 2), ("q", 1)];
        let mut seen = Vec::new();
        let step = |key, left: &mut u32| {
            seen.push(key);
            *left -= 1;
            Ok::<_, ()>(if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        in_turn(lines, step).unwrap();
        assert_eq!(seen, ["a", "a", "q", "fair:a", "fair:b", "fair:c", "fair:a", "fair:c", "fair:a"]);
        assert_eq!(in_turn(lines, |_, _| Err("no")), Err("no"));
    }

    #[test]
    fn of_a_lowered_limit_it_is_known_how_many_are_too_many() {
        let slots = slots(&[("a", 2, 5), ("b", 5, 5), ("closed", 0, 1)]);
        assert_eq!(slots.excess("a"), Some(Excess { least: 3, most: 4 }));
        assert_eq!(slots.excess("closed"), Some(Excess { least: 1, most: 1 }));
        assert_eq!((slots.excess("b"), slots.excess("unknown")), (None, None));
    }

    #[test]
    fn so_many_go_back_that_the_rest_has_room_but_one_alone_stays() {
        let pick = |least, most, costs: &[u32]| Excess { least, most }.pick(costs.iter().copied().enumerate());
        assert_eq!(pick(3, 4, &[1, 1, 1, 1, 1]), [0, 1, 2]);
        assert_eq!(pick(2, 5, &[1, 3, 2]), [0, 1]);
        assert_eq!(pick(3, 4, &[5]), [0; 0], "it needs more than there is, and runs alone");
        assert_eq!(pick(5, 5, &[5]), [0]);
        assert_eq!(pick(4, 9, &[1]), [0], "the others run");
    }

    #[test]
    fn a_closed_key_lets_not_even_those_start_who_hold_it() {
        let mut slots = slots(&[("a", 0, 1), ("b", 1, 0)]);
        assert_eq!(slots.admit("a", &[need("a", 1)], |_| true), Admitted::Full(OnExcess::Wait));
        let mut other = Slots::at(Timestamp::from_millis(0));
        other.add("b".to_owned(), Some(Limit::of(1)), 0, Spent::default());
        assert_eq!(other.admit("b", &[need("a", 1), need("b", 1)], |key| key == "a"), Admitted::Unknown, "it may be closed");
        assert_eq!(slots.admit("b", &[need("a", 1), need("b", 1)], |key| key == "a"), Admitted::Elsewhere("a".to_owned()));
    }

    #[test]
    fn a_lowered_limit_admits_nobody_until_it_has_drained() {
        let mut slots = slots(&[("a", 2, 5)]);
        assert_eq!((slots.free("a"), slots.admit("a", &[need("a", 1)], |_| false)), (Some(0), Admitted::Full(OnExcess::Wait)));
    }

    #[test]
    fn of_a_key_with_a_rate_it_is_known_when_to_look_again() {
        let pace = Pace { per_ms: 1_000, most: 2, is_window: false };
        let need = Need { limit: 10, pace: Some(pace), ..need("rate:a", 1) };
        let mut slots = Slots::at(Timestamp::from_millis(1_000));
        let mut spent = Spent::default();
        spent.begun(need.limit().ruled().unwrap(), Timestamp::from_millis(1_000), 1);
        slots.add("rate:a".to_owned(), Some(need.limit()), 0, spent);
        slots.add("b".to_owned(), Some(Limit::of(1)), 0, Spent::default());
        assert_eq!((slots.free("rate:a"), slots.next("rate:a")), (Some(1), None));
        let needs = [super::super::Need { pace: None, ..self::need("b", 1) }, need.clone()];
        assert_eq!(slots.admit("b", &needs, |_| false), Admitted::Yes);
        assert_eq!(slots.admit("rate:a", &[need], |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!((slots.next("rate:a"), slots.next("b")), (Some(Timestamp::from_millis(1_100)), None));
        let fast =
            Need { limit: 1_000, pace: Some(Pace { per_ms: 1_000, most: 100, is_window: false }), ..self::need("rate:c", 1) };
        slots.add("rate:c".to_owned(), Some(fast.limit()), 100, Spent::default());
        assert_eq!(slots.admit("rate:c", &[fast], |_| false), Admitted::Full(OnExcess::Wait));
        assert_eq!(slots.next("rate:c"), Some(Timestamp::from_millis(1_250)), "a paused queue is no reason to look all the time");
    }
}
