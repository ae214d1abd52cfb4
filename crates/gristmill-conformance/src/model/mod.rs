//! Random operations on a store and on the model, and every answer compared.

mod call;
mod invariants;
mod look;
mod op;
mod plans;
mod world;

use std::fmt;
use std::sync::Arc;

use gristmill_core::{Env, Store, Timestamp, VirtualTime};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::{MemoryStore, Subject};
use call::{Answer, Call, Side};
use invariants::Invariants;
use look::Seen;
use op::{Op, Step};
use plans::{PlanOp, Plans};
use world::World;

/// How many operations the longest sequence has.
const STEPS_MAX: usize = 60;
/// How many shorter sequences are tried to find a short one that fails.
const SHRINK_ITERS_MAX: u32 = 1_000;
/// Everything is looked at after so many operations, and at the end.
const LOOK_EVERY: usize = 10;

/// Drives `cases` random sequences of operations on a store and on [`MemoryStore`], and compares every answer and,
/// periodically, all that can be read.
///
/// The sequences hold ordinary work by several workers, and what goes wrong in a bad week: workers that crash, leases that
/// were lost, answers that were lost and operations that were repeated, a clock that is set forward and back, by which workers look dead that live, a store whose process died. What must hold
/// whatever the answers are is checked besides: a settled task is not claimed again, a task has one live lease, claims are
/// numbered in order, crashes and attempts keep to their limits.
///
/// Every run takes the same sequences, so that a failure can be repeated; more cases see more. Sixty-four take a few
/// seconds on a store on disk. It blocks, and brings its own runtime: call it from a plain `#[test]`.
///
/// ```
/// use gristmill_conformance::{MemoryStore, check_against_model};
///
/// check_against_model(4, async |env| MemoryStore::new(env));
/// ```
///
/// # Panics
/// If an answer differs or an invariant is broken. The message has the shortest sequence that was found to do it, with
/// tasks, workers and fences named `t1`, `w1`, `f1` in the order of their making.
pub fn check_against_model(cases: u32, subject: impl Subject) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: SHRINK_ITERS_MAX, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the test");
    let outcome =
        runner.run(&op::steps(STEPS_MAX), |steps| runtime.block_on(run_case(&subject, steps)).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("the store and the model disagree:\n{reason}"),
        Err(TestError::Abort(reason)) => panic!("the test was given up: {reason}"),
    }
}

/// Both stores, and what is known of them.
struct Case<'a> {
    subject: &'a dyn Subject,
    model: Arc<MemoryStore>,
    store: Arc<dyn Store>,
    env: Env,
    time: VirtualTime,
    world: World,
    invariants: Invariants,
    /// What was done so far, for whoever has to read it.
    log: Vec<String>,
}

async fn run_case(subject: &dyn Subject, steps: Vec<Option<Step>>) -> Result<(), String> {
    let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let mut case = Case {
        subject,
        model: MemoryStore::new(env.clone()),
        store: subject.fresh(env.clone()).await,
        env,
        time,
        world: World::new(),
        invariants: Invariants::default(),
        log: Vec::new(),
    };
    let outcome = case.run(steps.iter().flatten()).await;
    outcome.map_err(|problem| case.world.shorten(&format!("{}\n{problem}", case.log.join("\n"))))
}

