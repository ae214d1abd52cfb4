//! The doctor: what each store is looked at for, and what is said of it.
//!
//! A store brings its [`Answers`] to what all of them are asked; none can be left out. What only one of them has, its file or its
//! server, it says by itself.

use crate::{Finding, QueueInfo, Severity, TaskId};

/// Rows up to which a store counts where there may be many; that far it is the number, and from there on "at least".
pub const COUNT_MAX: i64 = 10_000;
/// Tasks that should have been promoted this long ago, in milliseconds, show that nobody sweeps.
pub const LATE_MS: i64 = 60_000;

/// So many tasks that stand still are named.
const NAMED_MAX: usize = 5;

/// A task that was enqueued or tried so much later than now, in milliseconds, was so while the clock was ahead. Less is what the
/// clocks of several machines may differ by.
pub const AHEAD_MS: i64 = 60_000;

/// What a store found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Leases of tasks that do not exist.
    pub orphan_leases: i64,
    /// Leases whose workers are dead.
    pub lost_leases: i64,
    /// Tasks that are in two places at once.
    pub overlap: Overlap,
    /// Leases of tasks that have ended.
    pub ended_leases: i64,
    /// Ends of which something is [owed](crate::Ended::owed).
    pub owed: i64,
    /// Ready tasks that no live worker serves.
    pub unserved: Unserved,
    /// Tasks that are scheduled and due for [`LATE_MS`].
    pub overdue: i64,
    /// Tasks that are scheduled and were put off more than [`AHEAD_MS`] from now: enqueued then, or tried.
    pub ahead: i64,
    /// Tasks that stand still, as their code parted from what they remember; at most [`COUNT_MAX`].
    pub still: Vec<TaskId>,
    /// Tasks that could not be read.
    pub aside: Aside,
}

/// How many tasks are in two places at once, of those that the store looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Of those in any place, or with a lease.
    All(i64),
    /// Of those with a lease.
    Running(i64),
}

/// Ready tasks that no live worker serves, as the list of queues counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// Workers live, and none of them serves so many.
    ByAny(i64),
    /// No worker lives, and so many are ready.
    Deserted(i64),
}

impl Unserved {
    /// What the queues have, and whether any worker lives.
    #[must_use]
    pub fn of(queues: &[QueueInfo], has_workers: bool) -> Self {
        let tasks = queues.iter().map(|queue| queue.unserved).fold(0, u64::saturating_add);
        let tasks = i64::try_from(tasks).unwrap_or(i64::MAX);
        if has_workers || tasks == 0 { Self::ByAny(tasks) } else { Self::Deserted(tasks) }
    }
}

/// Tasks that could not be read and were taken out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The table in which they are.
    pub table: &'static str,
    /// Why, and how many for that.
    pub reasons: Vec<(String, i64)>,
}

impl Answers {
    /// What is said of them, in the order in which they are asked.
    #[must_use]
    pub fn findings(self) -> Vec<Finding> {
        let Self { orphan_leases, lost_leases, overlap, ended_leases, owed, unserved, overdue, ahead, still, aside } = self;
        let counts = [
            (Case::OrphanLease, orphan_leases),
            (Case::LostLease, lost_leases),
            match overlap {
                Overlap::All(count) => (Case::Overlap, count),
                Overlap::Running(count) => (Case::RunningOverlap, count),
            },
            (Case::EndedLease, ended_leases),
            (Case::Owed, owed),
            match unserved {
                Unserved::ByAny(count) => (Case::Unserved, count),
                Unserved::Deserted(count) => (Case::Deserted, count),
            },
            (Case::Overdue, overdue),
            (Case::Ahead, ahead),
        ];
        counts.into_iter().map(|(case, count)| case.finding(count)).chain([stands_still(&still), aside.finding()]).collect()
    }
}

/// A count that should be zero. One that [`Answers::findings`] leaves out is never constructed, at which the compiler complains.
#[derive(Clone, Copy, Debug)]
enum Case {
    OrphanLease,
    LostLease,
    Overlap,
    RunningOverlap,
    EndedLease,
    Owed,
    Unserved,
    Deserted,
    Overdue,
    Ahead,
}

struct Text {
    code: &'static str,
    severity: Severity,
    /// What is counted.
    what: &'static str,
    hint: &'static str,
}

