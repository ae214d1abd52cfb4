//! Random workflows on a store, with failures, cancellations, retries, deletions, crashes and lost answers, and a judge who knows nothing of
//! how the store does it.

mod dice;
mod draw;
mod judge;
mod run;

use std::sync::Arc;

use gristmill_core::{Env, Store, Timestamp};

use crate::Subject;
pub(crate) use dice::Dice;
use run::Run;

/// So many workflows share a store, one after the other, before there is a fresh one.
const PER_STORE: u64 = 25;

/// How many graphs a test of a store draws: what the environment says by `GRISTMILL_TEST_GRAPHS`, else so many.
pub fn graphs_asked_for(otherwise: u64) -> u64 {
    std::env::var("GRISTMILL_TEST_GRAPHS").ok().and_then(|asked| asked.parse().ok()).unwrap_or(otherwise)
}

/// Draws `graphs` random workflows by two ways of drawing, runs each with whatever can happen to it, and holds what the store says of it
/// against a judge who has seen only the graph and the states of tasks: no member goes before the steps that its own waits for, each step
/// ends once and as its members did, what follows goes once, handlers and compensation run when they should, and in the end nothing is
/// left over.
///
/// Every run takes the same workflows, so that a failure can be repeated; the message has its number. It blocks, and brings its own runtime:
/// call it from a plain `#[test]`.
///
/// ```
/// use gristmill_conformance::{MemoryStore, check_graphs};
///
/// check_graphs(20, async |env| MemoryStore::new(env));
/// ```
///
/// # Panics
/// If the store and the judge disagree. The message has all that was done.
pub fn check_graphs(graphs: u64, subject: impl Subject) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the test");
    runtime.block_on(async {
        let mut first = 0;
        while first < graphs {
            let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), first);
            let mut store: Arc<dyn Store> = subject.fresh(env.clone()).await;
            for number in first..graphs.min(first + PER_STORE) {
                let mut run = Run::new(&subject, store, env.clone(), time.clone(), Dice::new(number)).await;
                if let Err(problem) = run.play().await {
                    panic!("graph {number}: {problem}\n{}", run.story());
                }
                store = run.into_store();
            }
            first += PER_STORE;
        }
    });
}
