//! Where tasks go that say nothing themselves: by name, by pattern, by what they are about, by a function, by the environment.

use std::time::Duration;

use gristmill::app::ConnectError;
use gristmill::core::{Env, Source as _, Store as _};
use gristmill::options::{Concurrency, FairBy, Policy};
use gristmill::record::{Filter, State};
use gristmill::routing::{Route, Routed};
use gristmill::testing::{Harness, MemoryStore};
use gristmill::{App, Client, Context, Result, Task, TaskId, Timestamp, task};
use serde_json::json;

use crate::support::{Heard, in_memory};

const MINUTE: Duration = Duration::from_secs(60);
/// Longer than a name may be.
const LONG: &str = match std::str::from_utf8(&[b'x'; 300]) {
    Ok(long) => long,
    Err(_) => "",
};

#[task(name = "app.tasks.notify", timeout = "5s", queue = "own")]
async fn notify(repo: u64, #[task(default)] plan: Option<String>) -> Result<u64> {
    let _ = plan;
    Ok(repo)
}

#[task(name = "app.tasks.sync")]
async fn sync(repo: u64) -> Result<u64> {
    Ok(repo)
}

#[task(name = "parent")]
async fn parent(cx: &Context) -> Result<()> {
    cx.enqueue(Sync { repo: 7 }).await?;
    Ok(())
}

fn app() -> App<()> {
    App::new(()).register::<Notify>().register::<Sync>().register::<Parent>()
}

fn of(plan: Option<&str>) -> Notify {
    Notify { repo: 7, plan: plan.map(str::to_owned) }
}

/// Queue, priority, timeout in milliseconds, as they are kept.
async fn kept(client: &Client, id: TaskId) -> (String, u8, Option<u64>) {
    let record = client.tasks().get(id).await.unwrap().unwrap();
    (record.queue, record.priority, record.meta.timeout_ms)
}

async fn queue(client: &Client, task: impl Task) -> String {
    let id = client.enqueue(task).await.unwrap().id();
    kept(client, id).await.0
}

#[tokio::test]
async fn the_exact_name_comes_first_and_then_the_first_pattern_that_fits() {
    let routes = app()
        .route(Route::new("app.*").queue("broad").priority(7))
        .route(Route::new("*.sync").queue("never"))
        .route(Route::new("app.tasks.sync").queue("exact").timeout(MINUTE));
    let client = in_memory(routes).await;
    let exact = client.enqueue(Sync { repo: 1 }).await.unwrap().id();
    assert_eq!(kept(&client, exact).await, ("exact".to_owned(), 5, Some(60_000)));
    let broad = client.enqueue(of(None)).await.unwrap().id();
    assert_eq!(kept(&client, broad).await, ("broad".to_owned(), 7, None), "its type's timeout is its type's");
    assert_eq!(queue(&client, Parent {}).await, "default", "nothing fits it");
}

#[tokio::test]
async fn what_the_call_says_wins_option_by_option() {
    let client = in_memory(app().route(Route::new("*").queue("routed").priority(2).timeout(MINUTE))).await;
    let id = client.enqueue(of(None)).queue("asked").await.unwrap().id();
    assert_eq!(kept(&client, id).await, ("asked".to_owned(), 2, Some(60_000)));
    let id = client.enqueue(of(None)).priority(9).timeout(Duration::from_secs(1)).await.unwrap().id();
    assert_eq!(kept(&client, id).await, ("routed".to_owned(), 9, Some(1_000)));
}

#[tokio::test]
async fn a_route_may_ask_for_what_the_task_has() {
    let routes = app()
        .route(
            Route::new("*.notify")
                .when("plan", "enterprise")
                .when("headers.tenant", json!(["a", "b"]))
                .queue("{headers.tenant}_{queue}"),
        )
        .route(Route::new("*.notify").when("plan", "team").queue("team_{repo}"))
        .route(Route::new("*.notify").when("plan", LONG).queue("to_{plan}"))
        .route(Route::new("*.notify").queue("{missing}"));
    let client = in_memory(routes).await;
    let id = client.enqueue(of(Some("enterprise"))).header("tenant", "b").await.unwrap().id();
    assert_eq!(kept(&client, id).await.0, "b_own");
    for (plan, tenant, expected) in
        [(Some("enterprise"), "c", "own"), (Some("team"), "a", "team_7"), (Some(LONG), "a", "own"), (None, "a", "own")]
    {
        let id = client.enqueue(of(plan)).header("tenant", tenant).await.unwrap().id();
        assert_eq!(kept(&client, id).await.0, expected, "{plan:?} {tenant}: what it has not is no error");
    }
}

