use std::borrow::Cow;

use crate::{Cursor, Filter, Page, Query, TaskRecord, limits};

/// So many tasks are read whole at once: each may be as large as its arguments and its result.
const ASKED_AT_ONCE: usize = 250;

/// One page of tasks on its way, for a filter with a query or without one: says what a store has to look for, and asks what it
/// found whatever it could not look for. Such a page reads at most [`PAGE_ASKED_MAX`](limits::PAGE_ASKED_MAX) tasks whole.
#[derive(Debug)]
pub struct Sift<'a> {
    filter: Cow<'a, Filter>,
    rest: Option<&'a Query>,
    limit: usize,
    after: Option<Cursor>,
    asked: usize,
    budget: usize,
    items: Vec<TaskRecord>,
    over: bool,
}

impl<'a> Sift<'a> {
    /// A page of at most `limit` behind `after`, of a filter that was checked.
    pub fn new(filter: &'a Filter, after: Option<Cursor>, limit: usize) -> Self {
        let narrowed = filter.query.as_ref().map(|query| query.narrow(filter));
        let (filter, rest, over) = match narrowed {
            None => (Cow::Borrowed(filter), None, false),
            Some(Some(narrowed)) => (Cow::Owned(narrowed.filter), narrowed.rest, false),
            Some(None) => (Cow::Borrowed(filter), None, true),
        };
        let after = if over { None } else { after };
        let limit = limit.clamp(1, limits::PAGE_ITEMS_MAX);
        Self { filter, rest, limit, after, asked: 0, budget: limits::PAGE_ASKED_MAX, items: Vec::new(), over }
    }

    /// What the store looks for: no less than what matches.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether what is found has to be read whole, to be asked what no index answers.
    pub fn asks(&self) -> bool {
        self.rest.is_some()
    }

    /// Behind which place to look next, and for how many; `None` when the page is done.
    pub fn ask(&mut self) -> Option<(Option<Cursor>, usize)> {
        self.asked = match self.rest {
            None => self.limit,
            Some(_) => ASKED_AT_ONCE.min(self.budget),
        };
        (!self.over && self.asked > 0).then_some((self.after, self.asked))
    }

    /// Takes what was found, with its keys, and where it goes on.
    pub fn take(&mut self, found: Vec<(i64, TaskRecord)>, next: Option<Cursor>) {
        self.after = next;
        let Some(query) = self.rest else {
            self.items.extend(found.into_iter().map(|(_, task)| task));
            self.over = true;
            return;
        };
        self.budget -= self.asked.min(self.budget);
        // The store has read all that a page may read, and found no more.
        self.over = next.is_none() || found.len() < self.asked;
        let last = found.last().map(|(key, _)| *key);
        for (key, task) in found {
            if query.matches(&task) {
                self.items.push(task);
            }
            if self.items.len() == self.limit {
                // What comes behind it is read again by the next page, if there is anything.
                self.after = if last == Some(key) { next } else { Some(Cursor::after(key)) };
                self.over = true;
                return;
            }
        }
    }

    /// What the page has, newest first, and where the next one begins.
    pub fn end(self) -> Page<TaskRecord> {
        Page { items: self.items, next: self.after }
    }
}
