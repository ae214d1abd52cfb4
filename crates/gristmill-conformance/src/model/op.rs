use std::time::Duration;

use gristmill_core::{Ack, Ending, Hold, Retention};
use proptest::prelude::*;

use super::plans::{PlanOp, plan_op};

/// The names that tasks, queues and workers draw from.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
/// All of the names, as the bits of a set.
pub(super) const ALL: usize = 0b111;
/// The lease of every worker.
pub(super) const LEASE: Duration = Duration::from_millis(30_011);

/// One operation, and whether its first answer is lost.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) lost: bool,
}

/// An operation in the abstract. A `usize` picks one of what is there, whatever that is, so that a sequence still makes
/// sense when others are taken out of it.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Enqueue(Vec<Spec>),
    EnqueueAgain { task: usize, changed: bool },
    Enter { queues: usize, kinds: usize },
    Leave(usize),
    Heartbeat(usize),
    Claim { worker: usize, queues: usize, limit: usize },
    Start(Vec<usize>),
    Settle(Vec<End>),
    Note { lease: usize, logs: bool, progress: bool },
    Lock { lease: usize, name: usize },
    Unlock { lease: usize, name: usize },
    Cancel(Vec<usize>),
    Retry(Vec<usize>),
    Release(Vec<usize>),
    Delete(Vec<usize>),
    Forget(usize),
    Drain(usize),
    Unblock(Vec<usize>),
    Admit(Vec<usize>),
    Pause { queue: usize, paused: bool },
    PauseKind { kind: usize, paused: bool },
    Move { tasks: Vec<usize>, queue: usize },
    Advance(Duration),
    SetBack(Duration),
    SetForward(Duration),
    Reopen,
    SweepInSteps(usize),
    PruneInSteps(usize),
    Plan(PlanOp),
    Look,
}

/// A task to enqueue.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) kind: usize,
    pub(super) queue: usize,
    pub(super) priority: u8,
    pub(super) max_attempts: u32,
    pub(super) max_crashes: u32,
    pub(super) ack: Ack,
    pub(super) retention: Retention,
    pub(super) delay: Duration,
    /// When it is due, in milliseconds from now.
    pub(super) run_at: Option<i64>,
    pub(super) expires: Option<Duration>,
    pub(super) tagged: bool,
    pub(super) hold: Hold,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) lease: usize,
    /// With the fence of another claim, or of none.
    pub(super) stale: bool,
    pub(super) ending: Ending,
    pub(super) ran_for: Duration,
    pub(super) says: bool,
    pub(super) children: Vec<Spec>,
    /// A child under the id of a task that is there already, with other arguments.
    pub(super) refused: Option<usize>,
}

/// Sequences of at most `max` operations. Each may be missing, so that a failing sequence becomes shorter by leaving some out.
pub(super) fn steps(max: usize) -> impl Strategy<Value = Vec<Option<Step>>> {
    let step = (op(), prop::bool::weighted(0.08)).prop_map(|(op, lost)| Step { op, lost });
    prop::collection::vec(prop::option::weighted(0.95, step), max)
}