#[tokio::test]
async fn a_function_has_the_last_word_and_can_do_no_harm() {
    let (heard, _guard) = Heard::listen();
    let routes = app().route(Route::new("*.notify").queue("routed")).route_by(|task| match task.arg("plan")?.as_str()? {
        "enterprise" => Some(Routed::default().queue(format!("enterprise_{}", task.queue())).timeout(MINUTE)),
        "panics" => panic!("no such plan"),
        "wrong" => Some(Routed::default().queue("").priority(1)),
        "late" => Some(Routed::default().priority(77)),
        "header" => Some(Routed::default().queue(task.header("user").unwrap_or(task.name()))),
        _ => None,
    });
    let client = in_memory(routes).await;
    for (plan, expected) in [
        ("enterprise", ("enterprise_routed", 5, Some(60_000))),
        ("panics", ("routed", 5, None)),
        ("wrong", ("routed", 5, None)),
        ("late", ("routed", 5, None)),
        ("header", ("app.tasks.notify", 5, None)),
        ("free", ("routed", 5, None)),
    ] {
        let id = client.enqueue(of(Some(plan))).await.unwrap().id();
        let (queue, priority, timeout) = kept(&client, id).await;
        assert_eq!((queue.as_str(), priority, timeout), expected, "{plan}");
    }
    assert_eq!(heard.lines(&["WARN", "function of routes panicked", "no such plan"]).len(), 1);
    assert_eq!(heard.lines(&["WARN", "can't be; it goes as it would without it"]).len(), 2);
}

#[tokio::test]
async fn children_steps_and_calls_by_name_go_by_it_too() {
    let kit = Harness::new(app().route(Route::new("*.sync").queue("routed"))).await.unwrap();
    let client = kit.client();
    let id = client.enqueue(Parent {}).await.unwrap();
    kit.drain().await.unwrap();
    let all = client.tasks().list(&Filter::default(), None, 100).await.unwrap().items;
    let child = all.iter().find(|task| task.kind == "app.tasks.sync").unwrap();
    assert_eq!((child.queue.as_str(), child.meta.parent), ("routed", Some(id.id())));
    let named = client.enqueue_named("app.tasks.sync", json!({ "repo": 1 })).await.unwrap().id();
    assert_eq!(kept(client, named).await.0, "routed");
    let mut w = client.workflow("w");
    w.each("sync", (0..2).map(|repo| Sync { repo }));
    let run = w.start().await.unwrap();
    for member in client.workflows().members(run.id(), "sync", None, 10).await.unwrap() {
        assert_eq!(kept(client, member.task).await.0, "routed");
    }
}

/// For whom no program with these routes enqueues it.
#[tokio::test]
async fn what_holds_of_all_tasks_of_a_type_is_declared_with_it() {
    let routes = app()
        .route(Route::new("*.notify").when("plan", "free").queue("free"))
        .route(Route::new("*.sync").queue("syncs").priority(1).timeout(MINUTE).expires(MINUTE))
        .queue_prefix("test_");
    let store = MemoryStore::new(Env::system());
    let (kinds, used) = (routes.kinds(), routes.used_queues());
    routes.with_store(store.clone()).await.unwrap();
    let declared = store.kinds().await.unwrap();
    let policy = |name: &str| declared.iter().find(|kind| kind.name == name).unwrap().policy.clone().unwrap();
    let sync = policy("app.tasks.sync");
    assert_eq!((sync.queue.as_str(), sync.priority, sync.timeout, sync.expires), ("syncs", 1, Some(MINUTE), Some(MINUTE)));
    assert_eq!(policy("app.tasks.notify").queue, "own", "not each of them is of the plan");
    assert!(kinds.iter().any(|kind| kind.policy.queue == "syncs"));
    assert_eq!(used, ["test_default", "test_free", "test_own", "test_syncs"]);
    // Another environment on the same store, whose program only enqueues: the declaration has nothing of the prefix.
    let store: std::sync::Arc<dyn gristmill::core::Store> = store;
    let other = App::new(()).declare::<Sync>().queue_prefix("other_").with_store(store).await.unwrap();
    assert_eq!(queue(&other, Sync { repo: 1 }).await, "other_default");
}

