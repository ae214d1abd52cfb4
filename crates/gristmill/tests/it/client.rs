//! What a client accepts, refuses and answers.

use std::future::IntoFuture;
use std::time::Duration;

use gristmill::client::{AwaitError, CallError, EnqueueError, RetryOutcome};
use gristmill::core::{Env, NewTask, Overrides, limits};
use gristmill::error::FailureReason;
use gristmill::options::{Ack, Backoff, KindSpec, Limits, Policy, Retention};
use gristmill::record::State;
use gristmill::testing::Harness;
use gristmill::{App, Context, Error, Result, TaskId, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::{Heard, Probe, in_memory, within};

/// Adds two numbers.
#[task(name = "add", timeout = "50ms")]
async fn add(cx: &Context<Probe>, a: u32, #[task(default)] b: u32) -> Result<u32> {
    cx.state.saw(format!("{a}+{b}"));
    if a == 99 {
        std::future::pending::<()>().await;
    }
    a.checked_add(b).ok_or_else(|| Error::fail("too large"))
}

#[task(name = "flaky", max_attempts = 4, backoff = list("1s", "1m"))]
async fn flaky(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw(format!("{} {} {:?}", cx.id(), cx.attempt(), cx.meta().headers.get("user")));
    Err(Error::retry("not yet"))
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Colour {
    DarkRed,
}

#[task(name = "paint", retention = "none")]
async fn paint(colour: Colour) -> Result<Colour> {
    Ok(colour)
}

#[task(name = "strict")]
#[serde(deny_unknown_fields)]
async fn strict(a: u32) -> Result<u32> {
    Ok(a)
}

fn app() -> App<Probe> {
    App::new(Probe::default()).register::<Add>()
}

/// JSON text as it is.
fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
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
        (r#""{}""#, "args", "RawValue"),
    ] {
        let (at, why) = invalid(client.enqueue_named("add", raw(args)).await.unwrap_err());
        assert_eq!(at, field, "{args}: {why}");
        assert!(why.contains(problem), "{args}: {why}");
    }
    let secret = json!({"a": "hunter2"});
    assert!(!client.enqueue_named("add", secret).await.unwrap_err().to_string().contains("hunter2"), "values are not repeated");
    client.enqueue_named("add", json!({"a": 1, "unknown": true})).await.expect("unknown fields are ignored, defaults applied");
}

#[tokio::test]
async fn limits_stand_on_everything() {
    let client = in_memory(app().limits(Limits { args_bytes: 1_000, ..Limits::default() })).await;
    let deep = format!(r#"{{"a": 1, "x": {}{}}}"#, "[".repeat(limits::JSON_DEPTH_MAX), "]".repeat(limits::JSON_DEPTH_MAX));
    let client_large = in_memory(app()).await;
    assert!(invalid(client_large.enqueue_named("add", raw(&deep)).await.unwrap_err()).1.contains("deeper than 128"));
    let long = format!(r#"{{"a": 1, "x": "{}"}}"#, "x".repeat(1_000));
    assert!(invalid(client.enqueue_named("add", raw(&long)).await.unwrap_err()).1.contains("at most 1000"));
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
    assert!(
        client.tasks().list(&gristmill::record::Filter::default(), None, 10).await.unwrap().items.is_empty(),
        "nothing was kept of any"
    );
}

#[tokio::test]
async fn an_unknown_type_is_refused_with_near_names_unless_forced() {
    let client = in_memory(app()).await;
    let EnqueueError::UnknownTask { near, .. } = client.enqueue_named("ad", json!({})).await.unwrap_err() else {
        panic!("it is unknown")
    };
    assert_eq!(near, ["add"]);
    let handle = client.enqueue_named("from.another.version", json!({})).force(true).await.unwrap();
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
    assert_eq!(client.tasks().list(&gristmill::record::Filter::default(), None, 10).await.unwrap().items.len(), 1);
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
async fn items_of_another_client_are_refused() {
    let (client, other) = (in_memory(app()).await, in_memory(app()).await);
    let outcomes = client.enqueue_many([&client, &other].map(|client| client.enqueue(Add { a: 1, b: 2 }))).await;
    let [Ok(_), Err(EnqueueError::Invalid(invalid))] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(invalid.to_string().contains("another client"), "{invalid}");
    for (client, tasks) in [(client, 1), (other, 0)] {
        assert_eq!(client.tasks().list(&gristmill::record::Filter::default(), None, 10).await.unwrap().items.len(), tasks);
    }
}

#[tokio::test]
async fn a_call_runs_here_and_now_and_is_checked_and_timed() {
    let client = in_memory(app()).await;
    assert_eq!(client.call(Add { a: 1, b: 2 }).await.unwrap(), 3);
    assert_eq!(client.call_named("add", json!({"a": 4})).await.unwrap(), json!(4));
    let CallError::Failed(failure) = client.call(Add { a: u32::MAX, b: 1 }).await.unwrap_err() else { panic!("it fails") };
    assert_eq!(failure.message, "too large");
    let CallError::Failed(failure) = client.call(Add { a: 99, b: 0 }).await.unwrap_err() else { panic!("it fails") };
    assert_eq!(failure.reason, FailureReason::Timeout);
    assert!(matches!(client.call_named("add", json!({"a": null})).await, Err(CallError::Invalid(_))));
    assert!(matches!(client.call_named("sub", json!({})).await, Err(CallError::UnknownTask { .. })));
    assert!(
        client.tasks().list(&gristmill::record::Filter::default(), None, 1).await.unwrap().items.is_empty(),
        "nothing is queued"
    );
}

#[tokio::test]
async fn an_application_with_a_mistake_does_not_start() {
    let kind = |name: &str, policy: Policy| KindSpec { name: name.to_owned(), schema: true.into(), fields: Vec::new(), policy };
    struct Nothing;
    impl gristmill::app::Handler for Nothing {
        fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> gristmill::app::HandlerFuture<'a> {
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
    let test = Harness::new(app()).await.unwrap().inline();
    let handle = test.client().enqueue(Add { a: 20, b: 3 }).await.unwrap();
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.result.as_deref()), (State::Succeeded, Some("23")));
}

/// An option: its name, how a type says it, how an enqueue says it, and how it is read off the task.
type Rule = (&'static str, fn(&mut Policy), fn(&mut Overrides), fn(&NewTask) -> String);

#[test]
fn what_an_enqueue_says_wins_over_its_type_option_by_option() {
    let table: &[Rule] = &[
        ("queue", |p| p.queue = "a".into(), |o| o.queue = Some("b".into()), |t| t.queue.clone()),
        ("priority", |p| p.priority = 1, |o| o.priority = Some(2), |t| t.priority.to_string()),
        ("max_attempts", |p| p.max_attempts = 11, |o| o.max_attempts = Some(12), |t| t.max_attempts.to_string()),
        ("max_crashes", |p| p.max_crashes = 11, |o| o.max_crashes = Some(12), |t| t.max_crashes.to_string()),
        ("ack", |p| p.ack = Ack::Early, |o| o.ack = Some(Ack::Late), |t| format!("{:?}", t.ack)),
        (
            "retention",
            |p| p.retention = Retention::None,
            |o| o.retention = Some(Retention::Forever),
            |t| format!("{:?}", t.retention),
        ),
        (
            "expires",
            |p| p.expires = Some(Duration::from_secs(1)),
            |o| o.expires = Some(Duration::from_secs(2)),
            |t| format!("{:?}", t.expires),
        ),
    ];
    let resolve = |policy: &Policy, over: Overrides| {
        NewTask::resolve("kind", policy, "{}".to_owned(), over, Env::system().task_id(), &Limits::default()).unwrap()
    };
    let default = Policy::default();
    for (name, in_type, in_enqueue, read) in table {
        let (mut policy, mut over) = (default.clone(), Overrides::default());
        in_type(&mut policy);
        in_enqueue(&mut over);
        let neither = read(&resolve(&default, Overrides::default()));
        let by_type = read(&resolve(&policy, Overrides::default()));
        let by_enqueue = read(&resolve(&default, over.clone()));
        let by_both = read(&resolve(&policy, over));
        assert_ne!(by_type, neither, "{name} of the type is dropped");
        assert_ne!(by_type, by_both, "{name} of the type wins");
        assert_eq!(by_enqueue, by_both, "{name} of the enqueue does not win");
    }
}

#[tokio::test]
async fn the_wait_before_the_next_attempt_is_the_enqueues_own_or_its_types() {
    let test = Harness::new(App::new(Probe::default()).register::<Flaky>()).await.unwrap();
    let waits = async |backoff: Option<Backoff>| {
        let task = test.client().enqueue(Flaky {});
        let handle = match backoff {
            Some(backoff) => task.backoff(backoff).await.unwrap(),
            None => task.await.unwrap(),
        };
        let mut waits = Vec::new();
        loop {
            assert_eq!(test.drain().await.unwrap(), 1);
            let task = handle.status().await.unwrap().unwrap();
            if task.state == State::Failed {
                assert_eq!((task.attempt, task.attempts.len()), (4, 4));
                return waits;
            }
            assert_eq!(task.state, State::Scheduled);
            let wait = Duration::from_millis(u64::try_from(task.run_at.as_millis() - test.now().as_millis()).unwrap());
            waits.push(wait);
            test.advance(wait).await.unwrap();
        }
    };
    let secs = Duration::from_secs;
    assert_eq!(waits(None).await, [1, 60, 60].map(secs));
    assert_eq!(waits(Some(Backoff::Fixed(secs(5)))).await, [5, 5, 5].map(secs));
    let steep = |jitter| Some(Backoff::Exponential { base: secs(2), max: secs(3), jitter });
    assert_eq!(waits(steep(false)).await, [2, 3, 3].map(secs));
    let drawn = waits(steep(true)).await;
    assert!(drawn.iter().zip([2, 3, 3].map(secs)).all(|(wait, ceiling)| *wait <= ceiling), "{drawn:?}");
    assert_ne!(drawn, [2, 3, 3].map(secs));
}

#[tokio::test]
async fn a_task_that_is_tried_again_keeps_its_id_its_context_and_its_history() {
    let probe = Probe::default();
    let test = Harness::new(App::new(probe.clone()).register::<Flaky>()).await.unwrap();
    let parent = Env::system().task_id();
    let options = Overrides { parent: Some(parent), tags: vec!["night".into()], ..Overrides::default() };
    let handle = test.client().enqueue(Flaky {}).options(options).header("user", "7").await.unwrap();
    for _ in 0..4 {
        test.drain().await.unwrap();
        test.advance(Duration::from_secs(60)).await.unwrap();
    }
    assert_eq!(probe.seen(), [1, 2, 3, 4].map(|attempt| format!("{} {attempt} Some(\"7\")", handle.id())));
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.meta.parent, task.meta.tags), (Some(parent), vec!["night".to_owned()]));
    assert_eq!(task.attempts.iter().map(|row| row.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn arguments_that_do_not_fit_when_it_runs_fail_at_once_and_are_kept() {
    let test = Harness::new(App::new(Probe::default()).register::<Paint>().register::<Strict>()).await.unwrap();
    let client = test.client();
    // From a program that is newer than this one.
    let sent = [("paint", r#"{"colour":"mauve"}"#), ("paint", "{}"), ("strict", r#"{"a":1,"b":2}"#)];
    let tasks = sent.map(|(kind, args)| {
        let id = Env::system().task_id();
        NewTask::resolve(kind, &Policy::default(), args.to_owned(), Overrides::default(), id, &Limits::default()).unwrap()
    });
    client.store().enqueue(tasks.to_vec()).await.unwrap();
    let good = client.enqueue(Strict { a: 3 }).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 4, "each is tried once");
    assert_eq!(good.result().await.unwrap(), 3, "and they are in nobody's way");
    for task in tasks {
        let kept = client.tasks().get(task.id).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.attempt, kept.args), (State::Failed, 1, task.args));
        assert_eq!(kept.error.unwrap().reason, FailureReason::InvalidArgs);
        assert_eq!(client.tasks().retry(task.id).await.unwrap(), RetryOutcome::Ready, "for a program that understands them");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_where_a_type_asks_for_it() {
    let client = in_memory(app().register::<Strict>()).await;
    client.enqueue_named("add", json!({"a": 1, "more": 2})).await.expect("others ignore them");
    client.enqueue_named("strict", json!({"a": 1})).await.unwrap();
    let (field, problem) = invalid(client.enqueue_named("strict", json!({"a": 1, "more": 2})).await.unwrap_err());
    assert_eq!(field, "args");
    assert!(problem.contains("more"), "{problem}");
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_such() {
    let test = Harness::new(App::new(Probe::default()).register::<Paint>().register::<Strict>()).await.unwrap();
    let none = test.client().enqueue(Paint { colour: Colour::DarkRed }).await.unwrap();
    let week = test.client().enqueue(Strict { a: 1 }).await.unwrap();
    test.drain().await.unwrap();
    assert!(matches!(none.result().await, Err(AwaitError::NotKept { .. })));
    assert_eq!(week.result().await.unwrap(), 1);
    test.advance(Duration::from_secs(8 * 86_400)).await.unwrap();
    test.client().store().prune(10).await.unwrap();
    assert!(week.status().await.unwrap().is_none());
    assert!(matches!(week.result().await, Err(AwaitError::NotKept { .. })));
}

#[task(name = "bounded")]
async fn bounded(#[schemars(length(max = 3))] code: String) -> Result<String> {
    Ok(code)
}

#[task(name = "bounded.parent", max_attempts = 1)]
async fn bounded_parent(cx: &Context<Probe>) -> Result<()> {
    cx.enqueue(Bounded { code: "hunter2".into() }).await?;
    Ok(())
}

#[tokio::test]
async fn a_typed_enqueue_is_checked_for_what_rust_does_not_check() {
    let test = Harness::new(app().register::<Bounded>().register::<BoundedParent>()).await.unwrap();
    let client = test.client();
    let (field, problem) = invalid(client.enqueue(Bounded { code: "hunter2".into() }).await.unwrap_err());
    assert_eq!(field, "args/code");
    assert!(problem.contains('3') && !problem.contains("hunter2"), "{problem}");
    let outcomes = client.enqueue_many(["abc", "abcd"].map(|code| client.enqueue(Bounded { code: code.into() }))).await;
    assert_eq!(outcomes.iter().map(std::result::Result::is_ok).collect::<Vec<_>>(), [true, false]);
    let parent = client.enqueue(BoundedParent {}).await.unwrap();
    test.drain().await.unwrap();
    let error = parent.status().await.unwrap().unwrap().error.unwrap();
    assert!(error.message.starts_with("args/code"), "{error:?}");
    assert_eq!(
        client.tasks().list(&gristmill::record::Filter::default(), None, 10).await.unwrap().items.len(),
        2,
        "nothing else was kept"
    );
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Address {
    colour: Colour,
    number: u8,
}

/// A type whose schema allows what the type itself refuses.
#[derive(Debug, Serialize, JsonSchema)]
struct Even(u32);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            n if n % 2 == 0 => Ok(Self(n)),
            n => Err(serde::de::Error::custom(format!("{n} is odd"))),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, gristmill::Task)]
#[task(name = "ship")]
#[serde(deny_unknown_fields)]
struct Ship {
    to: Address,
    #[serde(default)]
    boxes: std::collections::HashMap<String, Even>,
}

impl Ship {
    async fn handle(self, _: &Context) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_failure_of_arguments_that_do_not_fit_repeats_nothing_of_them() {
    let (heard, _guard) = Heard::listen();
    let test = Harness::new(App::new(Probe::default()).register::<Ship>()).await.unwrap();
    let client = test.client();
    let marker = "4242421";
    let cases = [
        (format!(r#"{{"to": {{"colour": "{marker}", "number": 1}}}}"#), "args/to/colour: "),
        (format!(r#"{{"to": {{"colour": "dark_red", "number": {marker}}}}}"#), "args/to/number: "),
        (format!(r#"{{"to": {{"colour": "dark_red", "number": "{marker}"}}}}"#), "args/to/number: is not of type integer"),
        (format!(r#"{{"to": "{marker}"}}"#), "args/to: is not of type object"),
        (format!(r#"{{"to": {{"colour": "dark_red", "number": 1, "{marker}": 1}}}}"#), "args/to: has fields"),
        (format!(r#"{{"{marker}": 1}}"#), "args"),
        (format!(r#"{{"to": {{"colour": "dark_red", "number": 1}}, "boxes": {{"{marker}": "{marker}"}}}}"#), "args/boxes/*: "),
        (format!(r#"{{"to": {{"colour": "dark_red", "number": 1}}, "boxes": {{"{marker}": {marker}}}}}"#), "args: do not fit"),
    ];
    for (args, told) in cases {
        let id = Env::system().task_id();
        let task =
            NewTask::resolve("ship", &Policy::default(), args.clone(), Overrides::default(), id, &Limits::default()).unwrap();
        client.store().enqueue(vec![task]).await.unwrap();
        test.drain().await.unwrap();
        let error = client.tasks().get(id).await.unwrap().unwrap().error.unwrap();
        assert_eq!(error.reason, FailureReason::InvalidArgs);
        assert!(!format!("{error:?}").contains(marker), "{args}: {error:?}");
        assert!(error.message.starts_with(told), "{args}: {error:?}");
        assert_eq!(heard.lines(&["ERROR", &id.to_string(), "do not fit the task type"]).len(), 1, "operators are told");
    }
    assert!(!heard.lines(&["ERROR", "unknown variant", marker]).is_empty(), "and in full");
}

#[task(name = "closed", max_attempts = 3)]
async fn closed(cx: &Context<Probe>, until_ms: i64) -> Result<()> {
    cx.state.saw("tried");
    Err(Error::retry_at(gristmill::Timestamp::from_millis(until_ms), "closed"))
}

#[tokio::test]
async fn an_attempt_can_be_followed_by_another_at_a_moment() {
    let probe = Probe::default();
    let test = Harness::new(App::new(probe.clone()).register::<Closed>()).await.unwrap();
    let opens = test.now().saturating_add(Duration::from_secs(90));
    let handle = test.client().enqueue(Closed { until_ms: opens.as_millis() }).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.run_at, task.error.unwrap().message.as_str()), (State::Scheduled, opens, "closed"));
    test.advance(Duration::from_secs(90)).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 2, "a moment that has passed means at once");
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Failed);
}

#[tokio::test]
async fn a_task_may_expire_at_a_moment() {
    let test = Harness::new(app()).await.unwrap();
    let client = test.client();
    let (secs, add) = (Duration::from_secs, || client.enqueue(Add { a: 1, b: 2 }));
    let (now, at) = (test.now(), test.now().saturating_add(secs(60)));
    let early = now.saturating_sub(secs(301));
    for enqueue in [add().expires_at(early), add().expires_at(at).delay(secs(361)), add().at(at).expires_at(now)] {
        assert_eq!(invalid(enqueue.await.unwrap_err()).0, "expires_at");
    }
    // This program's clock may be ahead of the store's, which decides.
    let over = add().expires_at(now.saturating_sub(secs(299))).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 0);
    assert_eq!(over.status().await.unwrap().unwrap().state, State::Expired);
    let by_moment = [
        add().expires_at(at).await.unwrap(),
        add().expires_at(at).delay(secs(30)).await.unwrap(),
        add().expires_at(at).at(now.saturating_add(secs(30))).await.unwrap(),
    ];
    let by_period =
        [add().expires(secs(61)).await.unwrap(), add().expires(secs(31)).at(now.saturating_add(secs(30))).await.unwrap()];
    client.queues().pause("default").await.unwrap();
    let all_are = async |handles: &[gristmill::Handle<u32>], state| {
        for handle in handles {
            assert_eq!(handle.status().await.unwrap().unwrap().state, state);
        }
    };
    test.advance(secs(59)).await.unwrap();
    all_are(&by_moment, State::Ready).await;
    test.advance(secs(1)).await.unwrap();
    all_are(&by_moment, State::Expired).await;
    all_are(&by_period, State::Ready).await;
    test.advance(secs(1)).await.unwrap();
    all_are(&by_period, State::Expired).await;
}

#[task(name = "stuck")]
async fn stuck() -> Result<()> {
    std::future::pending().await
}

#[tokio::test]
async fn a_call_may_have_a_deadline_of_its_own() {
    let client = in_memory(app().register::<Stuck>()).await;
    let brief = Duration::from_millis(5);
    let CallError::Failed(failure) = within(client.call(Stuck {}).timeout(brief).into_future()).await.unwrap_err() else {
        panic!("it fails")
    };
    assert_eq!(failure.reason, FailureReason::Timeout);
    let CallError::Failed(failure) =
        within(client.call_named("stuck", json!({})).timeout(brief).into_future()).await.unwrap_err()
    else {
        panic!("it fails")
    };
    assert_eq!(failure.reason, FailureReason::Timeout);
    assert_eq!(client.call(Add { a: 1, b: 2 }).timeout(Duration::from_secs(60)).await.unwrap(), 3);
}

#[task(name = "mail", title = "{subject} to {to}")]
async fn mail(to: String, subject: String, copies: u8) -> Result<()> {
    let _ = (to, subject, copies);
    Ok(())
}

#[derive(Serialize, Deserialize, JsonSchema, gristmill::Task)]
#[task(name = "odd", title = Self::called)]
struct Odd {
    n: i32,
}

impl Odd {
    fn called(&self) -> Option<String> {
        assert!(self.n >= 0, "there is no such thing");
        (self.n > 0).then(|| format!("the {}th", self.n))
    }

    async fn handle(self, _: &Context) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_task_says_what_it_is_about() {
    let test = Harness::new(App::new(Probe::default()).register::<Mail>().register::<Odd>()).await.unwrap();
    let client = test.client();
    let title = async |handle: gristmill::Handle<()>| handle.status().await.unwrap().unwrap().meta.title;
    let mail = |subject: &str| client.enqueue(Mail { to: "ann".into(), subject: subject.into(), copies: 1 });
    assert_eq!(title(mail("Hello").await.unwrap()).await.as_deref(), Some("Hello to ann"));
    assert_eq!(title(mail("a\u{1b}[31m\nb").await.unwrap()).await.as_deref(), Some("a[31mb to ann"));
    let long = title(mail(&"ü".repeat(200)).await.unwrap()).await.unwrap();
    assert!((250..=255).contains(&long.len()) && long.ends_with("ü…"), "{long}");
    assert_eq!(title(mail("Hello").title("something else").await.unwrap()).await.as_deref(), Some("something else"));
    assert_eq!(title(client.enqueue(Odd { n: 7 }).await.unwrap()).await.as_deref(), Some("the 7th"));
    assert_eq!(title(client.enqueue(Odd { n: 0 }).await.unwrap()).await, None);
    let odd = client.enqueue(Odd { n: -1 }).await.unwrap();
    assert_eq!(title(odd.clone()).await, None);
    test.drain().await.unwrap();
    odd.result().await.expect("a title that can't be made is nobody's failure");
}

#[task(name = "reserve", max_attempts = 1)]
async fn reserve(cx: &Context<Probe>, room: String, guarded: bool) -> Result<u32> {
    let taken = cx.state.seen().contains(&room);
    cx.state.saw(&room);
    cx.enqueue(Add { a: 1, b: 1 }).await?;
    if taken && !guarded { Err(Error::fail("it is taken")) } else { Ok(cx.fencing_token()) }
}

#[tokio::test]
async fn each_task_can_be_run_twice_to_find_out_whether_it_bears_that() {
    let probe = Probe::default();
    let test =
        Harness::new(App::new(probe.clone()).register::<Reserve>().register::<Flaky>().register::<Add>()).await.unwrap().twice();
    let good = test.client().enqueue(Reserve { room: "1".into(), guarded: true }).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 2, "itself and its child, which is enqueued once");
    assert_eq!(probe.seen(), ["1", "1", "1+1", "1+1"]);
    assert_eq!(good.result().await.unwrap(), 2, "a redelivery is another claim");

    let failing = test.client().enqueue(Flaky {}).await.unwrap();
    test.drain().await.expect("what fails at once is not run again at once");
    assert_eq!(failing.status().await.unwrap().unwrap().attempts.len(), 1);

    let bad = test.client().enqueue(Reserve { room: "2".into(), guarded: false }).await.unwrap();
    let why = test.drain().await.unwrap_err().to_string();
    assert!(why.contains("reserve") && why.contains(&bad.id().to_string()) && why.contains("it is taken"), "{why}");
    assert_eq!(bad.status().await.unwrap().unwrap().state, State::Succeeded, "the first run was");
    assert_eq!(test.drain().await.unwrap(), 0, "it is said once");
}

#[tokio::test]
async fn the_test_kit_calls_failure_hooks_at_once() {
    let (probe, failed, ended) = (Probe::default(), Probe::default(), Probe::default());
    let (failed_, ended_) = (failed.clone(), ended.clone());
    let app = App::new(probe)
        .register::<Flaky>()
        .on_failed_attempt(move |event| failed_.saw(format!("{} {:?}", event.attempt, event.next)))
        .on_ended(move |event| ended_.saw(event.state.to_string()));
    let test = Harness::new(app).await.unwrap();
    test.client().enqueue(Flaky {}).max_attempts(2).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((failed.seen(), ended.seen()), (vec!["1 Retry { after: 1s }".to_owned()], Vec::new()));
    test.advance(Duration::from_secs(1)).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((failed.seen()[1..].to_vec(), ended.seen()), (vec!["2 Ended(Failed)".to_owned()], vec!["failed".to_owned()]));
    test.client().enqueue(Flaky {}).expires(Duration::from_secs(5)).await.unwrap();
    test.advance(Duration::from_secs(5)).await.unwrap();
    assert_eq!(ended.seen(), ["failed", "expired"]);
}
