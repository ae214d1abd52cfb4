//! What a source of tasks promises to workers, be it a store or a broker, as small named checks. See [`exercise_source`].

mod bench;
mod delivery;
mod endings;
mod leases;
mod subject;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use bench::SourceBench;
pub(crate) use bench::settle_all;
pub use subject::{Outlet, SourceSubject};

use crate::suite::{CHECK_DEADLINE, catch};

/// One promise of a source, and the function that finds out whether it is kept.
#[derive(Clone, Copy)]
pub struct SourceCheck {
    /// Its concept and function: `leases::a_stale_lease_changes_nothing`.
    pub name: &'static str,
    run: Run,
}

type Run = fn(SourceBench) -> Pin<Box<dyn Future<Output = ()> + Send>>;

impl SourceCheck {
    const fn new(path: &'static str, run: Run) -> Self {
        // What comes before says nothing to whoever reads a failure.
        let name = path.split_at(concat!(module_path!(), "::").len()).1;
        Self { name, run }
    }

    /// Runs it on a fresh source.
    ///
    /// # Panics
    /// If the promise is not kept; the message begins with the name of the check.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the check and its source.
    pub async fn run(&self, subject: &dyn SourceSubject) {
        if let Err(failure) = self.outcome(subject).await {
            panic!("{}: {failure}", self.name);
        }
    }

    async fn outcome(&self, subject: &dyn SourceSubject) -> Result<(), String> {
        let check = async { (self.run)(SourceBench::new(subject).await).await };
        match tokio::time::timeout(CHECK_DEADLINE, catch::panics(Box::pin(check))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("was not done after {CHECK_DEADLINE:?}")),
        }
    }
}

impl fmt::Debug for SourceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceCheck").field(&self.name).finish()
    }
}

/// Lists checks of the module it stands in.
macro_rules! list {
    ($($check:ident),* $(,)?) => {
        pub(super) const CHECKS: &[$crate::source::SourceCheck] = &[$($crate::source::SourceCheck::new(
            concat!(module_path!(), "::", stringify!($check)),
            |bench| Box::pin($check(bench)),
        )),*];
    };
}
use list;

/// Every check of a source, by concept.
pub fn checks() -> impl Iterator<Item = SourceCheck> {
    [delivery::CHECKS, endings::CHECKS, leases::CHECKS].into_iter().flatten().copied()
}

/// Runs every check of a source, each on a fresh one. What a store promises besides is in [`exercise`](crate::exercise).
///
/// ```
/// # #[cfg(feature = "suite")] {
/// use gristmill_conformance::source::{Outlet, SourceSubject};
/// use gristmill_conformance::{MemoryBroker, exercise_source};
/// use gristmill_core::{Env, async_trait};
///
/// struct InProcess;
///
/// #[async_trait]
/// impl SourceSubject for InProcess {
///     async fn open(&self, env: Env) -> Outlet {
///         let broker = MemoryBroker::new(env);
///         Outlet::new(broker.clone(), move |tasks| {
///             tasks.into_iter().for_each(|task| broker.publish(task));
///             Box::pin(std::future::ready(Ok(())))
///         })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// exercise_source(InProcess).await;
/// # });
/// # }
/// ```
///
/// # Panics
/// If any promise is not kept; the message has a line for each check that failed.
///
/// # Cancel safety
/// Dropping the future abandons the check that runs, and its source.
pub async fn exercise_source(subject: impl SourceSubject) {
    let mut broken = Vec::new();
    for check in checks() {
        if let Err(failure) = check.outcome(&subject).await {
            broken.push(format!("{}: {failure}", check.name));
        }
    }
    assert!(broken.is_empty(), "{} of {} checks failed:\n{}", broken.len(), checks().count(), broken.join("\n"));
}