impl Case {
    const fn text(self) -> Text {
        use Severity::{Error, Warning};
        let (code, severity, what, hint) = match self {
            Self::OrphanLease => (
                "orphan_lease",
                Error,
                "leases of tasks that do not exist",
                "any worker's sweep removes them once their worker has gone; if they stay, restore a backup",
            ),
            Self::LostLease => (
                "lost_lease",
                Warning,
                "tasks held by workers that are dead",
                "start a worker: any worker's sweep takes them back",
            ),
            Self::Overlap => (
                "overlap",
                Error,
                "tasks that are in two places at once",
                "something else wrote to gristmill's tables; cancel these tasks and check that program",
            ),
            Self::RunningOverlap => return Text { what: "tasks that run and wait at the same time", ..Self::Overlap.text() },
            Self::EndedLease => (
                "ended_lease",
                Error,
                "tasks that run though they have ended",
                "something else wrote to gristmill's tables; check that program",
            ),
            Self::Owed => (
                "owed",
                Warning,
                "ends that a newer version has to finish",
                "start a worker of the newer version; until then these tasks are kept and can't be retried",
            ),
            Self::Unserved => (
                "unserved",
                Warning,
                "ready tasks that no live worker serves",
                "start a worker that has their task types and serves their queues, or cancel them; `queues list` shows where they are, \
                 and `tasks why` what one of them waits for",
            ),
            Self::Deserted => {
                return Text {
                    what: "ready tasks, and no worker is alive",
                    hint: "start a `worker`; `queues list` shows where they are",
                    ..Self::Unserved.text()
                };
            }
            Self::Overdue => (
                "overdue",
                Warning,
                "scheduled tasks that are due for more than a minute",
                "start a worker: workers make due tasks ready",
            ),
            Self::Ahead => (
                "clock_ahead",
                Warning,
                "scheduled tasks that were put off while the clock was ahead",
                "they are due as much later; `tasks list --state scheduled` shows them, and `tasks release` runs them now",
            ),
        };
        Text { code, severity, what, hint }
    }

    fn finding(self, count: i64) -> Finding {
        let Text { code, severity, what, hint } = self.text();
        match count {
            0 => Finding::ok(code, format!("no {what}")),
            COUNT_MAX.. => Finding::new(severity, code, format!("at least {count} {what}"), hint),
            _ => Finding::new(severity, code, format!("{count} {what}"), hint),
        }
    }
}

/// Of tasks that a person has to look at before they go on, some are named: no list finds them. `tasks` are those that stand still, as their
/// code parted from what they remember; at most [`COUNT_MAX`].
#[must_use]
pub fn stands_still(tasks: &[TaskId]) -> Finding {
    let (code, count) = ("stands_still", tasks.len());
    let named: Vec<_> = tasks.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if named.is_empty() {
        return Finding::ok(code, "no tasks that stand still, as their code has changed");
    }
    let at_least = if count as i64 >= COUNT_MAX { "at least " } else { "" };
    let others = if count > named.len() { " and others" } else { "" };
    let named = named.join(", ");
    let message =
        format!("{at_least}{count} tasks that stand still, as their code parted from what they remember: {named}{others}");
    Finding::error(
        code,
        message,
        "`tasks why` says of one where that is, and `tasks resume` lets it go on once workers have the right code",
    )
}

