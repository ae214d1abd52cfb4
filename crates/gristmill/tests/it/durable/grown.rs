//! Workflows that tasks start: to go on with their result, or to become them.

use gristmill::workflow::{Callback, WorkflowState};

use super::*;

#[task(name = "double", max_attempts = 1)]
pub(super) async fn double(n: u32) -> Result<u32> {
    if n == 13 { Err(Error::fail("unlucky")) } else { Ok(2 * n) }
}

#[task(name = "sum")]
pub(super) async fn sum(parts: Vec<u32>) -> Result<u32> {
    Ok(parts.iter().sum())
}

/// Runs a workflow and goes on with its result.
#[task(name = "runs", backoff = fixed("0s"))]
pub(super) async fn runs(cx: &Context<Probe>, n: u32) -> Result<String> {
    let count = cx.step("count", async || Ok(3)).await?;
    let mut w = cx.workflow("doubles");
    let parts = w.each("double", (0..count).map(|at| Double { n: n + at }));
    w.step("sum", Sum::with(parts.results()));
    let sum: u32 = w.run().await?;
    cx.state.saw("summed");
    Ok(format!("{count}: {sum}"))
}

/// Becomes a workflow of tasks like itself, to a depth.
#[task(name = "tree")]
pub(super) async fn tree(cx: &Context<Probe>, depth: u32) -> Result<u32> {
    if depth == 0 {
        return Ok(1);
    }
    let mut w = cx.workflow("level");
    let parts = w.each("tree", (0..2).map(|_| Tree { depth: depth - 1 }));
    w.step("sum", Sum::with(parts.results()));
    cx.replace(w).await
}

/// Has its own result, once what it grew has succeeded.
#[task(name = "grows")]
pub(super) async fn grows(cx: &Context<Probe>, n: u32) -> Result<String> {
    cx.enqueue(Leaf { n: 9 }).await?;
    let mut w = cx.workflow("more");
    w.step("double", Double { n });
    cx.grow(w, "mine".to_owned()).await
}

/// Would have a result that is larger than one can be.
#[task(name = "bloats", max_attempts = 1)]
async fn bloats(cx: &Context<Probe>) -> Result<String> {
    let mut w = cx.workflow("more");
    w.step("double", Double { n: 1 });
    cx.grow(w, "x".repeat(RESULTS_BYTES_MAX)).await
}

#[tokio::test]
async fn a_result_that_is_too_large_is_refused_before_the_task_grows() {
    let test = Harness::new(App::new(World::default()).register::<Double>().register::<Bloats>()).await.unwrap();
    let handle = test.client().enqueue(Bloats {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1, "nothing is started");
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("the value of `more` has 1048578 bytes of JSON; at most 1048576 are remembered"), "{error}");
}

/// Can't start what it wants to.
#[task(name = "refused")]
async fn refused(cx: &Context<Probe>, how: String) -> Result<u32> {
    let mut w = cx.workflow("w");
    match how.as_str() {
        "key" => w = w.key("k"),
        _ => _ = w.each("double", (0..1_001).map(|n| Double { n })),
    }
    if how == "key" {
        w.step("double", Double { n: 1 });
    }
    w.run().await
}

async fn grown() -> (World, Harness) {
    let world = World::default();
    let app = world.app().register::<Double>().register::<Sum>().register::<Runs>().register::<Tree>();
    let test = Harness::new(app.register::<Grows>().register::<Refused>().register::<After>().register::<Then>()).await.unwrap();
    (world, test)
}

#[tokio::test]
async fn a_task_goes_on_with_the_result_of_a_workflow_that_it_started() {
    let (world, test) = grown().await;
    let handle = test.client().enqueue(Runs { n: 1 }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "3: 12");
    assert_eq!(world.probe.seen(), ["summed"]);
    let record = handle.status().await.unwrap().unwrap();
    assert_eq!((record.attempt, record.attempts.len()), (1, 1));
    assert_eq!(kept(test.client(), handle.id()).await[1], (1, "doubles".to_owned(), value("12")));
    let children = gristmill::core::Filter { kind: Some("double".to_owned()), ..Default::default() };
    let children = test.client().tasks().list(&children, None, 10).await.unwrap().items;
    assert!(children.len() == 3 && children.iter().all(|child| child.meta.parent == Some(handle.id())));
}

