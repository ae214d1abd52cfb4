use crate::{Flags, Retention, State, Timestamp};

/// Who has to learn that a task has ended, at the door and in the transaction of its end.
///
/// A match on it names all of them, so that a new follower that a store does not tell does not compile. What somebody waits for
/// stands as a [flag](Flags) on the task, but for awaiters, who may come at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follower {
    /// Whoever awaits the task's result, in this process or in another: told after the commit.
    Awaiter,
    /// The step of a [workflow](crate::workflow) of which the task is a member: its count, and what follows from it.
    Step,
}

impl Follower {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Awaiter, Self::Step];

    /// Those who may wait for the end of a task with these flags.
    pub fn of(flags: Flags) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |follower| follower.may_follow(flags))
    }

    /// Whether one may wait for the end of a task with these flags.
    const fn may_follow(self, flags: Flags) -> bool {
        match self {
            Self::Awaiter => true,
            Self::Step => flags.has(Flags::MEMBER),
        }
    }
}

/// What the end of a task sets off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What is kept of it.
    pub keep: Keep,
    /// What this version does not understand and leaves, with the row that ends the task, to a program that does. Until then the
    /// task is kept, whatever its retention.
    pub owed: Flags,
    flags: Flags,
}

/// What is kept of an ended task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The body, the history and the result, until then.
    Until(Timestamp),
    /// The same, until somebody deletes it.
    Forever,
    /// Nothing: it leaves no trace.
    Nothing,
}

/// Decides what the end of a task sets off: the one door out. Every store asks this, whatever ended the task (a settlement, a
/// cancellation, its expiry, a rescue, damage), so that none forgets anybody.
///
/// Nothing is kept of a success whose retention says so; a failure is kept for the default time all the same, as nobody could
/// learn of it otherwise. A member of a workflow is kept until that has ended, and only then for as long as its retention says
/// ([`kept_after`]).
///
/// ```
/// use gristmill_core::{Flags, Keep, Retention, State, Timestamp, ended};
///
/// let now = Timestamp::from_millis(0);
/// assert_eq!(ended(State::Succeeded, Flags::NONE, Retention::None, now).keep, Keep::Nothing);
/// assert_ne!(ended(State::Failed, Flags::NONE, Retention::None, now).keep, Keep::Nothing);
/// ```
pub fn ended(state: State, flags: Flags, retention: Retention, now: Timestamp) -> Ended {
    let owed = flags.unknown();
    let keep = match retention {
        _ if !owed.is_none() => Keep::Forever,
        // Somebody may still want its result. When the workflow has ended, what its retention says is made good.
        _ if flags.has(Flags::MEMBER) => Keep::Forever,
        Retention::None if matches!(state, State::Succeeded) => Keep::Nothing,
        Retention::None => kept_for(Retention::default(), now),
        retention => kept_for(retention, now),
    };
    Ended { keep, owed, flags }
}

impl Ended {
    /// Who has to be told.
    pub fn followers(&self) -> impl Iterator<Item = Follower> {
        Follower::of(self.flags)
    }
}

/// What is kept of a member when its workflow has ended: as long as it would have been without one, by when it ended itself.
pub fn kept_after(state: State, retention: Retention, ended_at: Timestamp) -> Timestamp {
    match ended(state, Flags::NONE, retention, ended_at).keep {
        Keep::Until(at) => at,
        Keep::Forever => Timestamp::MAX,
        Keep::Nothing => ended_at,
    }
}

fn kept_for(retention: Retention, now: Timestamp) -> Keep {
    match retention {
        Retention::For(period) => Keep::Until(now.saturating_add(period)),
        Retention::Forever => Keep::Forever,
        Retention::None => Keep::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_kept() {
        let now = Timestamp::from_millis(1_000);
        let day = Retention::For(Duration::from_secs(86_400));
        let default = kept_for(Retention::default(), now);
        for (state, retention, keep) in [
            (State::Succeeded, Retention::None, Keep::Nothing),
            (State::Failed, Retention::None, default),
            (State::Cancelled, Retention::None, default),
            (State::Expired, Retention::None, default),
            (State::Succeeded, day, Keep::Until(Timestamp::from_millis(86_401_000))),
            (State::Failed, Retention::Forever, Keep::Forever),
        ] {
            let ended = ended(state, Flags::LIMITED, retention, now);
            assert_eq!((ended.keep, ended.owed), (keep, Flags::NONE), "{state} {retention:?}");
            assert_eq!(ended.followers().collect::<Vec<_>>(), [Follower::Awaiter]);
        }
    }

    #[test]
    fn a_member_is_kept_until_its_workflow_has_ended() {
        let at = Timestamp::from_millis(1_000);
        let member = ended(State::Succeeded, Flags::MEMBER, Retention::None, at);
        assert_eq!((member.keep, member.followers().collect::<Vec<_>>()), (Keep::Forever, Follower::ALL.to_vec()));
        assert_eq!(kept_after(State::Succeeded, Retention::None, at), at);
        assert_eq!(kept_after(State::Failed, Retention::For(Duration::from_secs(1)), at), Timestamp::from_millis(2_000));
        assert_eq!(kept_after(State::Failed, Retention::Forever, at), Timestamp::MAX);
    }

    #[test]
    fn what_nobody_here_understands_is_left_to_others() {
        let flags = Flags::LIMITED.with(Flags::from_bits(1 << 20));
        let ended = ended(State::Succeeded, flags, Retention::None, Timestamp::from_millis(0));
        assert_eq!((ended.keep, ended.owed), (Keep::Forever, Flags::from_bits(1 << 20)));
    }
}
