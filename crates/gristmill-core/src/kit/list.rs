//! Lists: which tables a filter is looked for in, how far a page reads, and where the next one begins.
//!
//! A store reads *lanes*: lists of tasks, newest first, one of which is short. It never looks through a long history for a few
//! that run, and reads the bodies only of what it gives back.

use crate::{Cursor, Filter, SCHEDULE_HEADER, State, TaskMeta, limits, words};

/// A list of tasks, newest first, in which a store looks for those that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Every task.
    Tasks,
    /// The tasks of these types.
    Kinds(Vec<String>),
    /// Those that have this label.
    Label(String),
    /// Those in this state, by the table that holds them.
    In(State),
}

/// Where a filter is looked for, and what is left to ask of each task that is found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Together they hold every task that matches.
    pub lanes: Vec<Lane>,
    /// The labels that a task must have, beside the lane's own; each once.
    pub labels: Vec<String>,
    /// Whether the lanes hold tasks in other states than those that are asked for.
    pub any_state: bool,
}

impl Plan {
    /// For a filter that was checked. `kinds` are the task types that the store knows; they are only looked through for words.
    ///
    /// Few tasks run, so that those that do are looked at first; then what a task says of itself, then the other states.
    pub fn of(filter: &Filter, kinds: &[String]) -> Self {
        let mut labels = labels(filter);
        let mut elsewhere = None;
        for word in filter.text.iter().flat_map(|text| words(text)) {
            let named: Vec<_> = kinds.iter().filter(|kind| words(kind).any(|other| other == word)).cloned().collect();
            match named.is_empty() {
                true => labels.extend(Some(word_label(&word)).filter(|label| !labels.contains(label))),
                false => elsewhere = Some((named, word_label(&word))),
            }
        }
        if filter.states == [State::Running] {
            return Self { lanes: vec![Lane::In(State::Running)], labels, any_state: false };
        }
        if !labels.is_empty() {
            let lane = Lane::Label(labels.remove(0));
            return Self { lanes: vec![lane], labels, any_state: true };
        }
        let mut states = filter.states.clone();
        states.sort_unstable();
        states.dedup();
        match elsewhere {
            _ if !states.is_empty() => Self { lanes: states.into_iter().map(Lane::In).collect(), labels, any_state: false },
            Some((named, label)) => Self { lanes: vec![Lane::Kinds(named), Lane::Label(label)], labels, any_state: true },
            None => Self { lanes: vec![Lane::Tasks], labels, any_state: true },
        }
    }
}

/// So many rows of a label a store counts at most, to know which of several is the rarest.
pub const LABELS_COUNTED: i64 = 1_000;

