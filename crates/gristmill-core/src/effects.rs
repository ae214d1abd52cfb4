use crate::{TaskId, WorkerId};

/// What a store's operation did that others want to know of once it is committed; nothing, if it is not.
///
/// An operation fills it while it works; after the commit the store gives it to [`Signals::committed`](crate::Signals).
#[derive(Debug, Default)]
pub struct Effects {
    /// A task became ready, a queue was resumed.
    pub readied: bool,
    /// A task was scheduled, a schedule edited.
    pub scheduled: bool,
    /// Running tasks are to stop.
    pub cancelled: bool,
    /// These ended.
    pub ended: Vec<TaskId>,
    /// These workers looked for ready tasks.
    pub looked: Vec<WorkerId>,
    /// These left.
    pub left: Vec<WorkerId>,
    /// Something else changed that is shown to people.
    pub changed: bool,
    /// Somebody looked for the next due time.
    pub swept: bool,
    /// What was written, for the failpoints around the commit.
    pub points: Points,
}

impl Effects {
    /// Whether that is anything to those who show what there is, and not only a look.
    pub fn are_news(&self) -> bool {
        let Self { readied, scheduled, cancelled, ended, looked: _, left, changed, swept: _, points } = self;
        *readied || *scheduled || *cancelled || *changed || !ended.is_empty() || !left.is_empty() || *points != Points::default()
    }
}

/// A set of operations that have failpoints before and after their commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Points(u16);

impl Points {
    /// Tasks were enqueued.
    pub const ENQUEUE: Self = Self(1);
    /// Tasks were claimed.
    pub const CLAIM: Self = Self(2);
    /// Starts were recorded.
    pub const START: Self = Self(4);
    /// Attempts were settled.
    pub const SETTLE: Self = Self(8);
    /// Leases of dead workers were taken.
    pub const RESCUE: Self = Self(16);
    /// Scheduled tasks became ready.
    pub const PROMOTE: Self = Self(32);
    /// A worker left what it held.
    pub const RELEASE: Self = Self(64);
    /// Schedules were advanced.
    pub const ADVANCE: Self = Self(128);
    /// Workflows learnt what became of their members, and went on.
    pub const FOLLOW: Self = Self(256);

    /// Each with its failpoints before and after the commit.
    pub const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::ENQUEUE, "enqueue.before_commit", "enqueue.after_commit"),
        (Self::CLAIM, "claim.before_commit", "claim.after_commit"),
        (Self::START, "start.before_commit", "start.after_commit"),
        (Self::SETTLE, "settle.before_commit", "settle.after_commit"),
        (Self::RESCUE, "rescue.before_commit", "rescue.after_commit"),
        (Self::PROMOTE, "promote.before_commit", "promote.after_commit"),
        (Self::RELEASE, "release.before_commit", "release.after_commit"),
        (Self::ADVANCE, "advance.before_commit", "advance.after_commit"),
        (Self::FOLLOW, "follow.before_commit", "follow.after_commit"),
    ];

    /// Both sets together.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether they have anything in common.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
