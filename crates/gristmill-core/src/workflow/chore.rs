use serde::{Deserialize, Serialize};

/// What is still to be done to the members of a step, one place after the other, in parts of bounded size: a step of 100,000 members would
/// hold up everybody else if all of it went at once. A store keeps which, and from which place on; a crash in between leaves the rest to
/// the next sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    /// Those that are blocked go on.
    LetGo,
    /// They are cancelled: at once those that wait, by request those that run.
    Cancel,
    /// Their workflow has ended: they are kept for as long as their retention says, and no longer.
    Unkeep,
    /// Their workflow is retried, and all of them run again: those that have ended are blocked once more.
    Again,
    /// The same, but those that succeeded stay as they are, and are kept as those of [`Keep`](Self::Keep).
    Mend,
    /// Their workflow is retried, and may want their results once more: those that have ended are kept until it has.
    Keep,
}

impl Chore {
    /// What follows once it is done to all members: members that were kept for a workflow that has ended meanwhile are kept no longer.
    pub const fn then(self, workflow_has_ended: bool) -> Option<Self> {
        match self {
            Self::LetGo | Self::Cancel if workflow_has_ended => Some(Self::Unkeep),
            Self::LetGo | Self::Cancel | Self::Unkeep | Self::Again | Self::Mend | Self::Keep => None,
        }
    }

    /// Whether a workflow that is retried goes on only once it is done: a member that has yet to be blocked again would count as one that
    /// has ended.
    pub const fn is_of_retry(self) -> bool {
        match self {
            Self::Again | Self::Mend | Self::Keep => true,
            Self::LetGo | Self::Cancel | Self::Unkeep => false,
        }
    }

    /// What is done when another one comes up before this one is done: nobody is let go who is to be cancelled, and nobody is forgotten
    /// before he has ended.
    #[must_use]
    pub const fn replaced_by(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cancel, Self::Unkeep | Self::LetGo) => Self::Cancel,
            (Self::Again | Self::Mend | Self::Keep, _) => self,
            (_, other) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_forgotten_only_when_they_have_ended() {
        assert_eq!(Chore::Cancel.replaced_by(Chore::Unkeep), Chore::Cancel);
        assert_eq!(Chore::Cancel.then(true), Some(Chore::Unkeep));
        assert_eq!(Chore::LetGo.replaced_by(Chore::Cancel), Chore::Cancel);
        assert_eq!((Chore::Unkeep.then(true), Chore::LetGo.then(false)), (None, None));
        assert_eq!((Chore::Unkeep.replaced_by(Chore::Keep), Chore::Keep.replaced_by(Chore::Unkeep)), (Chore::Keep, Chore::Keep));
    }
}
