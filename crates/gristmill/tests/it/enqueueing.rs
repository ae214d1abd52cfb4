//! What can be enqueued together, what contradicts itself, and what a handle tells of a task.

use std::time::Duration;

use gristmill::client::EnqueueError;
use gristmill::core::Overrides;
use gristmill::record::{Filter, State};
use gristmill::testing::{Harness, assert_enqueued};
use gristmill::{App, Context, Result, TaskId, task};
use serde_json::json;

use crate::support::{Probe, in_memory, within};

#[task(name = "add")]
async fn add(a: u32, b: u32) -> Result<u32> {
    Ok(a + b)
}

#[task(name = "greet")]
async fn greet(name: String) -> Result<String> {
    Ok(format!("hello {name}"))
}

#[task(name = "crowd", max_attempts = 1)]
async fn crowd(cx: &Context, size: u32, priority: u8) -> Result<Vec<TaskId>> {
    let first = cx.enqueue_many((0..size).map(|b| Add { a: 1, b })).await?;
    let refused = cx.enqueue_many([cx.enqueue(greeting()), cx.enqueue(greeting()).priority(priority)]).await;
    assert_eq!(refused.is_err(), priority > 9);
    let mixed = cx.enqueue_many([cx.enqueue(greeting()).untyped(), cx.enqueue(Add { a: 2, b: 0 }).untyped()]).await?;
    Ok(first.iter().map(|child| child.id()).chain(mixed.iter().map(|child| child.id())).collect())
}

#[task(name = "stranger.parent", max_attempts = 1)]
async fn stranger_parent(cx: &Context) -> Result<()> {
    cx.enqueue(Stranger {}).await?;
    Ok(())
}

#[task(name = "stranger")]
async fn stranger() -> Result<()> {
    Ok(())
}

#[task(name = "steps")]
async fn steps(cx: &Context<Probe>) -> Result<u32> {
    for step in 1..=2 {
        cx.progress(step, 2, format!("step {step}"));
        cx.state.saw(format!("step {step}"));
        cx.state.pass().await;
    }
    Ok(2)
}

fn greeting() -> Greet {
    Greet { name: "ann".into() }
}

fn app() -> App<()> {
    App::new(()).register::<Add>().register::<Greet>().register::<Crowd>().register::<StrangerParent>()
}

#[tokio::test]
async fn tasks_builders_and_several_types_are_enqueued_together() {
    let client = in_memory(app()).await;
    let plain = client.enqueue_many((0..3).map(|b| Add { a: 1, b })).await;
    let ids: Vec<_> = plain.into_iter().map(|handle| handle.unwrap().id()).collect();
    let built = client.enqueue_many([client.enqueue(greeting()).priority(1), client.enqueue(greeting()).priority(10)]).await;
    assert!(built[0].is_ok() && matches!(&built[1], Err(EnqueueError::Invalid(error)) if error.field == "priority"), "{built:?}");
    let mixed = client.enqueue_many([client.enqueue(greeting()).untyped(), client.enqueue(Add { a: 5, b: 6 }).untyped()]).await;
    let mixed: Vec<_> = mixed.into_iter().map(|handle| handle.unwrap()).collect();
    let worker = client.worker().queue("default", 2).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.succeeded, 6);
    assert_eq!(client.handle_of::<Add>(ids[2]).result().await.unwrap(), 3);
    assert_eq!(mixed[0].result().await.unwrap(), json!("hello ann"));
    assert_eq!(mixed[1].result().await.unwrap(), json!(11));
    assert_eq!(client.handle_of::<Add>(mixed[1].id()).result().await.unwrap(), 11);
    assert_eq!(client.handle(ids[0]).result().await.unwrap(), json!(1));
}

#[tokio::test]
async fn a_handler_enqueues_many_or_none_and_its_children_can_be_listed() {
    let test = Harness::new(app()).await.unwrap();
    let parent = test.client().enqueue(Crowd { size: 3, priority: 10 }).await.unwrap();
    assert!(parent.children(None, 10).await.unwrap().items.is_empty(), "not before it has succeeded");
    test.drain().await.unwrap();
    let mut ids = parent.result().await.unwrap();
    // Those of one millisecond are in no order.
    ids.sort_unstable();
    assert_eq!(ids.len(), 5, "none of the two of which one was refused");
    let first = parent.children(None, 3).await.unwrap();
    let rest = parent.children(first.next, 1_000).await.unwrap();
    let mut listed: Vec<_> = first.items.into_iter().chain(rest.items).map(|task| task.id).collect();
    listed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(listed, ids);
    let nobody = test.client().handle(ids[0]).children(None, 10).await.unwrap();
    assert!(nobody.items.is_empty(), "a child has none");
}

