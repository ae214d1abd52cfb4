use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gristmill_conformance::source::{Outlet, SourceSubject, checks};
use gristmill_conformance::{MemoryBroker, MemoryStore, exercise_source};
use gristmill_core::{
    Claim, Claimed, Ending, Env, Pulse, Settled, Settlement, Source, State, StoreError, Wake, WorkerId, WorkerSpec, async_trait,
};

struct Brokers;

#[async_trait]
impl SourceSubject for Brokers {
    async fn open(&self, env: Env) -> Outlet {
        let broker = MemoryBroker::new(env);
        Outlet::new(broker.clone(), move |tasks| {
            tasks.into_iter().for_each(|task| broker.publish(task));
            Box::pin(std::future::ready(Ok(())))
        })
    }
}

#[tokio::test]
async fn the_broker_in_memory_keeps_every_promise_of_a_source() {
    exercise_source(Brokers).await;
}

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise_of_a_source() {
    exercise_source(async |env| MemoryStore::new(env)).await;
}

/// A check that was written and is not in its list would never run.
#[test]
fn every_check_is_listed_once() {
    let listed: Vec<_> = checks().map(|check| check.name.to_owned()).collect();
    let mut written = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let functions = text.lines().filter(|line| line.ends_with("(bench: SourceBench) {"));
        let names = functions.filter_map(|line| line.strip_prefix("async fn ")?.split('(').next());
        written.extend(names.map(|name| format!("{module}::{name}")));
    }
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), written);
    assert_eq!(listed.len(), written.len(), "a check is listed twice");
}

/// A mistake that a source may have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    RevivesDeadWorkers,
    ForgetsDelays,
    AcknowledgesNothing,
    DropsChildren,
    KeepsChildrenOfFailures,
    TakesMoreThanWanted,
    TakesAnewAfterALostAnswer,
    KeepsWhatIsLeft,
    BelievesEveryLease,
}

struct Broken {
    inner: Arc<MemoryBroker>,
    fault: Fault,
}

#[async_trait]
impl Source for Broken {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        if self.fault == Fault::KeepsWhatIsLeft { Ok(0) } else { self.inner.leave(worker).await }
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        let pulse = self.inner.heartbeat(worker, lease).await?;
        Ok(if self.fault == Fault::RevivesDeadWorkers { Pulse { alive: true, ..pulse } } else { pulse })
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let mut claim = claim.clone();
        claim.again &= self.fault != Fault::TakesAnewAfterALostAnswer;
        if self.fault == Fault::TakesMoreThanWanted {
            claim.wanted.iter_mut().for_each(|wanted| wanted.limit += 1);
        }
        self.inner.claim(&claim).await
    }

    async fn settle(&self, mut settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let done = Settled::Done(State::Succeeded);
        if self.fault == Fault::AcknowledgesNothing {
            return Ok(vec![done; settlements.len()]);
        }
        for settlement in &mut settlements {
            match (&mut settlement.ending, self.fault) {
                (Ending::Retry { delay }, Fault::ForgetsDelays) => *delay = Duration::ZERO,
                (_, Fault::DropsChildren) => settlement.children = [].into(),
                (Ending::Retry { .. }, Fault::KeepsChildrenOfFailures) => {
                    settlement.children.iter().cloned().for_each(|child| self.inner.publish(child));
                    settlement.children = [].into();
                }
                _ => {}
            }
        }
        let settled = self.inner.settle(settlements).await?;
        let believe = |settled| if settled == Settled::LeaseLost { done } else { settled };
        Ok(if self.fault == Fault::BelievesEveryLease { settled.into_iter().map(believe).collect() } else { settled })
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        self.inner.wait(wake, timeout).await;
    }
}

struct BrokenBrokers(Fault);

#[async_trait]
impl SourceSubject for BrokenBrokers {
    async fn open(&self, env: Env) -> Outlet {
        let inner = MemoryBroker::new(env);
        let broken = Arc::new(Broken { inner: inner.clone(), fault: self.0 });
        Outlet::new(broken, move |tasks| {
            tasks.into_iter().for_each(|task| inner.publish(task));
            Box::pin(std::future::ready(Ok(())))
        })
    }
}

#[tokio::test]
async fn the_checks_find_what_is_broken() {
    for (fault, check) in [
        (Fault::RevivesDeadWorkers, "leases::a_dead_worker_is_told_so_and_stays_dead"),
        (Fault::ForgetsDelays, "endings::a_retry_comes_back_after_its_delay"),
        (Fault::AcknowledgesNothing, "endings::what_has_ended_is_not_delivered_again"),
        (Fault::DropsChildren, "endings::only_the_children_of_a_success_are_delivered"),
        (Fault::KeepsChildrenOfFailures, "endings::only_the_children_of_a_success_are_delivered"),
        (Fault::TakesMoreThanWanted, "delivery::a_claim_takes_no_more_than_it_wants"),
        (Fault::TakesAnewAfterALostAnswer, "delivery::the_answer_of_a_claim_that_got_lost_is_given_again"),
        (Fault::KeepsWhatIsLeft, "leases::a_worker_that_leaves_gives_back_what_it_holds"),
        (Fault::BelievesEveryLease, "leases::a_stale_lease_changes_nothing"),
    ] {
        let mut checks = tokio::task::JoinSet::new();
        checks.spawn(exercise_source(BrokenBrokers(fault)));
        let failed = checks.join_next().await.unwrap().expect_err("it is broken").into_panic();
        let text = failed.downcast_ref::<String>().unwrap();
        assert!(text.contains(check), "{fault:?}: {text}");
    }
}
