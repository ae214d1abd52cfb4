use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sql::Q;

/// Above this many names the cache starts anew, so that a queue for every tenant does not fill the memory.
const NAMES_MAX: usize = 100_000;

/// A sort of name that is kept as a small integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    Queue,
    Kind,
}

impl Sort {
    pub(crate) fn intern(self) -> Q {
        match self {
            Self::Queue => Q::QueueIntern,
            Self::Kind => Q::KindIntern,
        }
    }

    pub(crate) fn find(self) -> Q {
        match self {
            Self::Queue => Q::QueueFind,
            Self::Kind => Q::KindFind,
        }
    }

    pub(crate) fn names(self) -> Q {
        match self {
            Self::Queue => Q::QueueNames,
            Self::Kind => Q::KindNames,
        }
    }
}

/// A name with its number.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) id: i32,
    /// It was used or declared, and not only named by a worker that serves it.
    pub(crate) known: bool,
}

/// The names that were seen, with their numbers. Numbers are never given again.
#[derive(Debug, Default)]
pub(crate) struct Names {
    queues: Mutex<Book>,
    kinds: Mutex<Book>,
}

/// Names of one sort, found by name or number.
#[derive(Debug, Default)]
pub(crate) struct Book {
    by_name: HashMap<Arc<str>, Named>,
    by_id: HashMap<i32, Arc<str>>,
}

impl Names {
    pub(crate) fn by_name(&self, sort: Sort, name: &str) -> Option<Named> {
        self.book(sort).by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, sort: Sort, id: i32) -> Option<Arc<str>> {
        self.book(sort).by_id.get(&id).cloned()
    }

    /// To be told only what is committed.
    pub(crate) fn keep(&self, sort: Sort, named: Named) {
        self.book(sort).keep(named);
    }

    fn book(&self, sort: Sort) -> std::sync::MutexGuard<'_, Book> {
        let book = match sort {
            Sort::Queue => &self.queues,
            Sort::Kind => &self.kinds,
        };
        // Maps, which are whole at every moment.
        book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    pub(crate) fn get(&self, name: &str) -> Option<&Named> {
        self.by_name.get(name)
    }

    pub(crate) fn name(&self, id: i32) -> Option<Arc<str>> {
        self.by_id.get(&id).cloned()
    }

    pub(crate) fn keep(&mut self, named: Named) {
        if self.by_name.len() >= NAMES_MAX {
            self.by_name.clear();
            self.by_id.clear();
        }
        self.by_id.insert(named.id, named.name.clone());
        let kept = self.by_name.entry(named.name.clone()).or_insert_with(|| named.clone());
        kept.known |= named.known;
    }

    pub(crate) fn all(self) -> impl Iterator<Item = Named> {
        self.by_name.into_values()
    }
}
