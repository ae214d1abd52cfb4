use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For how long it is believed that a connection leads where it led before: behind a pooler the server may change, and with any, what
/// it holds.
pub(crate) const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The database from which something was learned; the later, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin(u64);

/// Tells databases apart. Numbers that one has given are good in no other: the server that took over may lack the commit of the last
/// of them, as may a database that was restored, and gives them to other names.
#[derive(Debug, Default)]
pub(crate) struct Origins(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    sign: Option<String>,
    origin: Origin,
}

impl Origins {
    /// The last that was seen.
    pub(crate) fn last(&self) -> Origin {
        self.lock().origin
    }

    /// The one that says so of itself, and whether another was seen before it.
    pub(crate) fn seen(&self, sign: String) -> (Origin, bool) {
        let mut last = self.lock();
        let is_other = last.sign.as_ref().is_some_and(|before| *before != sign);
        if is_other {
            last.origin.0 += 1;
        }
        last.sign = Some(sign);
        (last.origin, is_other)
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        // Two values, of which a panic between them leaves the number ahead: what was learned is then read again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_database_is_a_later_origin() {
        let origins = Origins::default();
        let (first, changed) = origins.seen("a".to_owned());
        assert_eq!((first, changed), (origins.last(), false));
        assert_eq!(origins.seen("a".to_owned()), (first, false));
        let (second, changed) = origins.seen("b".to_owned());
        assert!(second > first && changed);
        let (third, changed) = origins.seen("a".to_owned());
        assert!(third > second && changed, "what was learned of it is of another time");
        assert_eq!(origins.last(), third);
    }
}
