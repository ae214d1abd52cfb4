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
}

impl Chore {
    /// What follows once it is done to all members: members that were kept for a workflow that has ended meanwhile are kept no longer.
    pub const fn then(self, workflow_has_ended: bool) -> Option<Self> {
        match self {
            Self::LetGo | Self::Cancel if workflow_has_ended => Some(Self::Unkeep),
            Self::LetGo | Self::Cancel | Self::Unkeep => None,
        }
    }

    /// What is done when another one comes up before this one is done: nobody is let go who is to be cancelled, and nobody is forgotten
    /// before he has ended.
    #[must_use]
    pub const fn replaced_by(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cancel, Self::Unkeep | Self::LetGo) => Self::Cancel,
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
    }
}
