use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::ControlFlow;

use gristmill_core::concurrency::admission::{self, Admitted, Excess, Slots};
use gristmill_core::concurrency::fair::{Turns, is_by_turn};
use gristmill_core::concurrency::{FAIR, Holder, KeyState, Limit, LimitInfo, LimitRecord, Need, OnExcess, Spent, Standby, evict};
use gristmill_core::limits::COUNT_MAX;
use gristmill_core::{AttemptState, CancelOutcome, State, TaskId, Timestamp};

use super::tables::{Place, Tables, Task};

/// Keys with a limit: who holds their slots, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Limited {
    keys: BTreeMap<String, Key>,
    /// In whose line a task stands.
    lines: HashMap<i64, String>,
    /// Keys of which something has changed.
    touched: BTreeSet<String>,
    /// The highest turn of each line of a fair queue.
    turns: BTreeMap<(String, u8), i64>,
    /// How many have come into another's line for a key of a fair queue.
    sent: i64,
    /// Those that were let in, and went back to wait as a limit was lowered.
    withdrawn: BTreeSet<i64>,
}

/// When one came into a line: behind which task, and behind how many that stand for more.
type Came = (i64, i64);

#[derive(Debug, Default)]
struct Key {
    declared: Option<Limit>,
    said_by: i64,
    set: Option<Limit>,
    spent: Spent,
    next: Option<Timestamp>,
    /// Of a fair queue, the turn of the last that was given one.
    turn: Option<i64>,
    /// What each holder has taken of it.
    held: BTreeMap<i64, Need>,
    /// Those who hold some of it already come first; then those who came first, of those that represent a key of a fair queue in the order in which they came here.
    line: BTreeSet<(bool, Came, i64)>,
    /// Of a key of a fair queue, which of its tasks waits in another's line.
    away: Option<i64>,
}

impl Key {
    fn limit(&self) -> Option<Limit> {
        self.set.or(self.declared)
    }

    fn used(&self) -> u64 {
        self.held.values().map(|need| u64::from(need.cost)).sum()
    }

    fn state(&self) -> KeyState {
        let Self { declared, set, spent, next, .. } = self;
        KeyState { declared: *declared, set: *set, taken: self.used(), spent: spent.clone(), next: *next }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        let is_spent = self.state().kept(now).1.is_some_and(|until| until > now);
        self.turn.is_none()
            && self.away.is_none()
            && self.set.is_none()
            && self.held.is_empty()
            && self.line.is_empty()
            && !is_spent
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX).min(COUNT_MAX)
}

fn needs(task: &Task) -> &[Need] {
    task.new.meta.as_deref().map_or(&[], |meta| &meta.needs)
}

impl Limited {
    /// A task stands where it stands now: it is in the line of a key if it waits, and has given back what it needs no more.
    pub(super) fn stands(&mut self, seq: i64, task: &Task) {
        let needs = needs(task);
        if needs.is_empty() {
            return;
        }
        if let Some(lease) = task.lease() {
            needs.iter().filter(|need| need.pace.is_some()).for_each(|need| self.begun(seq, need, lease.claimed_at));
        }
        let keeps = |need: &Need| match task.place {
            Place::Ready | Place::Running(_) => true,
            Place::Blocked(_) | Place::Scheduled(_) | Place::Waiting => need.until_ended && task.claim_no > 0,
            Place::Ended(_) => false,
        };
        needs.iter().filter(|need| !keeps(need)).for_each(|need| self.give_back(seq, &need.key));
        match task.place {
            Place::Waiting if !self.lines.contains_key(&seq) => {
                for need in needs {
                    let key = self.keys.entry(need.key.clone()).or_default();
                    if task.claim_no == 0 && seq > key.said_by {
                        (key.declared, key.said_by) = (Some(need.limit()), seq);
                    }
                    self.touched.insert(need.key.clone());
                }
                self.line_up(seq, &needs[0].key, (seq, 0));
            }
            Place::Waiting => {}
            _ => self.leave_line(seq),
        }
    }

