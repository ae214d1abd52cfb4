//! When a call begins, and with what.

use super::*;

use gristmill::testing::MemoryBroker;

use crate::recorded::Recorded;
use crate::support::in_memory;

fn publish<T: Task>(broker: &MemoryBroker, env: &Env, task: &T) {
    let args = serde_json::to_string(task).unwrap();
    broker.publish(NewTask::of(&T::kind(), args, Overrides::default(), env.task_id(), &Limits::default()).unwrap());
}

fn entry(how: impl ToString) -> Write {
    Write { how: how.to_string() }
}

/// The sizes of the calls, in the order in which they began.
fn sizes(probe: &Probe) -> Vec<usize> {
    calls(probe).iter().map(|call| call.split(' ').count()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_begins_when_it_is_full_or_its_first_task_has_waited() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    (0..23).for_each(|n| publish(&broker, &env, &entry(n)));
    let began = tokio::time::Instant::now();
    let worker = app(&probe).worker_on(broker.clone()).unwrap().queue("default", 2).start().await.unwrap();
    within(probe.until(|_| sizes(&probe).iter().sum::<usize>() == 20)).await;
    assert!(began.elapsed() < Duration::from_millis(100), "they wait for nothing");
    within(probe.until(|_| sizes(&probe).len() == 3)).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!(sizes(&probe), [10, 10, 3]);
    let report = within(worker.stop()).await;
    assert_eq!((report.claimed, report.succeeded, report.released), (23, 23, 0));
}

#[tokio::test(start_paused = true)]
async fn many_are_claimed_for_a_single_slot_in_few_claims() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    (0..2_000).for_each(|n| publish(&broker, &env, &entry(n)));
    let source = Recorded::new(broker.clone());
    let mut policy = Write::policy();
    policy.batch.as_mut().unwrap().size = 500;
    let app = app(&probe).options("log.write", policy);
    let worker = app.worker_on(source.clone()).unwrap().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.succeeded, 2_000);
    let sizes = sizes(&probe);
    assert!(sizes.iter().all(|size| *size <= 500) && sizes.len() <= 6, "{sizes:?}");
    let claims = source.claims();
    assert!(claims.len() < 40, "{claims:?}");
    assert!(claims.iter().flatten().all(|(_, limit)| *limit <= 1_000), "{claims:?}");
}

/// Tasks that run alone are not hoarded for the sake of those that are gathered.
#[tokio::test(start_paused = true)]
async fn what_runs_alone_is_claimed_as_ever() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let source = Recorded::new(broker.clone());
    (0..50).for_each(|n| publish(&broker, &env, &Plain { n }));
    let worker = app(&probe).worker_on(source.clone()).unwrap().queue("default", 2).prefetch(0).start().await.unwrap();
    within(probe.until(|seen| seen.len() == 50)).await;
    assert!(source.claims().iter().flatten().all(|(_, limit)| *limit <= 2), "{:?}", source.claims());
    within(worker.stop()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_has_one_key_and_a_task_without_it_fails_alone() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let mut all = Vec::new();
    for (n, tenant) in (0..).zip([Some("a"), Some("b"), None, Some("a"), Some("b"), Some("a")]) {
        all.push(client.enqueue(OfTenant { tenant: tenant.map(str::to_owned), n }).await.unwrap());
    }
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let mut ends = Vec::new();
    for handle in &all {
        ends.push(end(handle).await);
    }
    let mut seen = probe.seen();
    seen.sort();
    assert_eq!(seen, ["t:a: a a a", "t:b: b b"]);
    let (state, attempts, why) = ends.remove(2);
    assert_eq!((state, attempts), (State::Failed, 1));
    assert!(why.contains("batch key") && why.contains("takes `tenant`, which is null"), "{why}");
    assert!(ends.iter().all(|(state, _, _)| *state == State::Succeeded), "{ends:?}");
    within(worker.stop()).await;
}