fn op() -> impl Strategy<Value = Op> {
    let pick = || any::<usize>();
    // All three names mostly, or some of them.
    let some = || prop_oneof![2 => Just(ALL), 1 => 1..=ALL];
    let picks = || prop::collection::vec(any::<usize>(), 1..4);
    let claims = (pick(), 1..=ALL, 0..5usize).prop_map(|(worker, queues, limit)| Op::Claim { worker, queues, limit });
    prop_oneof![
        12 => prop::collection::vec(spec(), 1..5).prop_map(Op::Enqueue),
        2 => (pick(), any::<bool>()).prop_map(|(task, changed)| Op::EnqueueAgain { task, changed }),
        5 => (some(), some()).prop_map(|(queues, kinds)| Op::Enter { queues, kinds }),
        1 => pick().prop_map(Op::Leave),
        4 => pick().prop_map(Op::Heartbeat),
        16 => claims,
        4 => picks().prop_map(Op::Start),
        14 => prop::collection::vec(end(), 1..4).prop_map(Op::Settle),
        3 => (pick(), any::<bool>(), any::<bool>()).prop_map(|(lease, logs, progress)| Op::Note { lease, logs, progress }),
        5 => (pick(), 0..3usize).prop_map(|(lease, name)| Op::Lock { lease, name }),
        1 => (pick(), 0..3usize).prop_map(|(lease, name)| Op::Unlock { lease, name }),
        4 => picks().prop_map(Op::Cancel),
        3 => picks().prop_map(Op::Retry),
        2 => picks().prop_map(Op::Release),
        1 => picks().prop_map(Op::Delete),
        1 => pick().prop_map(Op::Forget),
        2 => pick().prop_map(Op::Drain),
        4 => picks().prop_map(Op::Unblock),
        4 => picks().prop_map(Op::Admit),
        2 => (0..3usize, prop::bool::weighted(0.25)).prop_map(|(queue, paused)| Op::Pause { queue, paused }),
        2 => (0..3usize, prop::bool::weighted(0.25)).prop_map(|(kind, paused)| Op::PauseKind { kind, paused }),
        2 => (picks(), 0..3usize).prop_map(|(tasks, queue)| Op::Move { tasks, queue }),
        9 => duration().prop_map(Op::Advance),
        3 => Just(Op::Advance(LEASE)),
        1 => duration().prop_map(Op::SetBack),
        1 => duration().prop_map(Op::SetForward),
        2 => Just(Op::Reopen),
        3 => (1..4usize).prop_map(Op::SweepInSteps),
        2 => (1..4usize).prop_map(Op::PruneInSteps),
        3 => Just(Op::Look),
        12 => plan_op().prop_map(Op::Plan),
    ]
}

pub(super) fn spec() -> impl Strategy<Value = Spec> {
    let place = (0..3usize, 0..3usize, prop::sample::select(vec![0, 5, 5, 9]));
    let limits = (1..4u32, 1..3u32, prop_oneof![4 => Just(Ack::Late), 1 => Just(Ack::Early)]);
    let retention = prop_oneof![
        2 => Just(Retention::default()),
        2 => Just(Retention::For(Duration::from_secs(20))),
        1 => Just(Retention::None),
        1 => Just(Retention::Forever),
    ];
    let delay = prop_oneof![4 => Just(Duration::ZERO), 1 => duration()];
    let run_at = prop_oneof![6 => Just(None), 1 => (-100_000..100_000i64).prop_map(Some)];
    let expires = prop_oneof![3 => Just(None), 1 => duration().prop_map(Some)];
    let hold = (prop::bool::weighted(0.1), prop::bool::weighted(0.15)).prop_map(|(blocked, limited)| Hold { blocked, limited });
    (place, limits, (retention, delay, run_at, expires, any::<bool>(), hold)).prop_map(
        |((kind, queue, priority), (max_attempts, max_crashes, ack), (retention, delay, run_at, expires, tagged, hold))| Spec {
            kind,
            queue,
            priority,
            max_attempts,
            max_crashes,
            ack,
            retention,
            delay,
            run_at,
            expires,
            tagged,
            hold,
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    let delay = || prop_oneof![Just(Duration::ZERO), duration()];
    let ending = prop_oneof![
        5 => Just(Ending::Succeeded),
        1 => Just(Ending::Failed),
        4 => delay().prop_map(|delay| Ending::Retry { delay }),
        2 => delay().prop_map(|delay| Ending::Snooze { delay }),
        2 => Just(Ending::Released),
        1 => Just(Ending::Cancelled),
    ];
    let ran_for = prop_oneof![Just(Duration::ZERO), duration()];
    let children = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(spec(), 1..3)];
    let refused = prop::option::weighted(0.2, any::<usize>());
    (any::<usize>(), prop::bool::weighted(0.1), ending, ran_for, any::<bool>(), children, refused).prop_map(
        |(lease, stale, ending, ran_for, says, children, refused)| End { lease, stale, ending, ran_for, says, children, refused },
    )
}

/// Short enough for a lease to hold, long enough to lose it, and long enough for the retention to be over. Odd, so that
/// no two of them meet on a millisecond where it is nobody's business what comes first.
pub(super) fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        20 => (1..2_000u64).prop_map(|ms| Duration::from_millis(ms * 2 + 1)),
        2 => Just(LEASE),
        1 => Just(Duration::from_millis(3_700_001)),
        1 => Just(Duration::from_millis(8 * 86_400_000 + 1)),
    ]
}