    /// A task is gone.
    pub(super) fn gone(&mut self, seq: i64, task: &Task) {
        needs(task).iter().for_each(|need| self.give_back(seq, &need.key));
        self.leave_line(seq);
    }

    fn give_back(&mut self, seq: i64, key: &str) {
        if self.keys.get_mut(key).is_some_and(|key| key.held.remove(&seq).is_some()) {
            self.touched.insert(key.to_owned());
        }
    }

    /// What a task has taken of a rate is spent once it has begun.
    fn begun(&mut self, seq: i64, need: &Need, at: Timestamp) {
        let Some(key) = self.keys.get_mut(&need.key).filter(|key| key.held.contains_key(&seq)) else { return };
        key.held.remove(&seq);
        if let Some(rule) = key.state().rule() {
            key.spent.begun(rule, at, need.cost);
        }
        self.touched.insert(need.key.clone());
    }

    /// When the next line has to be looked at.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.keys.values().filter_map(|key| key.next).min()
    }

    /// Those who may begin until then by a rate, the first of each line.
    pub(super) fn next_until(&self, horizon: Timestamp) -> impl Iterator<Item = i64> {
        let soon = move |key: &&Key| key.next.is_some_and(|next| next <= horizon);
        self.keys.values().filter(soon).filter_map(|key| key.line.first().map(|(.., seq)| *seq))
    }

    fn holds(&self, seq: i64, key: &str) -> bool {
        self.keys.get(key).is_some_and(|key| key.held.contains_key(&seq))
    }

    fn line_up(&mut self, seq: i64, key: &str, came: Came) {
        let holds = self.keys.values().any(|key| key.held.contains_key(&seq));
        self.keys.entry(key.to_owned()).or_default().line.insert((!holds, came, seq));
        self.lines.insert(seq, key.to_owned());
    }

    fn leave_line(&mut self, seq: i64) {
        self.withdrawn.remove(&seq);
        let Some(name) = self.lines.remove(&seq) else { return };
        if let Some(key) = self.keys.get_mut(&name) {
            key.line.retain(|(.., other)| *other != seq);
            self.touched.insert(name);
        }
        // Those of whom it was the one that waited there.
        let of_it = self.keys.iter().filter(|(_, key)| key.away == Some(seq)).map(|(name, _)| name.clone());
        for name in of_it.collect::<Vec<_>>() {
            self.touched.insert(name);
        }
    }
}

impl Tables {
    /// Gives slots that are free to those who wait for them. Whether somebody has ended by that.
    pub(super) fn admit_waiting(&mut self, now: Timestamp) -> bool {
        let ended = self.news.ended.len();
        let mut looked = std::mem::take(&mut self.limited.touched);
        let due = |(name, key): (&String, &Key)| key.next.filter(|next| *next <= now).map(|_| name.clone());
        looked.extend(self.limited.keys.iter().filter_map(due));
        while !looked.is_empty() {
            for key in &looked {
                if let Some(excess) = self.slots(&looked, now).excess(key) {
                    self.withdraw(key, excess);
                }
            }
            // Those who wait again have given back what they had of other keys, too.
            looked.append(&mut self.limited.touched);
            let mut slots = self.slots(&looked, now);
            let (mut more, mut next) = (BTreeSet::new(), BTreeSet::new());
            let lines = looked.iter().map(|key| (key.as_str(), self.line(key).into_iter())).collect::<Vec<_>>();
            let Ok(()) = admission::in_turn(lines, |key, line| {
                let step =
                    line.next().map_or(ControlFlow::Break(None), |seq| self.admit_first(key, seq, &mut slots, &mut next, now));
                Ok::<_, Infallible>(step.map_break(|together| more.extend(together.into_iter().flatten())))
            });
            for (name, limit) in slots.learned() {
                self.limited.keys.entry(name.to_owned()).or_default().declared = Some(limit);
            }
            for name in &looked {
                if let Some(key) = self.limited.keys.get_mut(name) {
                    key.next = slots.next(name);
                    self.news.scheduled |= key.next.is_some();
                }
            }
            let is_over = more.is_subset(&looked) && next.is_empty();
            looked = if is_over { BTreeSet::new() } else { &(&more | &next) | &looked };
        }
        // What an admission has changed was reckoned with.
        self.limited.touched.clear();
        self.limited.keys.retain(|_, key| !key.is_idle(now));
        self.news.ended.len() > ended
    }

