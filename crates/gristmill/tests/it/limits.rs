//! How many tasks with one key run at once, from the declaration to the worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gristmill::options::{Concurrency, Policy};
use gristmill::record::{Filter, State};
use gristmill::{App, Client, Context, Error, Result, task};
use serde_json::json;

use crate::support::in_memory;

/// How many run of each key, and the most that ever did.
type Running = Arc<Mutex<BTreeMap<u64, (usize, usize)>>>;

#[task(name = "provision", concurrency = limit(2, key = "settings:{settings}"), max_attempts = 2, backoff = fixed("1ms"))]
async fn provision(cx: &Context<Running>, settings: u64, fails: bool) -> Result<()> {
    let begin = |running: &mut BTreeMap<u64, (usize, usize)>| {
        let (now, most) = running.entry(settings).or_default();
        *now += 1;
        *most = (*most).max(*now);
    };
    begin(&mut cx.state.lock().unwrap());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    if let Some((now, _)) = cx.state.lock().unwrap().get_mut(&settings) {
        *now -= 1;
    }
    if fails { Err(Error::retry("it is full")) } else { Ok(()) }
}

#[task(name = "apply", sequence = "account:{account.id}")]
async fn apply(account: serde_json::Value, order: u64) -> Result<u64> {
    let _ = account;
    Ok(order)
}

fn app(running: Running) -> App<Running> {
    App::new(running).register::<Provision>().register::<Apply>()
}

#[tokio::test]
async fn never_do_more_run_than_there_are_slots_and_all_run() {
    let running = Running::default();
    let client = in_memory(app(running.clone())).await;
    for n in 0..60 {
        client.enqueue(Provision { settings: n % 3, fails: n % 7 == 0 }).await.unwrap();
    }
    let ended = client.worker().queue("default", 20).drain(true).start().await.unwrap().ended().await;
    assert_eq!((ended.succeeded, ended.failed), (51, 9));
    let most: Vec<usize> = running.lock().unwrap().values().map(|(_, most)| *most).collect();
    assert_eq!(most, [2, 2, 2], "all slots were used, and no more");
    assert!(client.limits().list("", None).await.unwrap().is_empty(), "nothing is held any more");
}

async fn states(client: &Client) -> Vec<State> {
    let mut tasks = client.tasks().list(&Filter::default(), None, 100).await.unwrap().items;
    tasks.sort_by_key(|task| task.id);
    tasks.iter().map(|task| task.state).collect()
}

#[tokio::test]
async fn one_enqueue_may_say_otherwise() {
    let client = in_memory(app(Running::default())).await;
    let of = |limit| Concurrency::of("other:{settings}".parse().unwrap(), limit);
    for _ in 0..2 {
        client.enqueue(Provision { settings: 7, fails: false }).concurrency(of(1)).await.unwrap();
    }
    client.enqueue(Provision { settings: 7, fails: false }).await.unwrap();
    assert_eq!(states(&client).await, [State::Ready, State::Waiting, State::Ready]);
    let keys: Vec<_> = client.limits().list("", None).await.unwrap().into_iter().map(|limit| limit.key).collect();
    assert_eq!(keys, ["other:7", "settings:7"]);
}

#[tokio::test]
async fn a_sequence_goes_by_a_part_of_an_argument() {
    let client = in_memory(app(Running::default())).await;
    for (account, order) in [(1, 1), (1, 2), (2, 1)] {
        client.enqueue(Apply { account: json!({ "id": account }), order }).await.unwrap();
    }
    assert_eq!(states(&client).await, [State::Ready, State::Waiting, State::Ready]);
}

#[tokio::test]
async fn what_no_task_could_need_is_refused_and_nothing_is_kept() {
    let client = in_memory(app(Running::default())).await;
    let refused = client.enqueue(Apply { account: json!({}), order: 1 }).await.unwrap_err().to_string();
    assert!(refused.contains("takes `account.id`, which is not there"), "{refused}");
    let rule = Concurrency { cost: serde_json::from_value(json!("{settings}")).unwrap(), ..Concurrency::of_type(4) };
    let refused = client.enqueue(Provision { settings: 5, fails: false }).concurrency(rule).await.unwrap_err().to_string();
    assert!(refused.contains("concurrency cost: is 5, and the limit is 4: such a task could never start"), "{refused}");
    let refused = client.enqueue_named("apply", json!({ "account": { "id": [1] }, "order": 1 })).await.unwrap_err().to_string();
    assert!(refused.contains("a list or an object"), "{refused}");
    assert!(states(&client).await.is_empty());
    for (key, limit, says) in [("", 1, "key"), ("k", 100_001, "limit: is from 0 to 100000")] {
        let refused = client.limits().set(key, limit).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_limit_that_takes_what_the_task_has_not_is_told_at_the_start() {
    let rules = vec![Concurrency::of("tenant:{tenant.id}".parse().unwrap(), 4)];
    let policy = Policy { concurrency: rules, ..Policy::default() };
    let mistake = App::new(Running::default()).register::<Provision>().options("provision", policy);
    let mistake = mistake.mistake().expect("it is wrong").to_string();
    assert!(
        mistake.contains("its limit or its own key takes the argument `tenant.id`, which it has not; it has settings, fails"),
        "{mistake}"
    );
}

#[tokio::test]
async fn who_waits_is_told_for_what() {
    let client = in_memory(app(Running::default())).await;
    let mut last = None;
    for _ in 0..4 {
        last = Some(client.enqueue(Provision { settings: 7, fails: false }).await.unwrap().id());
    }
    let why = client.tasks().why(last.unwrap()).await.unwrap().unwrap();
    let told = why.reasons[0].to_string();
    assert!(
        told.starts_with("it waits for a slot of the key `settings:7`, of which 2 of 2 are taken; 1 stand before it; held by "),
        "{told}"
    );
    client.limits().set("settings:7", 4).await.unwrap();
    assert_eq!(states(&client).await, [State::Ready; 4]);
}