fn patient() -> gristmill::options::Policy {
    let mut policy = Write::policy();
    policy.batch.as_mut().unwrap().wait = Duration::from_secs(60);
    policy
}

#[tokio::test]
async fn a_worker_that_stops_begins_what_it_has_gathered_if_a_slot_is_free() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).options("log.write", patient())).await;
    let all = write(&client, &["a", "b"]).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    running(&client, all[1].id()).await;
    let report = within(worker.stop()).await;
    assert_eq!(calls(&probe), ["a b"]);
    assert_eq!((report.succeeded, report.released), (2, 0), "{report}");
}

#[tokio::test]
async fn and_gives_it_back_if_none_is() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).options("log.write", patient())).await;
    probe.close();
    let plain = client.enqueue(Plain { n: 1 }).await.unwrap();
    let all = write(&client, &["a", "b"]).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    probe.until_seen("plain 1").await;
    // It takes the other slot.
    client.enqueue(Plain { n: 2 }).await.unwrap();
    probe.until_seen("plain 2").await;
    running(&client, all[1].id()).await;
    let stopper = worker.stopper();
    stopper.graceful();
    within(async {
        while client.tasks().get(all[1].id()).await.unwrap().unwrap().state != State::Ready {
            tokio::task::yield_now().await;
        }
    })
    .await;
    probe.open();
    let report = within(worker.ended()).await;
    assert_eq!((report.succeeded, report.released), (2, 2), "{report}");
    assert!(calls(&probe).is_empty());
    assert_eq!(plain.status().await.unwrap().unwrap().state, State::Succeeded);
    let record = all[0].status().await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt), (State::Ready, 0), "it cost no attempt");
}

/// Waits until a worker has it.
async fn running(client: &Client, id: gristmill::TaskId) {
    within(async {
        while client.tasks().get(id).await.unwrap().unwrap().state != State::Running {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_is_cancelled_while_it_is_gathered_is_left_out() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).options("log.write", patient())).await;
    let all = write(&client, &["a", "b", "c"]).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    running(&client, all[2].id()).await;
    all[1].cancel().await.unwrap();
    assert_eq!(end(&all[1]).await.0, State::Cancelled);
    within(worker.stop()).await;
    assert_eq!(calls(&probe), ["a c"]);
}

/// A queue that is withdrawn gives back what was gathered of it.
#[tokio::test]
async fn a_queue_that_is_withdrawn_gathers_no_more() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).options("log.write", patient())).await;
    let all = write(&client, &["a", "b"]).await;
    let worker = client.worker().queue("default", 1).queue("other", 1).start().await.unwrap();
    running(&client, all[1].id()).await;
    within(worker.queues().withdraw("default")).await.unwrap();
    within(async {
        while client.tasks().get(all[1].id()).await.unwrap().unwrap().state != State::Ready {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let report = within(worker.stop()).await;
    assert_eq!((report.released, report.succeeded), (2, 0), "{report}");
}

/// Batches that are complete and find no slot go to others after a while.
#[tokio::test(start_paused = true)]
async fn what_finds_no_slot_is_given_back() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    probe.close();
    publish(&broker, &env, &Plain { n: 1 });
    (0..5).for_each(|n| publish(&broker, &env, &entry(n)));
    publish(&broker, &env, &Plain { n: 2 });
    let busy = app(&probe).worker_on(broker.clone()).unwrap().queue("default", 2).start().await.unwrap();
    probe.until_seen("plain 1").await;
    probe.until_seen("plain 2").await;
    let idle = app(&Probe::default()).worker_on(broker.clone()).unwrap().queue("default", 1).start().await.unwrap();
    // Nothing has opened the gate: another has them.
    within(async {
        while broker.len() > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    probe.open();
    within(busy.stop()).await;
    assert!(calls(&probe).is_empty());
    assert_eq!(within(idle.stop()).await.succeeded, 5);
}
