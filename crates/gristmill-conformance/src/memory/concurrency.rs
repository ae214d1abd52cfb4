use std::collections::{BTreeMap, BTreeSet, HashMap};

use gristmill_core::concurrency::admission::{Admitted, Excess, Slots};
use gristmill_core::concurrency::{Holder, LimitInfo, LimitRecord, Need, Standby};
use gristmill_core::limits::COUNT_MAX;
use gristmill_core::{State, TaskId};

use super::tables::{Place, Tables, Task};

/// Keys with a limit: who holds their slots, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Limited {
    keys: BTreeMap<String, Key>,
    /// In whose line a task stands.
    lines: HashMap<i64, String>,
    /// Keys of which something has changed.
    touched: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Key {
    declared: Option<u32>,
    said_by: i64,
    set: Option<u32>,
    /// What each holder has taken of it.
    held: BTreeMap<i64, Need>,
    /// Those who hold some of it already come first; then those who came first.
    line: BTreeSet<(bool, i64)>,
}

impl Key {
    fn limit(&self) -> u32 {
        self.set.or(self.declared).unwrap_or_default()
    }

    fn used(&self) -> u64 {
        self.held.values().map(|need| u64::from(need.cost)).sum()
    }

    fn is_idle(&self) -> bool {
        self.set.is_none() && self.held.is_empty() && self.line.is_empty()
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
                        (key.declared, key.said_by) = (Some(need.limit), seq);
                    }
                    self.touched.insert(need.key.clone());
                }
                self.line_up(seq, &needs[0].key);
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

    fn holds(&self, seq: i64, key: &str) -> bool {
        self.keys.get(key).is_some_and(|key| key.held.contains_key(&seq))
    }

    fn line_up(&mut self, seq: i64, key: &str) {
        let holds = self.keys.values().any(|key| key.held.contains_key(&seq));
        self.keys.entry(key.to_owned()).or_default().line.insert((!holds, seq));
        self.lines.insert(seq, key.to_owned());
    }

    fn leave_line(&mut self, seq: i64) {
        let Some(name) = self.lines.remove(&seq) else { return };
        if let Some(key) = self.keys.get_mut(&name) {
            key.line.retain(|(_, other)| *other != seq);
            self.touched.insert(name);
        }
    }
}

impl Tables {
    /// Gives slots that are free to those who wait for them.
    pub(super) fn admit_waiting(&mut self) {
        let mut looked = std::mem::take(&mut self.limited.touched);
        while !looked.is_empty() {
            for key in &looked {
                if let Some(excess) = self.slots(&looked).excess(key) {
                    self.withdraw(key, excess);
                }
            }
            // Those who wait again have given back what they had of other keys, too.
            looked.append(&mut self.limited.touched);
            let mut slots = self.slots(&looked);
            let more: BTreeSet<String> = looked.iter().flat_map(|key| self.admit_line(key, &mut slots)).collect();
            for (name, limit) in slots.learned() {
                self.limited.keys.entry(name.to_owned()).or_default().declared = Some(limit);
            }
            looked = if more.is_subset(&looked) { BTreeSet::new() } else { &more | &looked };
        }
        // What an admission has changed was reckoned with.
        self.limited.touched.clear();
        self.limited.keys.retain(|_, key| !key.is_idle());
    }

    fn slots(&mut self, keys: &BTreeSet<String>) -> Slots {
        let mut slots = Slots::default();
        for name in keys {
            let key = self.limited.keys.entry(name.clone()).or_default();
            slots.add(name.clone(), key.set.or(key.declared), key.used());
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
        }
    }

    /// Admits from one line what may be; returns the keys that have to be looked at together with it.
    fn admit_line(&mut self, key: &str, slots: &mut Slots) -> Vec<String> {
        let line: Vec<i64> = self.limited.keys.get(key).into_iter().flat_map(|key| &key.line).map(|(_, seq)| *seq).collect();
        for seq in line {
            let needs: Vec<Need> = self.tasks.get(&seq).map(|task| needs(task).to_vec()).unwrap_or_default();
            match slots.admit(key, &needs, |key| self.limited.holds(seq, key)) {
                Admitted::Yes => {
                    for need in needs {
                        self.limited.keys.entry(need.key.clone()).or_default().held.insert(seq, need);
                    }
                    self.limited.leave_line(seq);
                    let line = self.next_line();
                    self.update(seq, |task| {
                        task.line = line;
                        task.place = Place::Ready;
                    });
                }
                Admitted::Elsewhere(other) => {
                    self.limited.leave_line(seq);
                    self.limited.line_up(seq, &other);
                }
                Admitted::Full => break,
                Admitted::Unknown => return needs.into_iter().map(|need| need.key).collect(),
            }
        }
        Vec::new()
    }

    pub(super) fn set_limit(&mut self, key: &str, limit: Option<u32>) {
        self.limited.keys.entry(key.to_owned()).or_default().set = limit;
        self.limited.touched.insert(key.to_owned());
    }

    pub(super) fn limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<LimitInfo> {
        let listed = |name: &&String| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after);
        self.limited.keys.keys().filter(listed).take(limit).filter_map(|name| self.limit_info(name)).collect()
    }

    fn limit_info(&self, name: &str) -> Option<LimitInfo> {
        let key = self.limited.keys.get(name)?;
        let (limit, declared, set) = (key.limit(), key.declared, key.set);
        Some(LimitInfo { key: name.to_owned(), limit, declared, set, used: key.used(), waiting: count(key.line.len()) })
    }

    pub(super) fn limit(&self, name: &str, most: usize) -> Option<LimitRecord> {
        let (info, key) = (self.limit_info(name)?, self.limited.keys.get(name)?);
        let holder = |(seq, need): (&i64, &Need)| {
            let task = self.tasks.get(seq)?;
            let running_since = task.lease().map(|lease| lease.claimed_at);
            Some(Holder { task: task.new.id, cost: need.cost, running_since })
        };
        let holders = key.held.iter().filter_map(holder).take(most).collect();
        let line = key.line.iter().filter_map(|(_, seq)| self.id_of(*seq)).take(most).collect();
        Some(LimitRecord { info, holders, line })
    }

    fn id_of(&self, seq: i64) -> Option<TaskId> {
        self.tasks.get(&seq).map(|task| task.new.id)
    }

    pub(super) fn stands_by(&self, id: TaskId) -> Option<Standby> {
        let (seq, task) = self.by_id(id).filter(|(_, task)| task.state() == State::Waiting)?;
        let name = self.limited.lines.get(&seq)?;
        let key = self.limited.keys.get(name)?;
        Some(Standby {
            key: name.clone(),
            cost: needs(task).iter().find(|need| need.key == *name).map_or(1, |need| need.cost),
            limit: key.limit(),
            used: key.used(),
            before: count(key.line.iter().take_while(|(_, other)| *other != seq).count()),
            holders: key.held.keys().filter_map(|seq| self.id_of(*seq)).take(Standby::HOLDERS_MAX).collect(),
        })
    }
}