impl Plan {
    /// The labels of which the rarest is worth knowing, as a page goes through its rows and looks up the others; none if there is
    /// no choice.
    pub fn choice(&self) -> Vec<String> {
        match self.lanes.as_slice() {
            [Lane::Label(label)] if !self.labels.is_empty() => [label].into_iter().chain(&self.labels).cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Takes how many rows each label of the [`choice`](Self::choice) has, of at most [`LABELS_COUNTED`].
    pub fn choose(&mut self, counts: &[i64]) {
        let mut labels = self.choice();
        let rarest = counts.iter().enumerate().min_by_key(|(_, count)| **count).map(|(at, _)| at);
        if let Some(at) = rarest.filter(|at| *at < labels.len()) {
            self.lanes = vec![Lane::Label(labels.remove(at))];
            self.labels = labels;
        }
    }
}

/// What a store files a task under, beside its state: whatever a filter can ask of what it says of itself. The stores' SQL has the
/// same words (`label_of`, `gristmill_task_label`), so that whoever enqueues, and in whatever language, files alike.
pub fn labels_of(meta: &TaskMeta) -> Vec<String> {
    let mut labels = Vec::new();
    labels.extend(meta.parent.map(|parent| format!("p:{parent}")));
    labels.extend(meta.headers.get(SCHEDULE_HEADER).map(|name| format!("s:{name}")));
    labels.extend(meta.title.as_ref().map(|title| format!("n:{title}")));
    labels.extend(meta.tags.iter().map(|tag| format!("t:{tag}")));
    labels.extend(meta.tags.iter().chain(&meta.title).flat_map(|text| words(text)).map(|word| word_label(&word)));
    // Of one that nobody can ask for a server's index would keep no row.
    labels.retain(|label| label.len() <= LABEL_BYTES_MAX);
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The longest label, in bytes: more than any name or title has.
const LABEL_BYTES_MAX: usize = 512;

/// The labels that a filter asks for, the rarest first as far as one can know, without its words.
fn labels(filter: &Filter) -> Vec<String> {
    let parent = filter.parent.map(|parent| format!("p:{parent}"));
    let title = filter.title.as_ref().map(|title| format!("n:{title}"));
    let schedule = filter.schedule.as_ref().map(|name| format!("s:{name}"));
    let tag = filter.tag.as_ref().map(|tag| format!("t:{tag}"));
    parent.into_iter().chain(title).chain(schedule).chain(tag).collect()
}

fn word_label(word: &str) -> String {
    format!("w:{word}")
}

/// Rows to be read of each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Only those below this key...
    pub below: i64,
    /// ... and above this one.
    pub above: i64,
    /// The newest of these, at most so many.
    pub count: usize,
}

/// What was read of a lane.
#[derive(Debug)]
pub struct Read<T> {
    /// Those that match, by key, in any order.
    pub found: Vec<(i64, T)>,
    /// The lowest key that was read, whether it matched or not; `None` if there are no further rows.
    pub lowest: Option<i64>,
    /// How many rows that took.
    pub rows: usize,
}

impl<T> Read<T> {
    /// A lane without further rows.
    pub fn end() -> Self {
        Self { found: Vec::new(), lowest: None, rows: 0 }
    }
}

/// One page on its way: says what to read, and keeps what was found.
///
/// Begins with few rows, as mostly the first ones match, and reads ever more at once while they don't.
#[derive(Debug)]
pub struct Walk<T> {
    limit: usize,
    below: i64,
    above: i64,
    chunk: usize,
    budget: usize,
    weight: usize,
    found: Vec<(i64, T)>,
    over: bool,
}

impl<T> Walk<T> {
    /// A page of at most `limit` behind `after`, of keys in `range` (first and last, both without their ends).
    ///
    /// `weight`: to how much of [`PAGE_ROWS_MAX`](limits::PAGE_ROWS_MAX) a row comes that is read; at least 1.
    pub fn new(after: Option<Cursor>, limit: usize, range: (i64, i64), weight: usize) -> Self {
        let limit = limit.clamp(1, limits::PAGE_ITEMS_MAX);
        Self {
            limit,
            below: after.map_or(i64::MAX, Cursor::key).min(range.1),
            above: range.0,
            chunk: limit + 1,
            budget: limits::PAGE_ROWS_MAX,
            weight: weight.max(1),
            found: Vec::new(),
            over: false,
        }
    }

    /// What to read next; `None` when the page is done.
    pub fn ask(&self) -> Option<Ask> {
        let count = self.chunk.min(self.budget / self.weight);
        let done = self.over || self.found.len() > self.limit || count == 0 || self.below <= self.above.saturating_add(1);
        (!done).then_some(Ask { below: self.below, above: self.above, count })
    }

    /// Takes what was read of all lanes for one [`Ask`]. Lanes that were read less deep than others are read on next time, and
    /// what the others found below is found again.
    pub fn take(&mut self, reads: Vec<Read<T>>) {
        let horizon = reads.iter().filter_map(|read| read.lowest).max();
        let rows: usize = reads.iter().map(|read| read.rows).sum();
        let mut found: Vec<_> = reads.into_iter().flat_map(|read| read.found).collect();
        found.retain(|(key, _)| horizon.is_none_or(|horizon| *key >= horizon));
        found.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
        found.dedup_by_key(|(key, _)| *key);
        self.found.extend(found);
        match horizon {
            Some(horizon) => self.below = horizon,
            None => self.over = true,
        }
        self.budget = self.budget.saturating_sub(rows.max(1).saturating_mul(self.weight));
        self.chunk = self.chunk.saturating_mul(4);
    }

    /// What the page has with its keys, newest first, and where the next one begins.
    pub fn end(mut self) -> (Vec<(i64, T)>, Option<Cursor>) {
        let more = self.found.len() > self.limit;
        self.found.truncate(self.limit);
        let last = self.found.last().map(|(key, _)| *key);
        let next = match last {
            Some(last) if more => Some(Cursor::after(last)),
            _ if self.over || self.below <= self.above.saturating_add(1) => None,
            _ => Some(Cursor::after(self.below)),
        };
        (self.found, next)
    }
}

/// How much later a task may have been enqueued, in milliseconds, than one that came after it: the store's clock may be set back
/// a little, and on a server two statements get their keys and their times in either order.
pub const CLOCK_SLACK_MS: i64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(states: &[State]) -> Filter {
        Filter { states: states.to_vec(), ..Filter::default() }
    }

    #[test]
    fn a_filter_is_looked_for_in_the_shortest_lane() {
        let lanes = |filter: &Filter| Plan::of(filter, &["mail.send".to_owned(), "report".to_owned()]).lanes;
        let label = |label: &str| vec![Lane::Label(label.to_owned())];
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(lanes(&filter(&[])), [Lane::Tasks]);
        let both = [State::Failed, State::Ready, State::Failed];
        assert_eq!(lanes(&filter(&both)), [Lane::In(State::Ready), Lane::In(State::Failed)]);
        let tagged = Filter { tag: named("x"), title: named("a b"), ..filter(&[State::Ready]) };
        let plan = Plan::of(&tagged, &[]);
        assert_eq!((plan.lanes, plan.labels, plan.any_state), (label("n:a b"), vec!["t:x".to_owned()], true));
        let running = Filter { states: vec![State::Running], ..tagged };
        let plan = Plan::of(&running, &[]);
        assert_eq!((plan.lanes, plan.labels.len(), plan.any_state), (vec![Lane::In(State::Running)], 2, false));
        // A word that no task type has can only be a label; one that some have may be either.
        let text = |text: &str| Filter { text: named(text), ..Filter::default() };
        assert_eq!(lanes(&text("invoice mail")), label("w:invoice"));
        let twice = Plan::of(&text("Invoice 7 invoice 7"), &[]);
        assert_eq!((twice.lanes.clone(), twice.labels.clone()), (label("w:invoice"), vec!["w:7".to_owned()]));
        let mut rarest = twice;
        assert_eq!(rarest.choice(), ["w:invoice", "w:7"]);
        rarest.choose(&[1_000, 3]);
        assert_eq!((rarest.lanes, rarest.labels), (label("w:7"), vec!["w:invoice".to_owned()]));
        assert_eq!(Plan::of(&text("invoice"), &[]).choice(), [""; 0]);
        assert_eq!(lanes(&text("Mail")), [Lane::Kinds(vec!["mail.send".to_owned()]), Lane::Label("w:mail".to_owned())]);
    }

    #[test]
    fn a_task_has_a_label_for_whatever_can_be_asked_of_it() {
        let parent = "019a0000-0000-7000-8000-000000000002".parse().unwrap();
        let meta = TaskMeta {
            parent: Some(parent),
            tags: vec!["eu-west".to_owned(), "eu".to_owned()],
            headers: [("schedule".to_owned(), "nightly".to_owned()), ("trace".to_owned(), "x".to_owned())].into(),
            title: Some("To EU".to_owned()),
            ..TaskMeta::default()
        };
        let expected =
            ["n:To EU", "p:019a0000-0000-7000-8000-000000000002", "s:nightly", "t:eu", "t:eu-west", "w:eu", "w:to", "w:west"];
        assert_eq!(labels_of(&meta), expected);
        assert_eq!(labels_of(&TaskMeta::default()), [""; 0]);
        let long = TaskMeta { headers: [("schedule".to_owned(), "x".repeat(4_000))].into(), ..TaskMeta::default() };
        assert_eq!(labels_of(&long), [""; 0]);
    }

    /// Reads keys that are multiples of `step` and match if `wanted` does, as a store does.
    fn read(ask: Ask, step: i64, wanted: impl Fn(i64) -> bool) -> Read<i64> {
        let keys = (1..=1_000).rev().filter(|key| key % step == 0 && *key < ask.below && *key > ask.above);
        let keys: Vec<_> = keys.take(ask.count).collect();
        let lowest = keys.last().copied().filter(|_| keys.len() == ask.count);
        Read { rows: keys.len(), lowest, found: keys.into_iter().filter(|key| wanted(*key)).map(|key| (key, key)).collect() }
    }

    fn pages(limit: usize, lanes: &[i64], range: (i64, i64), wanted: impl Fn(i64) -> bool) -> Vec<Vec<i64>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let mut walk = Walk::new(after, limit, range, 1_000);
            while let Some(ask) = walk.ask() {
                walk.take(lanes.iter().map(|step| read(ask, *step, &wanted)).collect());
            }
            let (page, next) = walk.end();
            pages.push(page.into_iter().map(|(_, item)| item).collect());
            match next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_hold_everything_once_and_in_order_whatever_the_lanes() {
        let even = |key: i64| key % 2 == 0;
        for limit in [1, 3, 10, 1_000] {
            for lanes in [&[1][..], &[2, 3], &[7, 5, 1], &[900, 2]] {
                for range in [(0, i64::MAX), (100, 201), (500, 501)] {
                    let inside = |key: &i64| *key > range.0 && *key < range.1 && lanes.iter().any(|step| key % step == 0);
                    let expected: Vec<_> = (1..=1_000).rev().filter(|key| even(*key)).filter(inside).collect();
                    let pages = pages(limit, lanes, range, even);
                    assert!(pages.iter().all(|page| page.len() <= limit));
                    assert_eq!(pages.concat(), expected, "pages of {limit} from {lanes:?} in {range:?}");
                }
            }
        }
    }

    #[test]
    fn a_page_of_what_is_rare_ends_after_a_bounded_number_of_rows() {
        let mut walk = Walk::new(None, 10, (0, i64::MAX), 100);
        let mut rows = 0;
        while let Some(ask) = walk.ask() {
            let read = read(ask, 1, |_| false);
            rows += read.rows;
            walk.take(vec![read]);
        }
        assert_eq!(rows, limits::PAGE_ROWS_MAX / 100);
        let (page, next) = walk.end();
        assert_eq!((page, next), (vec![], Some(Cursor::after(501))));
    }
}