#[tokio::test]
async fn each_environment_has_queues_of_its_own() {
    let client = in_memory(app().queue_prefix("test_").route(Route::new("*.sync").queue("syncs"))).await;
    assert_eq!(queue(&client, Parent {}).await, "test_default");
    assert_eq!(queue(&client, Sync { repo: 1 }).await, "test_syncs");
    let id = client.enqueue(Parent {}).queue("test_own").await.unwrap().id();
    assert_eq!(kept(&client, id).await.0, "test_own", "it has it already");
    let worker = client.worker().queue("default", 1).queue("syncs", 1).queue("own", 1).drain(true).start().await.unwrap();
    let served: Vec<_> = worker.queues().served().into_keys().collect();
    assert_eq!(served, ["test_default", "test_own", "test_syncs"]);
    assert_eq!(worker.ended().await.succeeded, 5, "with the children of both");
    let worker = client.worker().beat(false).start().await.unwrap();
    worker.queues().serve("more", 1).await.unwrap();
    assert_eq!(worker.queues().served().into_keys().collect::<Vec<_>>(), ["test_default", "test_more", "test_own", "test_syncs"]);
    worker.queues().withdraw("more").await.unwrap();
    worker.stop().await;
}

/// Whether it is the program's own type or one of another program.
#[tokio::test]
async fn what_stands_in_braces_has_no_prefix() {
    let routes = |app: App<()>| {
        let to = |queue: &str| Some(Routed::default().queue(format!("by_{queue}")));
        app.queue_prefix("test_")
            .route(Route::new("*.notify").when("plan", "enterprise").queue("enterprise_{queue}"))
            .route(Route::new("*.notify").queue("notices"))
            .route_by(move |task| if task.arg("plan")? == "by" { to(task.queue()) } else { None })
    };
    for app in [routes(app()), routes(App::new(()).declare::<Notify>())] {
        let client = in_memory(app).await;
        assert_eq!(queue(&client, of(Some("enterprise"))).await, "test_enterprise_notices", "where it would go without it");
        assert_eq!(queue(&client, of(Some("by"))).await, "test_by_notices");
        let long = format!("{}{}", "x".repeat(250), "y");
        let id = client.enqueue(of(Some("free"))).queue(long.as_str()).await;
        assert!(id.is_err(), "what the call says can't be is told");
    }
    let long = app().queue_prefix("test_").route(Route::new("*.notify").when("repo", 7).queue("{plan}"));
    let client = in_memory(long).await;
    assert_eq!(queue(&client, of(Some(&"x".repeat(252)))).await, "test_own", "a route is never an error");
}

/// That of the queue into which it goes, where nothing that is nearer to the task says one.
#[tokio::test]
async fn a_queue_has_a_default_expiry() {
    let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 7);
    let store = MemoryStore::new(env.clone());
    let app = app().env(env).queue_prefix("test_").queue_expires("own", MINUTE).queue_expires("default", MINUTE * 2);
    let client = app.with_store(store.clone()).await.unwrap();
    let brief = client.enqueue(of(None)).await.unwrap().id();
    let moved = client.enqueue(of(None)).queue("default").await.unwrap().id();
    let asked = client.enqueue(of(None)).expires(MINUTE * 3).await.unwrap().id();
    let never = client.enqueue(of(None)).queue("other").await.unwrap().id();
    for (expired, waiting) in [(brief, moved), (moved, asked), (asked, never)] {
        time.advance(MINUTE + Duration::from_millis(1));
        store.sweep(100).await.unwrap();
        let state = async |id| client.tasks().get(id).await.unwrap().unwrap().state;
        assert_eq!((state(expired).await, state(waiting).await), (State::Expired, State::Ready));
    }
}