    fn slots(&mut self, keys: &BTreeSet<String>, now: Timestamp) -> Slots {
        let mut slots = Slots::at(now);
        for name in keys {
            let key = self.limited.keys.entry(name.clone()).or_default();
            slots.add(name.clone(), key.limit(), key.used(), key.spent.clone());
            if key.away.is_some_and(|task| self.limited.lines.get(&task).is_some_and(|line| line != name)) {
                slots.is_away(name.clone());
            }
        }
        slots
    }

    /// Those who were admitted to a key that has fewer slots by now wait again.
    fn withdraw(&mut self, key: &str, excess: Excess) {
        let held = self.limited.keys.get(key).map(|key| key.held.clone()).unwrap_or_default();
        let is_unclaimed = |seq: &i64| self.tasks.get(seq).is_some_and(|task| matches!(task.place, Place::Ready));
        let unclaimed = held.iter().rev().filter(|(seq, _)| is_unclaimed(seq)).map(|(seq, need)| (*seq, need.cost));
        for seq in excess.pick(unclaimed) {
            self.update(seq, |task| task.place = Place::Waiting);
            self.limited.withdrawn.insert(seq);
        }
    }

    fn line(&self, key: &str) -> Vec<i64> {
        self.limited.keys.get(key).into_iter().flat_map(|key| &key.line).map(|(.., seq)| *seq).collect()
    }

    /// Decides about the first of a line; once nobody behind it can be decided about, with the keys that have to be looked at together with it.
    fn admit_first(
        &mut self,
        key: &str,
        seq: i64,
        slots: &mut Slots,
        next: &mut BTreeSet<String>,
        now: Timestamp,
    ) -> ControlFlow<Option<Vec<String>>> {
        let Some(task) = self.tasks.get(&seq).filter(|_| self.limited.lines.get(&seq).is_some_and(|line| line == key)) else {
            return ControlFlow::Continue(());
        };
        let needs = if task.claim_no > 0 || self.limited.withdrawn.contains(&seq) {
            OnExcess::once_begun(needs(task).to_vec())
        } else {
            needs(task).to_vec()
        };
        match slots.admit(key, &needs, |key| self.limited.holds(seq, key)) {
            Admitted::Yes => {
                let line = self.turn(seq, &needs).unwrap_or_else(|| self.next_line());
                // The next of a key that waited here by one of its tasks.
                next.extend(needs.iter().filter(|need| need.is_turn() && need.key != key).map(|need| need.key.clone()));
                for need in needs.into_iter().filter(|need| !need.is_turn()) {
                    self.limited.keys.entry(need.key.clone()).or_default().held.insert(seq, need);
                }
                self.limited.leave_line(seq);
                self.update(seq, |task| {
                    task.line = line;
                    task.place = Place::Ready;
                });
            }
            Admitted::Elsewhere(other) => {
                let holds = needs.iter().any(|need| self.limited.holds(seq, &need.key));
                let stands_for_more = !holds && !other.starts_with(FAIR) && needs.iter().any(Need::is_turn);
                self.limited.leave_line(seq);
                self.limited.sent += 1;
                next.extend((OnExcess::of(&needs, &other) != OnExcess::Wait).then(|| other.clone()));
                let last = self.tasks.last_key_value().map_or(seq, |(last, _)| *last);
                self.limited.line_up(seq, &other, if stands_for_more { (last, self.limited.sent) } else { (seq, 0) });
                if let Some(key) = self.limited.keys.get_mut(key).filter(|_| stands_for_more && key.starts_with(FAIR)) {
                    key.away = Some(seq);
                }
            }
            Admitted::Dropped(full) => {
                next.extend(self.drop_waiting(seq, OnExcess::Drop, &full, now));
            }
            Admitted::Full(on_excess) => return self.exceed(key, seq, on_excess, slots, next, now),
            Admitted::Unknown => return ControlFlow::Break(Some(needs.into_iter().map(|need| need.key).collect())),
        }
        ControlFlow::Continue(())
    }