#[tokio::test]
async fn the_failure_of_a_workflow_is_that_of_the_task_that_failed() {
    let (_, test) = grown().await;
    let handle = test.client().enqueue(Runs { n: 12 }).await.unwrap();
    test.drain().await.unwrap();
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("the workflow `doubles`") && error.contains("step `double`") && error.ends_with("unlucky"), "{error}");
    // By hand: what failed is tried again, and not what succeeded.
    test.client().tasks().retry(handle.id()).await.unwrap();
    assert_eq!(kept(test.client(), handle.id()).await, [(0, "count".to_owned(), value("3"))]);
}

#[task(name = "after")]
async fn after(n: u32) -> Result<u32> {
    Ok(n + 100)
}

#[tokio::test]
async fn who_waits_for_a_task_waits_for_what_it_has_become_at_any_depth() {
    let (_, test) = grown().await;
    let mut w = test.client().workflow("outer");
    let tree = w.step("tree", Tree { depth: 3 });
    w.step("after", After::with(tree.result()));
    let run = w.start().await.unwrap().typed::<u32>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), 108);
    assert_eq!(run.status().await.unwrap().unwrap().state, WorkflowState::Succeeded);
    let all = test.client().workflows().list(&gristmill::workflow::WorkflowFilter::default(), None, 100).await.unwrap().items;
    assert_eq!(all.len(), 1 + 1 + 2 + 4);
}

#[tokio::test]
async fn a_task_that_grows_has_its_own_result_once_that_has_succeeded() {
    let (_, test) = grown().await;
    let well = test.client().enqueue(Grows { n: 1 }).await.unwrap();
    let ill = test.client().enqueue(Grows { n: 13 }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(well.result().await.unwrap(), "mine");
    let error = ill.result().await.unwrap_err().to_string();
    assert!(error.ends_with("unlucky"), "{error}");
    let leaves = gristmill::core::Filter { kind: Some("leaf".to_owned()), ..Default::default() };
    assert_eq!(test.client().tasks().list(&leaves, None, 10).await.unwrap().items.len(), 2, "what it enqueued is there");
}

#[tokio::test]
async fn a_cancel_goes_to_what_a_task_has_become() {
    let (_, test) = grown().await;
    test.client().queues().pause("default").await.unwrap();
    test.client().queues().resume("default").await.unwrap();
    let handle = test.client().enqueue(Tree { depth: 1 }).queue("other").await.unwrap();
    test.client().queues().pause("default").await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Scheduled);
    handle.cancel().await.unwrap();
    test.advance(Duration::from_secs(1)).await.unwrap();
    let all = test.client().workflows().list(&gristmill::workflow::WorkflowFilter::default(), None, 10).await.unwrap().items;
    assert_eq!(all.iter().map(|record| record.state).collect::<Vec<_>>(), [WorkflowState::Cancelled]);
}

#[tokio::test]
async fn a_workflow_that_can_not_be_fails_the_task_and_says_why() {
    let (_, test) = grown().await;
    for (how, words) in [
        ("key", "key: is for workflows that clients start"),
        ("large", "members: are more than 1000, or have more than 16777216 bytes"),
    ] {
        let handle = test.client().enqueue(Refused { how: how.into() }).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 1, "{how}");
        let error = handle.result().await.unwrap_err().to_string();
        assert!(error.contains(words), "{how}: {error}");
    }
}

/// As SQL starts one, and as a step of another: three deep, with results of the outer ones.
#[tokio::test]
async fn a_workflow_is_a_task_of_a_type_that_every_worker_has() {
    let (_, test) = grown().await;
    let innermost =
        json!({ "name": "innermost", "steps": { "double": { "task": "double", "args": { "n": { "$result": "first" } } } } });
    let inner = json!({ "name": "inner", "steps": {
        "again": { "task": "double", "args": { "n": { "$result": "first" } } },
        "deep": { "workflow": innermost },
        "sum": { "task": "sum", "after": ["again", "deep"], "args": { "parts": [{ "$result": "again" }, { "$result": "deep" }] } },
    } });
    let outer = json!({ "name": "outer", "steps": {
        "first": { "task": "double", "args": { "n": 1 } },
        "rest": { "after": ["first"], "workflow": inner },
        "after": { "task": "after", "after": ["rest"], "args": { "n": { "$result": "rest" } } },
    } });
    let handle = test.client().enqueue_named("gristmill.workflow", &outer).header("by", "ann").await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), json!(108));
    let filter = gristmill::core::Filter { kind: Some("sum".to_owned()), ..Default::default() };
    let sum = test.client().tasks().list(&filter, None, 1).await.unwrap().items.remove(0);
    assert_eq!(sum.meta.headers.get("by").map(String::as_str), Some("ann"), "context is inherited");
    let wrong = test.client().enqueue_named("gristmill.workflow", json!({ "name": "w", "steps": { "a": { "task": "dubble" } } }));
    let wrong = wrong.await.unwrap();
    test.drain().await.unwrap();
    let error = wrong.result().await.unwrap_err().to_string();
    assert!(error.contains("/steps/a/task: there is no task type `dubble`; did you mean double?"), "{error}");
}