#[tokio::test]
async fn of_a_queue_so_many_run_at_once_whatever_their_types_are() {
    let app = app().queue_prefix("test_").queue_concurrency("own", 1).queue_concurrency("test_default", 2);
    let client = in_memory(app).await;
    let limits = async || client.limits().list("", None).await.unwrap();
    let own = client.enqueue(of(None)).await.unwrap().id();
    client.enqueue(of(None)).await.unwrap();
    client.enqueue(of(None)).queue("other").await.unwrap();
    let rule = Concurrency::of("mine".parse().unwrap(), 5);
    let both = client.enqueue(of(None)).queue("default").concurrency(rule).await.unwrap().id();
    let shown: Vec<_> = limits().await.into_iter().map(|info| (info.key, info.limit.count, info.used, info.waiting)).collect();
    let row = |key: &str, limit, used, waiting| (key.to_owned(), limit, used, waiting);
    assert_eq!(shown, [row("mine", 5, 1, 0), row("queue:test_default", 2, 1, 0), row("queue:test_own", 1, 1, 1)]);
    assert_eq!(client.tasks().get(own).await.unwrap().unwrap().queue, "test_own");
    assert_eq!(client.tasks().get(both).await.unwrap().unwrap().meta.needs.len(), 2);
    client.limits().set("queue:test_own", 2).await.unwrap();
    assert_eq!(limits().await.iter().map(|info| info.waiting).sum::<u64>(), 0);
    let rules = (0..8).map(|n| Concurrency::of(format!("{n}").parse().unwrap(), 1));
    let full = rules.fold(client.enqueue(of(None)), |enqueue, rule| enqueue.concurrency(rule)).await.unwrap_err();
    assert!(full.to_string().contains("has 9 rules, with those of its queue; at most 8"), "{full}");
    let named = client.enqueue(of(None)).concurrency(Concurrency::of("queue:a".parse().unwrap(), 1)).await.unwrap_err();
    assert!(named.to_string().contains("begins with"), "{named}");
}

#[tokio::test]
async fn tasks_of_a_fair_queue_take_turns_by_their_arguments() {
    let rule = FairBy::by("{repo}".parse().unwrap()).weight(2);
    let client = in_memory(app().queue_prefix("test_").queue_fair_by("own", rule)).await;
    let needs = async |id| client.tasks().get(id).await.unwrap().unwrap().meta.needs;
    let id = client.enqueue(of(None)).priority(3).await.unwrap().id();
    let own = needs(id).await;
    assert_eq!((own[0].key.as_str(), own[0].cost, own.len()), ("fair:3:test_own:7", 1_260, 1));
    let id = client.enqueue(of(None)).queue("other").await.unwrap().id();
    assert!(needs(id).await.is_empty());
    let named = client.enqueue(of(None)).concurrency(Concurrency::of("fair:a".parse().unwrap(), 1)).await.unwrap_err();
    assert!(named.to_string().contains("begins with"), "{named}");
}

#[tokio::test]
async fn the_options_of_a_type_may_be_said_elsewhere() {
    let policy = Policy { queue: "elsewhere".to_owned(), max_attempts: 2, ..Notify::policy() };
    let client = in_memory(app().options(Notify::NAME, policy)).await;
    let id = client.enqueue(of(None)).await.unwrap().id();
    let record = client.tasks().get(id).await.unwrap().unwrap();
    assert_eq!((record.queue.as_str(), record.max_attempts), ("elsewhere", 2));
}

#[tokio::test]
async fn what_can_not_be_is_told_before_anything_is_opened() {
    let long = Duration::from_secs(40_000 * 86_400);
    for (app, says) in [
        (app().route(Route::new("")), "match: is empty"),
        (app().route(Route::new("a")), "says nothing; give it a queue"),
        (app().route(Route::new("a").queue("{")), "a brace without its other one"),
        (app().route(Route::new("a").queue("a\nb")), "control character"),
        (app().route(Route::new("a").queue("")), "is empty"),
        (app().route(Route::new("a").priority(10)), "the route of a: priority: is from 0"),
        (app().route(Route::new("a").timeout(Duration::ZERO)), "at least 1ms"),
        (app().route(Route::new("a").timeout(long)), "at most 100 years"),
        (app().queue_prefix("a\n"), "control character"),
        (app().queue_prefix("a").route(Route::new("a").queue(&"x".repeat(255))), "with the prefix"),
        (app().queue_expires("a", long), "longer than 100 years"),
        (app().queue_fair_by("a", FairBy::by("all".parse().unwrap())), "the queue a: fair_by: names no argument"),
        (
            app().queue_fair_by("a", FairBy::by("{a}".parse().unwrap())).queue_aging("a", Duration::from_secs(1)),
            "take one of them",
        ),
        (app().queue_lease("a", Duration::from_millis(50)), "the lease of the queue a is at least 100ms"),
        (app().queue_concurrency("a", 0), "the concurrency of the queue a is no whole number from 1"),
        (app().queue_aging("a", Duration::ZERO), "the aging of the queue a is at least 1ms"),
        (app().queue_aging("a", long), "at most 100 years"),
        (app().options("nobody", Policy::default()), "does not have it"),
        (app().options(Notify::NAME, Policy { priority: 10, ..Policy::default() }), "priority"),
    ] {
        let refused: Result<Client, ConnectError> = app.with_store(MemoryStore::new(Env::system())).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
