use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::origin::Origin;
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

/// The names that were seen, with their numbers, which one database never gives again.
#[derive(Debug, Default)]
pub(crate) struct Names {
    queues: Mutex<Shelf>,
    kinds: Mutex<Shelf>,
}

/// What was learned from one database.
#[derive(Debug, Default)]
struct Shelf {
    origin: Origin,
    book: Book,
}

/// Names of one sort, found by name or number.
#[derive(Debug, Default)]
pub(crate) struct Book {
    by_name: HashMap<Arc<str>, Named>,
    by_id: HashMap<i32, Arc<str>>,
}

impl Names {
    pub(crate) fn by_name(&self, origin: Origin, sort: Sort, name: &str) -> Option<Named> {
        self.shelf(sort).of(origin)?.get(name).cloned()
    }

    pub(crate) fn by_id(&self, origin: Origin, sort: Sort, id: i32) -> Option<Arc<str>> {
        self.shelf(sort).of(origin)?.name(id)
    }

    /// To be told only what is committed. What comes late from a database before the last is of no use any more.
    pub(crate) fn keep(&self, origin: Origin, sort: Sort, named: Named) {
        let mut shelf = self.shelf(sort);
        if shelf.origin < origin {
            *shelf = Shelf { origin, book: Book::default() };
        }
        if shelf.origin == origin {
            shelf.book.keep(named);
        }
    }

    fn shelf(&self, sort: Sort) -> MutexGuard<'_, Shelf> {
        let shelf = match sort {
            Sort::Queue => &self.queues,
            Sort::Kind => &self.kinds,
        };
        // Maps, which are whole at every moment.
        shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn of(&self, origin: Origin) -> Option<&Book> {
        (self.origin == origin).then_some(&self.book)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origins;

    #[test]
    fn a_number_is_known_in_the_database_alone_that_gave_it() {
        let (names, origins) = (Names::default(), Origins::default());
        let [old, new] = ["a", "b"].map(|sign| origins.seen(sign.to_owned()).0);
        let named = |id| Named { name: "mail".into(), id, known: true };
        names.keep(old, Sort::Queue, named(57));
        assert!(names.by_name(old, Sort::Queue, "mail").is_some_and(|named| named.id == 57));
        assert!(names.by_name(new, Sort::Queue, "mail").is_none() && names.by_id(new, Sort::Queue, 57).is_none());
        names.keep(new, Sort::Queue, named(3));
        // Committed before the server went away, and told of only now.
        names.keep(old, Sort::Queue, named(57));
        assert!(names.by_name(new, Sort::Queue, "mail").is_some_and(|named| named.id == 3));
        assert!(names.by_id(new, Sort::Queue, 57).is_none());
    }
}