impl Aside {
    fn finding(self) -> Finding {
        if self.reasons.is_empty() {
            return Finding::ok("aside", "no task was set aside as unreadable");
        }
        let reasons: Vec<_> = self.reasons.into_iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
        let message = format!("tasks that could not be read were set aside: {}", reasons.join(", "));
        Finding::error("aside", message, format!("look at them in the table {}; delete the rows when you are done", self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::Severity::{Error, Warning};
    use super::*;

    fn answers(count: i64, overlap: Overlap, reasons: &[(&str, i64)]) -> Answers {
        Answers {
            orphan_leases: count,
            lost_leases: count,
            overlap,
            ended_leases: count,
            owed: count,
            unserved: Unserved::ByAny(count),
            overdue: count,
            ahead: count,
            still: vec![TaskId::from_uuid(uuid::Uuid::nil()); count as usize],
            aside: Aside {
                table: "aside",
                reasons: reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            },
        }
    }

    /// Scripts go by the codes, and operators search for the texts.
    #[test]
    fn what_is_wrong_is_said_in_these_words() {
        let findings = answers(2, Overlap::All(2), &[("torn", 3), ("no kind", 1)]).findings();
        let said: Vec<_> =
            findings.iter().map(|finding| (finding.code.as_str(), finding.severity, finding.message.as_str())).collect();
        let expected = [
            ("orphan_lease", Error, "2 leases of tasks that do not exist"),
            ("lost_lease", Warning, "2 tasks held by workers that are dead"),
            ("overlap", Error, "2 tasks that are in two places at once"),
            ("ended_lease", Error, "2 tasks that run though they have ended"),
            ("owed", Warning, "2 ends that a newer version has to finish"),
            ("unserved", Warning, "2 ready tasks that no live worker serves"),
            ("overdue", Warning, "2 scheduled tasks that are due for more than a minute"),
            ("clock_ahead", Warning, "2 scheduled tasks that were put off while the clock was ahead"),
            (
                "stands_still",
                Error,
                "2 tasks that stand still, as their code parted from what they remember: \
                 00000000-0000-0000-0000-000000000000, 00000000-0000-0000-0000-000000000000",
            ),
            ("aside", Error, "tasks that could not be read were set aside: torn (3), no kind (1)"),
        ];
        assert_eq!(said, expected);
        assert!(findings.iter().all(|finding| !finding.hint.is_empty()), "{findings:?}");
        assert_eq!(findings[9].hint, "look at them in the table aside; delete the rows when you are done");
    }

    #[test]
    fn what_is_well_is_said_too_and_asks_for_nothing() {
        let findings = answers(0, Overlap::All(0), &[]).findings();
        let asking = |finding: &&Finding| finding.severity != Severity::Ok || !finding.hint.is_empty();
        assert_eq!(findings.iter().find(asking), None);
        let said: Vec<_> = findings.iter().map(|finding| (finding.code.as_str(), finding.message.as_str())).collect();
        let expected = [
            ("orphan_lease", "no leases of tasks that do not exist"),
            ("lost_lease", "no tasks held by workers that are dead"),
            ("overlap", "no tasks that are in two places at once"),
            ("ended_lease", "no tasks that run though they have ended"),
            ("owed", "no ends that a newer version has to finish"),
            ("unserved", "no ready tasks that no live worker serves"),
            ("overdue", "no scheduled tasks that are due for more than a minute"),
            ("clock_ahead", "no scheduled tasks that were put off while the clock was ahead"),
            ("stands_still", "no tasks that stand still, as their code has changed"),
            ("aside", "no task was set aside as unreadable"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_nobody_serves_is_what_the_queues_say() {
        let queue = |unserved| QueueInfo {
            name: "q".to_owned(),
            paused: false,
            ready: 9,
            scheduled: 0,
            blocked: 0,
            waiting: 0,
            running: 0,
            buffered: 0,
            unserved,
            oldest_ready_at: None,
        };
        let queues = [queue(2), queue(0), queue(3)];
        assert_eq!(Unserved::of(&queues, true), Unserved::ByAny(5));
        assert_eq!(Unserved::of(&queues, false), Unserved::Deserted(5));
        assert_eq!(Unserved::of(&[queue(0)], false), Unserved::ByAny(0));
        let deserted = Answers { unserved: Unserved::Deserted(5), ..answers(0, Overlap::All(0), &[]) }.findings().remove(5);
        assert_eq!((deserted.code.as_str(), deserted.message.as_str()), ("unserved", "5 ready tasks, and no worker is alive"));
    }

    #[test]
    fn a_store_claims_no_more_than_it_has_looked_at() {
        let overlap = |overlap| answers(0, overlap, &[]).findings().remove(2);
        let (all, running) = (overlap(Overlap::All(1)), overlap(Overlap::Running(1)));
        assert_eq!(running, Finding { message: "1 tasks that run and wait at the same time".to_owned(), ..all });
        assert_eq!(overlap(Overlap::Running(0)).message, "no tasks that run and wait at the same time");
        let said = |count| Case::Unserved.finding(count).message;
        assert_eq!(said(COUNT_MAX - 1), "9999 ready tasks that no live worker serves");
        assert_eq!(said(COUNT_MAX), "at least 10000 ready tasks that no live worker serves");
        // It counts so far in each of several places.
        assert_eq!(Case::Overlap.finding(COUNT_MAX + 1).message, "at least 10001 tasks that are in two places at once");
    }
}
