use gristmill_core::{TaskId, WorkerId};

/// What to tell others once the work is committed; nothing, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// A task became ready, a queue was resumed.
    pub(crate) readied: bool,
    /// A task was scheduled.
    pub(crate) scheduled: bool,
    /// These ended.
    pub(crate) ended: Vec<TaskId>,
    /// Of these, nobody who made this happen will say so to the process: they expired or crashed once too often.
    pub(crate) untold: Vec<TaskId>,
    /// These workers looked for ready tasks.
    pub(crate) looked: Vec<WorkerId>,
    /// These left.
    pub(crate) left: Vec<WorkerId>,
    /// Somebody looked for the next due time.
    pub(crate) swept: bool,
    /// Tasks came back to these places in line: queue, priority, number.
    pub(crate) returned: Vec<(i32, i16, i64)>,
    /// Tasks came back, and nobody says where.
    pub(crate) returned_somewhere: bool,
    /// What was written, for the failpoints around the commit.
    pub(crate) points: Points,
}

/// A set of operations that have failpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Points(u8);

impl Points {
    pub(crate) const ENQUEUE: Self = Self(1);
    pub(crate) const CLAIM: Self = Self(2);
    pub(crate) const START: Self = Self(4);
    pub(crate) const SETTLE: Self = Self(8);
    pub(crate) const RESCUE: Self = Self(16);
    pub(crate) const PROMOTE: Self = Self(32);
    pub(crate) const RELEASE: Self = Self(64);

    /// Each with its failpoints before and after the commit.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::ENQUEUE, "enqueue.before_commit", "enqueue.after_commit"),
        (Self::CLAIM, "claim.before_commit", "claim.after_commit"),
        (Self::START, "start.before_commit", "start.after_commit"),
        (Self::SETTLE, "settle.before_commit", "settle.after_commit"),
        (Self::RESCUE, "rescue.before_commit", "rescue.after_commit"),
        (Self::PROMOTE, "promote.before_commit", "promote.after_commit"),
        (Self::RELEASE, "release.before_commit", "release.after_commit"),
    ];

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
