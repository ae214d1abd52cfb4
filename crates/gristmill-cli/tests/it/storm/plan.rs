//! Which fault comes when, from a number that is printed, so that a storm can be had again.

use std::hash::{BuildHasher, Hasher, RandomState};

/// What is done to those who work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A worker is killed, and another one takes its place.
    KillWorker,
    /// A worker is paused for longer than its lease, and goes on.
    PauseWorker,
    /// A worker is asked to stop, and another one takes its place.
    StopWorker,
    KillBeat,
    PauseBeat,
    /// All connections to the server break at once.
    CutConnections,
    /// The server has committed, and its answer is lost.
    LoseCommits,
    /// The same with statements that commit by themselves.
    LoseReplies,
    /// An open transaction holds the cancel of a task that runs.
    OpenCancel,
    /// An open transaction holds the cancel of a task that its schedule is about to replace.
    OpenCancelOfTick,
    /// An open transaction holds the name of a queue that is new.
    OpenName,
    /// An open transaction holds the id of a task that another caller enqueues, too.
    OpenId,
    /// An open transaction reads.
    OpenRead,
    /// Another program has the file's write lock for a while.
    HoldLock,
    /// The clock goes an hour ahead, and comes back.
    TripClock,
}

/// What every store has to bear.
pub(crate) const EVERYWHERE: &[Fault] =
    &[Fault::KillWorker, Fault::PauseWorker, Fault::StopWorker, Fault::KillBeat, Fault::PauseBeat, Fault::OpenRead];
pub(crate) const ON_SQLITE: &[Fault] = &[Fault::HoldLock];
/// Where all processes' clock is ours.
pub(crate) const WITH_CLOCK: &[Fault] = &[Fault::HoldLock, Fault::TripClock];
pub(crate) const ON_POSTGRES: &[Fault] = &[
    Fault::CutConnections,
    Fault::LoseCommits,
    Fault::LoseReplies,
    Fault::OpenCancel,
    Fault::OpenCancelOfTick,
    Fault::OpenName,
    Fault::OpenId,
];

/// Numbers that follow from the first one.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From `GRISTMILL_STORM_SEED`, or new ones.
    pub(crate) fn new() -> Self {
        let given = std::env::var("GRISTMILL_STORM_SEED").ok().and_then(|text| text.parse().ok());
        Self(given.unwrap_or_else(|| RandomState::new().build_hasher().finish()))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0
    }

    /// Others, which do not depend on how often these are thrown.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Faults in no order, but each as often as the others, so that a short storm has them all.
pub(crate) struct Plan {
    faults: Vec<Fault>,
    deck: Vec<Fault>,
    dice: Dice,
}

impl Plan {
    pub(crate) fn new(faults: &[&[Fault]], dice: Dice) -> Self {
        Self { faults: faults.concat(), deck: Vec::new(), dice }
    }

    pub(crate) fn next(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.faults);
        }
        self.deck.swap_remove(self.dice.below(self.deck.len()))
    }

    /// How many of the faults have come less often than others.
    pub(crate) fn left(&self) -> usize {
        self.deck.len()
    }
}
