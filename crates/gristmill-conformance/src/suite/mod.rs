//! What a store promises, as small named checks.
//!
//! Run all of them with [`exercise`], or each as a test of its own with [`checks`]. A check works on a fresh store and in
//! virtual time; it fails by panicking with its name, and none takes longer than its deadline.

pub mod aging;
pub mod at_most_once;
pub mod by_hand;
pub mod cancel;
pub mod children;
pub mod claim;
pub mod clock;
pub mod concurrency;
pub mod drain;
pub mod durability;
pub mod durable;
pub mod enqueue;
pub mod excess;
pub mod expiry;
pub mod fair;
pub mod lease;
pub mod limits;
pub mod listing;
pub mod locks;
pub mod moves;
pub mod notes;
pub mod operators;
pub mod pause;
pub mod pending;
pub mod places;
pub mod races;
pub mod rates;
pub mod reruns;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod schedules;
pub mod settle;
pub mod stands_still;
pub mod ticks;
pub mod unique;
pub mod unknown_types;
pub mod wait;
pub mod workflows;

mod bench;
pub(crate) mod catch;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use bench::Bench;
pub(crate) use bench::{KIND, QUEUE};

use crate::Subject;

/// A check that takes longer has failed: a store that hangs is named instead of hanging its tests.
pub(crate) const CHECK_DEADLINE: Duration = Duration::from_secs(60);

/// One promise of a store, and the function that finds out whether it is kept.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its concept and function: `lease::a_stale_lease_changes_nothing`.
    pub name: &'static str,
    run: Run,
}

type Run = for<'a> fn(Bench<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Check {
    /// Runs it on a fresh store.
    ///
    /// # Panics
    /// If the promise is not kept; the message begins with the name of the check.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the check and its store.
    pub async fn run(&self, subject: &dyn Subject) {
        if let Err(failure) = self.outcome(subject).await {
            panic!("{}: {failure}", self.name);
        }
    }

    async fn outcome(&self, subject: &dyn Subject) -> Result<(), String> {
        let check = async { (self.run)(Bench::new(subject).await).await };
        match tokio::time::timeout(CHECK_DEADLINE, catch::panics(Box::pin(check))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("was not done after {CHECK_DEADLINE:?}")),
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Lists checks of the module it stands in.
macro_rules! list {
    ($($check:ident),* $(,)?) => {
        /// The checks of this module.
        pub const CHECKS: &[$crate::suite::Check] = &[$($crate::suite::Check::new(
            concat!(module_path!(), "::", stringify!($check)),
            |bench| Box::pin($check(bench)),
        )),*];
    };
}
use list;

impl Check {
    const fn new(path: &'static str, run: Run) -> Self {
        // `gristmill_conformance::suite::` says nothing to whoever reads a failure.
        let name = path.split_at(concat!(module_path!(), "::").len()).1;
        Self { name, run }
    }
}

/// Every check, by concept.
pub fn checks() -> impl Iterator<Item = Check> {
    [
        enqueue::CHECKS,
        claim::CHECKS,
        settle::CHECKS,
        cancel::CHECKS,
        retry::CHECKS,
        lease::CHECKS,
        clock::CHECKS,
        by_hand::CHECKS,
        at_most_once::CHECKS,
        schedule::CHECKS,
        expiry::CHECKS,
        retention::CHECKS,
        pause::CHECKS,
        aging::CHECKS,
        moves::CHECKS,
        unknown_types::CHECKS,
        pending::CHECKS,
        places::CHECKS,
        concurrency::CHECKS,
        rates::CHECKS,
        excess::CHECKS,
        fair::CHECKS,
        unique::CHECKS,
        notes::CHECKS,
        children::CHECKS,
        listing::CHECKS,
        limits::CHECKS,
        operators::CHECKS,
        wait::CHECKS,
        drain::CHECKS,
        durability::CHECKS,
        races::CHECKS,
        schedules::CHECKS,
        ticks::CHECKS,
        workflows::CHECKS,
        reruns::CHECKS,
        durable::CHECKS,
        locks::CHECKS,
        stands_still::CHECKS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs every check, each on a fresh store.
///
/// # Panics
/// If any promise is not kept; the message has a line for each check that failed.
///
/// # Cancel safety
/// Dropping the future abandons the check that runs, and its store.
pub async fn exercise(subject: impl Subject) {
    let mut broken = Vec::new();
    for check in checks() {
        if let Err(failure) = check.outcome(&subject).await {
            broken.push(format!("{}: {failure}", check.name));
        }
    }
    assert!(broken.is_empty(), "{} of {} checks failed:\n{}", broken.len(), checks().count(), broken.join("\n"));
}