#[tokio::test]
async fn what_a_program_has_not_registered_is_refused_unless_it_is_declared() {
    let client = in_memory(app()).await;
    let error = client.enqueue(Stranger {}).await.unwrap_err();
    assert!(matches!(&error, EnqueueError::Unregistered { name } if name == "stranger"), "{error}");
    assert!(error.to_string().contains("`App::register`") && error.to_string().contains("`App::declare`"), "{error}");
    let many = client.enqueue_many([Stranger {}]).await;
    assert!(matches!(many[0], Err(EnqueueError::Unregistered { .. })));
    assert!(client.tasks().list(&Filter::default(), None, 10).await.unwrap().items.is_empty(), "nothing was kept");
    client.enqueue(Stranger {}).force(true).await.unwrap();

    // A child of it fails its parent.
    let parent = client.enqueue(StrangerParent {}).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.failed, 1);
    let error = parent.status().await.unwrap().unwrap().error.unwrap().message;
    assert!(error.contains("no task type `stranger`"), "{error}");

    let client = in_memory(app().declare::<Stranger>().declare::<Add>()).await;
    let handle = client.enqueue(Stranger {}).await.unwrap();
    let sum = client.enqueue(Add { a: 1, b: 1 }).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    let report = worker.ended().await;
    assert_eq!((report.claimed, report.succeeded), (1, 1), "what is declared is never served here, what is registered is");
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Ready);
    assert_eq!(sum.result().await.unwrap(), 2);
    // Whichever comes first.
    let client = in_memory(App::new(()).declare::<Add>().register::<Add>()).await;
    assert_eq!(client.call(Add { a: 1, b: 1 }).await.unwrap(), 2);
    let only = in_memory(App::new(()).declare::<Stranger>()).await;
    assert!(only.call(Stranger {}).await.unwrap_err().to_string().contains("only enqueues"));
    assert!(only.worker().start().await.unwrap_err().to_string().contains("only enqueues"));
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let test = Harness::new(app()).await.unwrap();
    let (client, later, second) = (test.client(), test.now().saturating_add(Duration::from_secs(60)), Duration::from_secs(1));
    let add = || client.enqueue(Add { a: 1, b: 2 });
    for (field, enqueue) in [
        ("delay", add().delay(second).at(later)),
        ("delay", add().at(later).delay(second)),
        ("expires", add().expires(second).expires_at(later)),
        ("options", add().priority(1).options(Overrides::default())),
    ] {
        match enqueue.await.unwrap_err() {
            EnqueueError::Invalid(error) => assert_eq!(error.field, field),
            other => panic!("{field}: {other}"),
        }
    }
    assert_enqueued!(test, 0 of Add);
    add().options(Overrides { priority: Some(1), ..Overrides::default() }).delay(second).await.unwrap();
    assert_enqueued!(test, 1 of Add);
}

#[tokio::test]
async fn a_handle_tells_progress_and_watches_up_to_the_end() {
    let probe = Probe::default();
    probe.close();
    let client = in_memory(App::new(probe.clone()).register::<Steps>()).await;
    let handle = client.enqueue(Steps {}).id(TaskId::new()).await.unwrap();
    let mut watch = handle.watch();
    let first = within(watch.next()).await.unwrap().unwrap();
    assert_eq!((first.state, first.attempts.len()), (State::Ready, 0));
    assert_eq!(handle.progress().await.unwrap(), None);
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let told = |task: &gristmill::record::TaskRecord| task.attempts.last().and_then(|attempt| attempt.progress.clone());
    let seen = loop {
        let task = within(watch.next()).await.unwrap().unwrap();
        assert!(!task.state.is_final(), "it waits at its first step");
        if let Some(progress) = told(&task) {
            break progress;
        }
    };
    assert_eq!((seen.done, seen.total, seen.message.as_str()), (1, Some(2), "step 1"));
    assert_eq!(handle.progress().await.unwrap(), Some(seen));
    probe.open();
    let mut last = None;
    while let Some(task) = within(watch.next()).await.unwrap() {
        last = Some(task);
    }
    let last = last.unwrap();
    assert_eq!((last.state, told(&last).unwrap().done), (State::Succeeded, 2));
    assert_eq!(within(watch.next()).await.unwrap(), None, "and again");
    worker.stop().await;
    let nobody = client.handle(TaskId::new());
    let error = within(nobody.watch().next()).await.unwrap_err();
    assert!(error.to_string().contains(&nobody.id().to_string()), "{error}");
    assert_eq!(nobody.progress().await.unwrap(), None);
}
