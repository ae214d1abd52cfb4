use crate::State;

/// Where a task waits. Each store has one table for each, and one door that leads there.
///
/// A match on it names every place, so that a new one that is not handled somewhere does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// For other tasks.
    Blocked,
    /// For its time.
    Scheduled,
    /// For a slot of its limit.
    Waiting,
    /// For a worker.
    Ready,
    /// For a worker that serves its type, out of the way of others: none lives that does, or it stood with many of its like before tasks
    /// of those who do not.
    Parked,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Blocked, Self::Scheduled, Self::Waiting, Self::Ready, Self::Parked];

    /// The state of a task that waits there.
    pub const fn state(self) -> State {
        match self {
            Self::Blocked => State::Blocked,
            Self::Scheduled => State::Scheduled,
            Self::Waiting => State::Waiting,
            // Nobody but the store needs to know that it is out of the way.
            Self::Ready | Self::Parked => State::Ready,
        }
    }
}

/// All that decides where a task waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Tasks that it depends on have not ended.
    pub blocked: bool,
    /// It is due later.
    pub early: bool,
    /// A limit has not admitted it.
    pub limited: bool,
    /// It is in the way of those for whom it is not: no live worker serves its type in its queue, or a crowd of such tasks fills it.
    pub unserved: bool,
}

/// Decides where a task waits: the one door in. Every store asks this, whatever brings the task there (an enqueue, a retry, a
/// rescue, its time), so that none decides otherwise; on PostgreSQL the paths that are SQL alone ask the same in SQL, which a test
/// compares with this.
///
/// What it waits for longest comes first, so that it is never woken to wait again: other tasks, then its time, then a slot, which
/// is taken only by what can run.
///
/// ```
/// use gristmill_core::{Place, Standing, place};
///
/// assert_eq!(place(Standing::default()), Place::Ready);
/// assert_eq!(place(Standing { early: true, limited: true, ..Standing::default() }), Place::Scheduled);
/// ```
pub const fn place(standing: Standing) -> Place {
    match standing {
        Standing { blocked: true, .. } => Place::Blocked,
        Standing { early: true, .. } => Place::Scheduled,
        Standing { limited: true, .. } => Place::Waiting,
        Standing { unserved: true, .. } => Place::Parked,
        Standing { .. } => Place::Ready,
    }
}

/// What holds a task back from its enqueue on, beside its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hold {
    /// It waits for other tasks until [`Store::unblock`](crate::Store::unblock) says that they are done.
    pub blocked: bool,
    /// It needs the word of a limit, [`Store::admit`](crate::Store::admit), each time before it is ready.
    pub limited: bool,
}

impl Hold {
    /// Nothing does, as for most tasks.
    pub const NONE: Self = Self { blocked: false, limited: false };
}

/// What is unusual about a task, in one word that stands on its row in every place and on its lease. The short ways ask for
/// none; a task with a flag goes the longer way, and one with a flag that a program does not know is left alone by it: not claimed,
/// not moved, and what its end sets off is left to a program that does ([`Ended::owed`](crate::Ended)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(i32);

impl Flags {
    /// Nothing is unusual.
    pub const NONE: Self = Self(0);
    /// It stands at another place in line than that of its arrival.
    pub const MOVED: Self = Self(1);
    /// A limit has to admit it before it is ready, again after each attempt.
    pub const LIMITED: Self = Self(2);
    /// It is a member of a step of a [workflow](crate::workflow), which has to learn of its end.
    pub const MEMBER: Self = Self(4);

    /// Its limit is a rate, among others maybe: how it is counted, older versions do not know.
    pub const RATED: Self = Self(8);

    /// All that this version knows.
    pub const KNOWN: Self = Self(Self::MOVED.0 | Self::LIMITED.0 | Self::MEMBER.0 | Self::RATED.0);

    /// As a store keeps it.
    pub const fn bits(self) -> i32 {
        self.0
    }

    /// As a store kept it, with what this version does not know.
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that this version does not know.
    #[must_use]
    pub const fn unknown(self) -> Self {
        self.without(Self::KNOWN)
    }

    /// Whether there are none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sixteen standings, in the order blocked, early, limited, unserved.
    #[test]
    fn the_whole_table() {
        let bits = [false, true];
        for blocked in bits {
            for early in bits {
                for limited in bits {
                    for unserved in bits {
                        let expected = match (blocked, early, limited, unserved) {
                            (true, ..) => Place::Blocked,
                            (_, true, ..) => Place::Scheduled,
                            (_, _, true, _) => Place::Waiting,
                            (.., true) => Place::Parked,
                            _ => Place::Ready,
                        };
                        assert_eq!(place(Standing { blocked, early, limited, unserved }), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_flag_that_nobody_knows_is_seen() {
        let strange = Flags::from_bits(1 << 20).with(Flags::LIMITED);
        assert_eq!(strange.unknown(), Flags::from_bits(1 << 20));
        assert!(Flags::KNOWN.unknown().is_none());
        assert!(strange.has(Flags::LIMITED) && !strange.has(Flags::MOVED));
    }
}
