//! What a client accepts, refuses and answers.

use std::time::Duration;

use gristmill::core::{Env, limits};
use gristmill::testing::Harness;
use gristmill::{
    App, CallError, Context, EnqueueError, Error, FailureReason, KindSpec, Limits, Policy, Result, State, TaskId, task,
};

use crate::support::{Probe, in_memory};

/// Adds two numbers.
#[task(name = "add", timeout = "50ms")]
async fn add(cx: &Context<Probe>, a: u32, #[task(default)] b: u32) -> Result<u32> {
    cx.state.saw(format!("{a}+{b}"));
    if a == 99 {
        std::future::pending::<()>().await;
    }
    a.checked_add(b).ok_or_else(|| Error::fail("too large"))
}

fn app() -> App<Probe> {
    App::new(Probe::default()).register::<Add>()
}

fn invalid(error: EnqueueError) -> (String, String) {
    match error {
        EnqueueError::Invalid(invalid) => (invalid.field, invalid.problem),
        other => panic!("{other} is not about the input"),
    }
}

#[tokio::test]
async fn untyped_arguments_are_checked_and_the_field_is_named() {
    let client = in_memory(app()).await;
    for (args, field, problem) in [
        ("{}", "args/a", "is missing"),
        (r#"{"a": "1"}"#, "args/a", "is not of type integer"),
        (r#"{"a": -1}"#, "args/a", "minimum"),
        ("[1, 2]", "args", "not a JSON object"),
        ("null", "args", "not a JSON object"),
        ("{", "args", "not JSON"),
        ("", "args", "not JSON"),
    ] {
        let (at, why) = invalid(client.enqueue_named("add", args).await.unwrap_err());
        assert_eq!(at, field, "{args}: {why}");
        assert!(why.contains(problem), "{args}: {why}");
    }
    let secret = r#"{"a": "hunter2"}"#;
    assert!(!client.enqueue_named("add", secret).await.unwrap_err().to_string().contains("hunter2"), "values are not repeated");
    client.enqueue_named("add", r#"{"a": 1, "unknown": true}"#).await.expect("unknown fields are ignored, defaults applied");
}

#[tokio::test]
async fn limits_stand_on_everything() {
    let client = in_memory(app().limits(Limits { args_bytes: 1_000, ..Limits::default() })).await;
    let deep = format!(r#"{{"a": 1, "x": {}{}}}"#, "[".repeat(limits::JSON_DEPTH_MAX), "]".repeat(limits::JSON_DEPTH_MAX));
    let client_large = in_memory(app()).await;
    assert!(invalid(client_large.enqueue_named("add", deep).await.unwrap_err()).1.contains("deeper than 128"));
    let long = format!(r#"{{"a": 1, "x": "{}"}}"#, "x".repeat(1_000));
    assert!(invalid(client.enqueue_named("add", long).await.unwrap_err()).1.contains("at most 1000"));
    let task = || client.enqueue(Add { a: 1, b: 2 });
    let cases: Vec<(&str, _)> = vec![
        ("queue", task().queue("")),
        ("queue", task().queue("a\u{7}")),
        ("queue", task().queue("x".repeat(256))),
        ("priority", task().priority(10)),
        ("max_attempts", task().max_attempts(0)),
        ("max_crashes", task().max_crashes(0)),
        ("delay", task().delay(limits::DURATION_MAX + Duration::from_secs(1))),
        ("tags", task().tag("\n")),
        ("headers", task().header("", "x")),
    ];
    for (field, enqueue) in cases {
        assert_eq!(invalid(enqueue.await.unwrap_err()).0, field);
    }
    assert!(client.list(&gristmill::Filter::default(), None, 10).await.unwrap().items.is_empty(), "nothing was kept of any");
}

#[tokio::test]
async fn an_unknown_type_is_refused_with_near_names_unless_forced() {
    let client = in_memory(app()).await;
    let EnqueueError::UnknownTask { near, .. } = client.enqueue_named("ad", "{}").await.unwrap_err() else {
        panic!("it is unknown")
    };
    assert_eq!(near, ["add"]);
    let handle = client.enqueue_named("from.another.version", "{}").force(true).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.claimed, 0, "a worker without the type never claims it");
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.attempt), (State::Ready, 0));
}

#[tokio::test]
async fn the_same_id_again_changes_nothing() {
    let client = in_memory(app()).await;
    let id: TaskId = Env::system().task_id();
    let first = client.enqueue(Add { a: 1, b: 2 }).id(id).await.unwrap();
    let again = client.enqueue(Add { a: 1, b: 2 }).id(id).await.unwrap();
    assert_eq!(first.id(), again.id());
    assert!(matches!(client.enqueue(Add { a: 1, b: 3 }).id(id).await, Err(EnqueueError::Conflict { .. })));
    assert_eq!(client.list(&gristmill::Filter::default(), None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn one_bad_item_hinders_no_other() {
    let client = in_memory(app()).await;
    let tasks = (0..2_001).map(|n| client.enqueue(Add { a: n, b: 0 }).priority(if n == 1_500 { 10 } else { 5 }));
    let outcomes = client.enqueue_many(tasks).await;
    assert_eq!(outcomes.len(), 2_001);
    let bad: Vec<_> = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(n, _)| n).collect();
    assert_eq!(bad, [1_500]);
    let ids: std::collections::HashSet<_> = outcomes.into_iter().flatten().map(|handle| handle.id()).collect();
    assert_eq!(ids.len(), 2_000);
}

#[tokio::test]
async fn a_call_runs_here_and_now_and_is_checked_and_timed() {
    let client = in_memory(app()).await;
    assert_eq!(client.call(Add { a: 1, b: 2 }).await.unwrap(), 3);
    assert_eq!(client.call_named("add", r#"{"a": 4}"#).await.unwrap(), "4");
    let CallError::Failed(failure) = client.call(Add { a: u32::MAX, b: 1 }).await.unwrap_err() else { panic!("it fails") };
    assert_eq!(failure.message, "too large");
    let CallError::Failed(failure) = client.call(Add { a: 99, b: 0 }).await.unwrap_err() else { panic!("it fails") };
    assert_eq!(failure.reason, FailureReason::Timeout);
    assert!(matches!(client.call_named("add", r#"{"a": null}"#).await, Err(CallError::Invalid(_))));
    assert!(matches!(client.call_named("sub", "{}").await, Err(CallError::UnknownTask { .. })));
    assert!(client.list(&gristmill::Filter::default(), None, 1).await.unwrap().items.is_empty(), "nothing is queued");
}

#[tokio::test]
async fn an_application_with_a_mistake_does_not_start() {
    let kind = |name: &str, policy: Policy| KindSpec { name: name.to_owned(), schema: true.into(), fields: Vec::new(), policy };
    struct Nothing;
    impl gristmill::Handler for Nothing {
        fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> gristmill::HandlerFuture<'a> {
            Box::pin(async { Ok("null".to_owned()) })
        }
    }
    let odd = Policy { priority: 10, ..Policy::default() };
    for (app, why) in [
        (App::new(Probe::default()).register::<Add>().register::<Add>(), "two task types"),
        (App::new(Probe::default()).register_handler(kind("", Policy::default()), Nothing), "is empty"),
        (App::new(Probe::default()).register_handler(kind("odd", odd), Nothing), "priority"),
        (
            App::new(Probe::default()).register_handler(
                KindSpec { schema: serde_json::json!({"type": "nonsense"}), ..kind("odd", Policy::default()) },
                Nothing,
            ),
            "JSON Schema",
        ),
    ] {
        let error = app.connect("sqlite:/nowhere/at/all.db").await.unwrap_err().to_string();
        assert!(error.contains(why) || error.contains("nowhere"), "{error}");
        assert!(!error.contains("nowhere"), "the mistake is told before the store is opened: {error}");
    }
    let error = app().connect("mysql://localhost").await.unwrap_err().to_string();
    assert!(error.contains("sqlite:PATH"), "{error}");
}

#[tokio::test]
async fn the_test_kit_runs_inline() {
    let test = Harness::inline(app()).await.unwrap();
    let handle = test.client().enqueue(Add { a: 20, b: 3 }).await.unwrap();
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.result.as_deref()), (State::Succeeded, Some("23")));
}