    /// The first of a line finds its key full.
    fn exceed(
        &mut self,
        key: &str,
        seq: i64,
        on_excess: OnExcess,
        slots: &Slots,
        next: &mut BTreeSet<String>,
        now: Timestamp,
    ) -> ControlFlow<Option<Vec<String>>> {
        let behind: Vec<i64> = self.line(key).into_iter().skip_while(|other| *other != seq).skip(1).collect();
        match on_excess {
            OnExcess::KeepNewest if behind.first().is_some_and(|other| self.rule_of(*other, key) != OnExcess::Drop) => {
                next.extend(self.drop_waiting(seq, on_excess, key, now));
                return ControlFlow::Continue(());
            }
            OnExcess::KeepOldest => {
                for seq in behind {
                    if self.rule_of(seq, key) == on_excess {
                        next.extend(self.drop_waiting(seq, on_excess, key, now));
                    }
                }
            }
            OnExcess::CancelRunning if slots.is_taken_by(key, self.costs_of(&behind, key, on_excess)) => {
                next.extend(self.drop_waiting(seq, on_excess, key, now));
                return ControlFlow::Continue(());
            }
            OnExcess::CancelRunning => {
                let cost = self
                    .tasks
                    .get(&seq)
                    .and_then(|task| needs(task).iter().find(|need| need.key == key))
                    .map_or(0, |need| need.cost);
                let held = self.limited.keys.get(key).into_iter().flat_map(|key| &key.held);
                // Only those that said so themselves.
                let holders = held.filter(|(_, need)| !need.until_ended).filter_map(|(seq, need)| {
                    let task = self.tasks.get(seq).filter(|task| OnExcess::of(needs(task), key) == on_excess)?;
                    Some((task.new.id, need.cost, task.lease().is_some_and(|lease| lease.cancel_requested)))
                });
                for holder in evict(slots.lacking(key, cost), holders.collect::<Vec<_>>()) {
                    if self.cancel(holder, now) == CancelOutcome::Cancelled {
                        next.insert(key.to_owned());
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Break(None)
    }

    /// What a waiting task says of a key, if it has not begun.
    fn rule_of(&self, seq: i64, key: &str) -> OnExcess {
        let task = self.tasks.get(&seq).filter(|task| task.claim_no == 0 && !self.limited.withdrawn.contains(&seq));
        task.map_or(OnExcess::Wait, |task| OnExcess::of(needs(task), key))
    }

    fn costs_of(&self, tasks: &[i64], key: &str, on_excess: OnExcess) -> u64 {
        let of_rule = tasks.iter().filter(|seq| self.rule_of(**seq, key) == on_excess);
        let need = |seq: &i64| self.tasks.get(seq).and_then(|task| needs(task).iter().find(|need| need.key == key));
        of_rule.filter_map(need).map(|need| u64::from(need.cost)).sum()
    }

    /// Returns the key of a fair queue for all of which it waited in another's line, of which the next may go there.
    fn drop_waiting(&mut self, seq: i64, on_excess: OnExcess, key: &str, now: Timestamp) -> Option<String> {
        let needs = self.tasks.get(&seq).map_or(&[][..], needs);
        let line = self.limited.lines.get(&seq);
        let represented = needs.iter().find(|need| need.is_turn() && Some(&need.key) != line).map(|need| need.key.clone());
        self.end_unstarted(seq, AttemptState::Cancelled, State::Cancelled, on_excess.dropped(key), now);
        represented
    }

    /// The place in line of a task that takes its turn there.
    fn turn(&mut self, seq: i64, needs: &[Need]) -> Option<i64> {
        let task = self.tasks.get(&seq)?;
        let need = needs.iter().find(|need| need.is_turn_in(&task.new.queue, task.new.priority.into()))?;
        let in_line = |other: &&Task| {
            matches!(other.place, Place::Ready)
                && (&other.new.queue, other.new.priority, is_by_turn(other.line)) == (&task.new.queue, task.new.priority, true)
        };
        let first = self.tasks.values().filter(in_line).map(|task| task.line).min();
        let line = (task.new.queue.clone(), task.new.priority);
        let key = self.limited.keys.get(&need.key)?;
        let mut turns = Turns::default();
        turns.look((0, 0), first, self.limited.turns.get(&line).copied());
        turns.remember(&need.key, key.turn);
        let place = turns.next((0, 0), need, seq);
        let turn = turns.given().next().map(|(_, turn)| turn);
        self.limited.keys.entry(need.key.clone()).and_modify(|key| key.turn = turn);
        self.limited.turns.extend(turns.lines().map(|(_, _, highest)| (line.clone(), highest)));
        Some(place)
    }

    pub(super) fn set_limit(&mut self, key: &str, limit: Option<Limit>) {
        self.limited.keys.entry(key.to_owned()).or_default().set = limit;
        self.limited.touched.insert(key.to_owned());
    }

    pub(super) fn set_remaining(&mut self, key: &str, left: u32, until: Timestamp) {
        self.limited.keys.entry(key.to_owned()).or_default().spent.told(left, until);
        self.limited.touched.insert(key.to_owned());
    }

    pub(super) fn limits(&self, prefix: &str, after: Option<&str>, limit: usize, now: Timestamp) -> Vec<LimitInfo> {
        let listed = |name: &&String| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after);
        self.limited.keys.keys().filter(listed).take(limit).filter_map(|name| self.limit_info(name, now)).collect()
    }

    fn limit_info(&self, name: &str, now: Timestamp) -> Option<LimitInfo> {
        let key = self.limited.keys.get(name)?;
        Some(key.state().info(name.to_owned(), count(key.line.len()), now))
    }

    pub(super) fn limit(&self, name: &str, most: usize, now: Timestamp) -> Option<LimitRecord> {
        let (info, key) = (self.limit_info(name, now)?, self.limited.keys.get(name)?);
        let holder = |(seq, need): (&i64, &Need)| {
            let task = self.tasks.get(seq)?;
            let running_since = task.lease().map(|lease| lease.claimed_at);
            Some(Holder { task: task.new.id, cost: need.cost, running_since })
        };
        let holders = key.held.iter().filter_map(holder).take(most).collect();
        let line = key.line.iter().filter_map(|(.., seq)| self.id_of(*seq)).take(most).collect();
        Some(LimitRecord { info, holders, line })
    }

    fn id_of(&self, seq: i64) -> Option<TaskId> {
        self.tasks.get(&seq).map(|task| task.new.id)
    }

    pub(super) fn stands_by(&self, id: TaskId, now: Timestamp) -> Option<Standby> {
        let (seq, task) = self.by_id(id).filter(|(_, task)| task.state() == State::Waiting)?;
        let name = self.limited.lines.get(&seq)?;
        let key = self.limited.keys.get(name)?;
        let cost = needs(task).iter().find(|need| need.key == *name).map_or(1, |need| need.cost);
        let before = count(key.line.iter().take_while(|(.., other)| *other != seq).count());
        let holders = key.held.keys().filter_map(|seq| self.id_of(*seq)).take(Standby::HOLDERS_MAX).collect();
        Some(key.state().standby(name.clone(), cost, before, holders, now))
    }
}