impl Case<'_> {
    async fn run(&mut self, steps: impl Iterator<Item = &Step>) -> Result<(), String> {
        for (n, step) in steps.enumerate() {
            self.step(step).await?;
            if (n + 1) % LOOK_EVERY == 0 {
                self.look(false).await?;
            }
        }
        self.look(true).await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.op {
            Op::Advance(by) => {
                self.log.push(format!("advance the clock by {by:?}"));
                self.time.advance(*by);
                return Ok(());
            }
            Op::SetBack(by) => {
                self.log.push(format!("set the clock back by {by:?}"));
                self.time.set(self.env.now().saturating_sub(*by));
                // Workers may live again whose task types were put aside; a store finds that out in a sweep.
                return self.sweep().await;
            }
            Op::SetForward(by) => {
                self.log.push(format!("set the clock forward by {by:?}"));
                self.time.set(self.env.now().saturating_add(*by));
                return Ok(());
            }
            Op::Reopen => {
                self.log.push("the process of the store dies; reopen it".to_owned());
                // The subject gets the only handle, so that the old store can be gone before the new one is there.
                let dead = std::mem::replace(&mut self.store, self.model.clone());
                let old = Arc::downgrade(&dead);
                self.store = self.subject.reopen(dead, self.env.clone()).await;
                // One that has nothing but its process was not closed, and has forgotten nothing.
                if old.upgrade().is_none() {
                    self.model.reopened();
                }
                return Ok(());
            }
            Op::SweepInSteps(limit) => return self.sweep_in_steps(*limit).await,
            Op::PruneInSteps(limit) => return self.prune_in_steps(*limit).await,
            Op::Plan(op) => return self.plan(op, step.lost).await,
            Op::Look => return self.look(true).await,
            _ => {}
        }
        let Some(mut call) = self.world.call(&step.op, self.env.now()) else { return Ok(()) };
        if step.lost {
            self.log.push("the next answer is lost, and the operation repeated:".to_owned());
            self.call(&call, true).await?;
            call = call.again();
        }
        self.call(&call, false).await?;
        if matches!(call, Call::Enter(_) | Call::Heartbeat(_)) {
            // As a worker does that starts; only then does a store have to know what is served. A heartbeat may be of one that
            // did not live by the clock, and whose tasks were put aside.
            self.sweep().await?;
        }
        Ok(())
    }

    /// Does the same on both sides and compares what they say. A lost answer is not compared, and nobody learns from it.
    async fn call(&mut self, call: &Call, lost: bool) -> Result<(), String> {
        let expected = call.perform(&*self.model, Side::Model).await;
        let answer = call.perform(&*self.store, Side::Store).await;
        self.log.push(format!("{call:?}\n    => {}", if lost { "(lost)".to_owned() } else { answer.to_string() }));
        self.invariants.observe(call, &answer, self.env.now())?;
        if lost {
            return Ok(());
        }
        differ("answer", &expected.to_string(), &answer.to_string())?;
        self.world.learn(call, &expected, &answer);
        Ok(())
    }

    /// An operation about schedules, twice if its answer is lost.
    async fn plan(&mut self, op: &PlanOp, lost: bool) -> Result<(), String> {
        let call = self.world.plan(op, self.env.now());
        for lost in [true, false].into_iter().skip(usize::from(!lost)) {
            let expected = call.perform(&*self.model).await;
            let answer = call.perform(&*self.store).await;
            self.log.push(format!("{call:?}\n    => {}", if lost { "(lost)" } else { &answer }));
            if !lost {
                differ("answer", &expected, &answer)?;
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), String> {
        self.call(&Call::Sweep(usize::MAX >> 1), false).await
    }

    /// Which task a bounded sweep takes first is the store's business; what all steps together have done is not.
    async fn sweep_in_steps(&mut self, limit: usize) -> Result<(), String> {
        self.log.push(format!("sweep with a limit of {limit} until nothing is left"));
        let mut done = [(0, 0); 2];
        for (side, done) in [Side::Model, Side::Store].into_iter().zip(&mut done) {
            loop {
                let answer = Call::Sweep(limit).perform(self.side(side), side).await;
                let Answer::Swept(swept) = answer else { return Err(format!("a sweep was answered with {answer}")) };
                if swept.promoted + swept.rescued + swept.expired + swept.unparked == 0 {
                    break;
                }
                *done = (done.0 + swept.rescued, done.1 + swept.expired);
            }
        }
        self.invariants.swept(self.env.now());
        differ("number of rescued and expired tasks", &done[0], &done[1])
    }

    async fn prune_in_steps(&mut self, limit: usize) -> Result<(), String> {
        self.log.push(format!("prune with a limit of {limit} until nothing is left"));
        let mut pruned = [0, 0];
        for (side, pruned) in [Side::Model, Side::Store].into_iter().zip(&mut pruned) {
            loop {
                let n = self.side(side).prune(limit).await.map_err(|error| format!("prune: {error:?}"))?;
                if n > limit {
                    return Err(format!("a prune of at most {limit} tasks took {n}"));
                }
                if n == 0 {
                    break;
                }
                *pruned += n;
            }
        }
        differ("number of pruned tasks", &pruned[0], &pruned[1])
    }

    /// Compares all that can be read. After a sweep nothing is left that a store may still be about to find out.
    async fn look(&mut self, swept: bool) -> Result<(), String> {
        if swept {
            self.sweep().await?;
        }
        let ids = self.world.ids();
        let model = Seen::of(&*self.model, &ids, swept).await?;
        let store = Seen::of(&*self.store, &ids, swept).await?;
        for record in store.tasks.iter().filter_map(|(_, record)| record.as_ref()) {
            Invariants::check_record(record)?;
        }
        Seen::compare(&model, &store)?;
        differ("schedules", &Plans::of(&*self.model, &ids).await?, &Plans::of(&*self.store, &ids).await?)
    }

    fn side(&self, side: Side) -> &dyn Store {
        match side {
            Side::Model => &*self.model,
            Side::Store => &*self.store,
        }
    }
}

fn differ<T: PartialEq + fmt::Debug + ?Sized>(what: &str, model: &T, store: &T) -> Result<(), String> {
    if model == store {
        return Ok(());
    }
    Err(format!("{what}:\n  the model says {model:#?}\n  the store says {store:#?}"))
}