/// Knows nothing of what follows.
#[task(name = "then")]
async fn then(cx: &Context<Probe>, n: u32, callback: Callback) -> Result<u32> {
    cx.enqueue_named(callback.name(), callback.args()).await?;
    Ok(n)
}

#[tokio::test]
async fn a_task_with_its_arguments_is_an_argument_of_another() {
    let (_, test) = grown().await;
    let callback = Callback::of(&Leaf { n: 7 }).unwrap();
    let mut w = test.client().workflow("callbacks");
    let first = w.step("first", Double { n: 2 });
    w.step("then", Then::with(first.result(), callback));
    let run = w.start().await.unwrap().typed::<u32>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), 4);
    let filter = gristmill::core::Filter { kind: Some("leaf".to_owned()), ..Default::default() };
    let leaves = test.client().tasks().list(&filter, None, 10).await.unwrap().items;
    assert_eq!(leaves.iter().map(|leaf| leaf.args.as_str()).collect::<Vec<_>>(), [r#"{"n":7}"#]);
    let wrong = test.client().enqueue_named("then", json!({ "n": 1, "callback": { "task": "leaf" } })).await.unwrap_err();
    assert!(wrong.to_string().contains("args"), "{wrong}");
}

/// Holds its slot for another task.
#[task(name = "holds")]
async fn holds(cx: &Context<World>, other: TaskId) -> Result<u32> {
    let client = cx.state.client.get().ok_or("the test has set it").or_fail()?;
    client.handle_of::<Leaf>(other).result().await.or_fail()
}

#[tokio::test]
async fn a_handler_that_awaits_a_task_is_told_what_to_do_instead() {
    let world = World::default();
    let test = Harness::new(world.app().register::<Holds>()).await.unwrap();
    world.client.set(test.client().clone()).unwrap();
    let other = test.client().enqueue(Leaf { n: 3 }).delay(HOUR).await.unwrap();
    let holds = test.client().enqueue(Holds { other: other.id() }).await.unwrap();
    test.drain().await.unwrap();
    let error = holds.result().await.unwrap_err().to_string();
    assert!(error.contains("can't be awaited by a handler") && error.contains("`cx.workflow`"), "{error}");
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    let holds = test.client().enqueue(Holds { other: other.id() }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(holds.result().await.unwrap(), 3, "what has ended is read");
}

/// Waits for a workflow and for something else at once.
#[task(name = "both", queue = "outer")]
async fn both(cx: &Context<Probe>) -> Result<String> {
    let mut w = cx.workflow("doubles");
    w.step("double", Double { n: 4 });
    let (doubled, paid) = tokio::join!(w.run::<u32>(), cx.event::<u32>("paid", None));
    Ok(format!("{} {:?}", doubled?, paid?))
}

/// Else the attempt would end to wait for the event alone, and the workflow be awaited by nobody.
#[tokio::test]
async fn a_workflow_that_can_not_be_read_just_now_is_not_forgotten_over_what_waits_beside_it() {
    let test = Harness::new(App::new(Probe::default()).register::<Double>().register::<Both>()).await.unwrap();
    let (client, queues) = (test.client(), test.client().queues());
    queues.pause("default").await.unwrap();
    let handle = client.enqueue(Both {}).await.unwrap();
    test.drain().await.unwrap();
    // It ends, and its member is run again by hand before the task has come by: until that is over it has no result.
    queues.pause("outer").await.unwrap();
    queues.resume("default").await.unwrap();
    test.drain().await.unwrap();
    queues.pause("default").await.unwrap();
    let member = gristmill::core::Filter { kind: Some("double".to_owned()), ..Default::default() };
    let member = client.tasks().list(&member, None, 1).await.unwrap().items[0].id;
    client.tasks().retry(member).await.unwrap();
    queues.resume("outer").await.unwrap();
    test.drain().await.unwrap();
    queues.resume("default").await.unwrap();
    test.drain().await.unwrap();
    test.advance(Duration::from_secs(1)).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(kept(client, handle.id()).await[0], (0, "doubles".to_owned(), value("8")));
    client.events().send("paid", &3).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "8 Some(3)");
}
