//! Versions of a task type's arguments, while programs of two versions share a store.

use std::time::Duration;

use gristmill::batch::Batch;
use gristmill::context::Stateless;
use gristmill::core::{Filter, State};
use gristmill::error::{FailureReason, UpgradeError};
use gristmill::middleware::{Middleware, Next, Outgoing};
use gristmill::options::{Concurrency, KindSpec, Policy, Upgrade};
use gristmill::routing::Route;
use gristmill::testing::{Harness, assert_enqueued};
use gristmill::workflow::Callback;
use gristmill::{App, Client, Context, Error, Handle, Result, Task, TaskId, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Probe, in_memory, on_file, within};

/// As it was.
mod old {
    use super::*;

    #[task(name = "email.send")]
    pub(super) async fn send(cx: &Context<Probe>, to: String) -> Result<String> {
        cx.state.saw(format!("old {to}"));
        Ok(format!("to {to}"))
    }

    #[task(name = "other")]
    pub(super) async fn other() -> Result<()> {
        Ok(())
    }
}

/// As it is.
mod new {
    use super::*;

    #[task(name = "email.send", version = 3, upgrade = upgrade, queue = "mail", concurrency = limit(4))]
    pub(super) async fn send(
        cx: &Context<Probe>,
        to: Vec<String>,
        #[schemars(length(max = 10))] subject: String,
    ) -> Result<String> {
        cx.state.saw(format!("{} version {}: {} of {subject}", cx.name(), cx.version(), to.join("+")));
        Ok(format!("to {}", to.join("+")))
    }

    /// Version 1 had one recipient, version 2 no subject.
    fn upgrade(from: u32, mut args: Value) -> Result<Value> {
        match args["to"].as_str() {
            Some("nobody") => return Err(Error::retry("there is no such recipient")),
            Some("a number") => return Ok(serde_json::from_value::<u8>(args["to"].take())?.into()),
            Some("panic") => panic!("in the upgrade"),
            Some("list") => return Ok(json!([])),
            Some("long") => return Ok(json!({ "to": [], "subject": "longer than ten" })),
            _ => {}
        }
        if from < 2 {
            args["to"] = json!([args["to"].take()]);
        }
        if from < 3 {
            args["subject"] = json!("nothing");
        }
        Ok(args)
    }
}

fn old_app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).program("test").register::<old::Send>().register::<old::Other>()
}

fn new_app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).program("test").register::<new::Send>()
}

fn newest(to: &str) -> new::Send {
    new::Send { to: vec![to.to_owned()], subject: "s".to_owned() }
}

/// Runs what this program can run.
async fn drain(client: &Client) -> usize {
    let worker = client.worker().queue("default", 1).queue("mail", 1).drain(true).start().await.unwrap();
    let report = within(worker.ended()).await;
    usize::try_from(report.succeeded + report.failed).unwrap()
}

async fn state(client: &Client, id: TaskId) -> State {
    client.tasks().get(id).await.unwrap().unwrap().state
}

async fn kinds(client: &Client) -> Vec<String> {
    client.kinds().list().await.unwrap().into_iter().map(|kind| kind.name).collect()
}

#[tokio::test]
async fn programs_of_two_versions_share_a_store_during_a_deploy() {
    let folder = tempfile::tempdir().unwrap();
    let (was, is) = (Probe::default(), Probe::default());
    let old = on_file(old_app(&was), &folder).await;
    let new = on_file(new_app(&is), &folder).await;

    let first = old.enqueue(old::Send { to: "ann".into() }).await.unwrap();
    let third = new.enqueue(newest("bob")).await.unwrap();
    let record = third.status().await.unwrap().unwrap();
    assert_eq!((record.kind.as_str(), record.queue.as_str()), ("email.send@3", "mail"));

    // The old worker runs what it knows, and leaves the rest alone.
    assert_eq!(drain(&old).await, 1);
    assert_eq!(within(first.result()).await.unwrap(), "to ann");
    assert_eq!((was.seen(), state(&old, third.id()).await), (vec!["old ann".to_owned()], State::Ready));

    // The new one runs all versions: what comes by name is of version 1.
    let again = old.enqueue(old::Send { to: "cid".into() }).await.unwrap();
    let by_name = new.enqueue_named("email.send", json!({ "to": "dan" })).await.unwrap();
    let between = new.enqueue_named("email.send@2", json!({ "to": ["eve", "fay"] })).await.unwrap();
    let listed = async |kind: &str| {
        let filter = Filter { kind: Some(kind.to_owned()), ..Filter::default() };
        new.tasks().list(&filter, None, 10).await.unwrap().items.len()
    };
    assert_eq!((listed("email.send").await, listed("email.send@2").await, listed("email.send@3").await), (3, 1, 1));
    assert_eq!(drain(&new).await, 4);
    assert_eq!(within(again.result()).await.unwrap(), "to cid");
    assert_eq!(within(by_name.result()).await.unwrap(), "to dan");
    assert_eq!(within(between.result()).await.unwrap(), "to eve+fay");
    assert_eq!(within(third.result()).await.unwrap(), "to bob");
    let mut seen = is.seen();
    seen.sort();
    assert_eq!(
        seen,
        [
            "email.send version 1: cid of nothing",
            "email.send version 1: dan of nothing",
            "email.send version 2: eve+fay of nothing",
            "email.send version 3: bob of s",
        ]
    );
    assert_eq!(was.seen().len(), 1);
    assert!(kinds(&new).await.iter().filter(|kind| kind.starts_with("email.send")).eq([
        "email.send",
        "email.send@2",
        "email.send@3"
    ]));
}

#[tokio::test]
async fn what_was_said_of_older_arguments_stays_and_the_options_are_those_of_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::default();
    let arguments = |kind: &KindSpec| kind.schema["properties"].as_object().map(|all| all.len());
    let declared = async |client: &Client, name: &str| {
        let kind = client.kinds().list().await.unwrap().into_iter().find(|kind| kind.name == name).unwrap();
        KindSpec { name: kind.name, schema: kind.schema.unwrap(), fields: Vec::new(), policy: kind.policy.unwrap() }
    };
    drop(on_file(old_app(&probe), &folder).await);
    let client = on_file(new_app(&probe), &folder).await;
    let [first, second, third] =
        [declared(&client, "email.send").await, declared(&client, "email.send@2").await, declared(&client, "email.send@3").await];
    assert_eq!([&first, &second, &third].map(arguments), [Some(1), None, Some(2)]);
    assert!([&first, &second, &third].iter().all(|kind| kind.policy.queue == "mail"));

    // A program that has no code for them checks what each version says.
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let other = App::new(()).connect_to_enqueue(&url).await.unwrap();
    other.enqueue_named("email.send", json!({ "to": "ann" })).await.unwrap();
    other.enqueue_named("email.send@2", json!({ "to": ["ann"] })).await.unwrap();
    other.enqueue_named("email.send@3", json!({ "to": ["ann"], "subject": "s" })).await.unwrap();
    assert!(other.enqueue_named("email.send", json!({ "to": ["ann"] })).await.is_err());
    assert!(other.enqueue_named("email.send@3", json!({ "to": "ann" })).await.is_err());
    assert_eq!(drain(&client).await, 3);
}

#[tokio::test]
async fn an_upgrade_that_fails_fails_the_task_once_and_says_why() {
    let (probe, seen) = (Probe::default(), Probe::default());
    let watch = Sees(seen.clone());
    let client = in_memory(new_app(&probe).middleware_for::<new::Send>(watch)).await;
    for (to, says) in [
        ("nobody", "the arguments of version 1 can't be upgraded to version 3: there is no such recipient"),
        (
            "a number",
            "the arguments of version 1 can't be upgraded to version 3: they are not what it reads; the worker's log says more",
        ),
        ("panic", "the arguments of version 1 can't be upgraded to version 3: it panicked: in the upgrade"),
        ("list", "the arguments of version 1 can't be upgraded to version 3: it gave what is no JSON object"),
        ("long", "args/subject: the value is longer than 10 characters"),
    ] {
        let handle: Handle<Value> = client.enqueue_named("email.send", json!({ "to": to })).await.unwrap();
        assert_eq!(drain(&client).await, 1);
        let record = within(handle.ended()).await.unwrap();
        let failure = record.error.unwrap();
        assert_eq!((record.state, record.attempts.len(), failure.reason), (State::Failed, 1, FailureReason::InvalidArgs), "{to}");
        assert_eq!(failure.message, says);
        // In the caller, too.
        let called = client.call_named("email.send", json!({ "to": to })).await.unwrap_err();
        assert_eq!(called.to_string(), says);
    }
    assert!(seen.seen().contains(&"email.send 1 from 1 to 3".to_owned()), "{:?}", seen.seen());
    assert_eq!(client.call_named("email.send", json!({ "to": "ann" })).await.unwrap(), "to ann");
    assert_eq!(client.call(newest("bob")).await.unwrap(), "to bob");
    assert_eq!(probe.seen(), ["email.send version 1: ann of nothing", "email.send version 3: bob of s"]);
}

/// What middleware of one type sees of its versions.
struct Sees(Probe);

impl Middleware for Sees {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), gristmill::error::InvalidInput> {
        self.0.saw(format!("{} {}", task.name(), task.version()));
        Ok(())
    }

    async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
        let outcome = next.run().await;
        if let Err(error) = &outcome
            && let Some(error) = error.downcast_ref::<UpgradeError>()
        {
            self.0.saw(format!("{} {} from {} to {}", cx.name(), cx.version(), error.from, error.to));
        }
        outcome
    }
}

#[tokio::test]
async fn what_is_said_of_a_type_holds_for_all_versions() {
    let (probe, seen) = (Probe::default(), Probe::default());
    let app = new_app(&probe)
        .options("email.send", Policy { concurrency: vec![Concurrency::of_type(2)], priority: 3, ..Policy::default() })
        .route(Route::new("email.send").queue("fast"))
        .route(Route::new("email.send@2").queue("second"))
        .middleware_for::<new::Send>(Sees(seen.clone()))
        .middleware_if(|name| name == "email.send", Sees(seen.clone()));
    assert_eq!(app.kinds().iter().map(|kind| kind.policy.queue.as_str()).collect::<Vec<_>>(), ["fast"; 3]);
    let client = in_memory(app).await;
    let first = client.enqueue_named("email.send", json!({ "to": "ann" })).await.unwrap();
    let third = client.enqueue(newest("bob")).await.unwrap();
    for id in [first.id(), third.id()] {
        let record = client.tasks().get(id).await.unwrap().unwrap();
        let needs: Vec<_> = record.meta.needs.iter().map(|need| (need.key.as_str(), need.limit)).collect();
        assert_eq!((record.queue.as_str(), record.priority, needs), ("fast", 3, vec![("type:email.send", 2)]));
    }
    assert_eq!(seen.seen(), ["email.send 1", "email.send 1", "email.send 3", "email.send 3"]);
}

#[tokio::test]
async fn steps_children_ticks_and_callbacks_are_of_the_version_of_their_program() {
    #[task(name = "parent")]
    async fn parent(cx: &Context, then: Callback) -> Result<()> {
        cx.enqueue(newest("child")).await?;
        cx.enqueue_named(then.name(), then.args()).await?;
        Ok(())
    }
    let probe = Probe::default();
    let app = new_app(&probe).register::<Parent>().every(Duration::from_secs(60), newest("tick"));
    let test = Harness::new(app).await.unwrap();
    let then = Callback::of(&newest("callback")).unwrap();
    assert_eq!(then.name(), "email.send@3");
    test.client().enqueue(Parent { then }).await.unwrap();
    let mut w = test.client().workflow("mails");
    w.step("one", new::Send::with(vec!["step".to_owned()], "s".to_owned()));
    w.each("many", ["a", "b"].map(newest));
    let run = w.start().await.unwrap();
    assert_enqueued!(test, 3 of new::Send);
    assert_enqueued!(test, newest("step"));
    test.beat_until(test.now().saturating_add(Duration::from_secs(61))).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(test.perform(newest("performed")).await.result, Some(json!("to performed")));
    assert!(run.status().await.unwrap().unwrap().steps.iter().all(|step| step.spec.kind == "email.send@3"));
    let mut seen = probe.seen();
    seen.sort();
    seen.dedup();
    let all = ["a", "b", "callback", "child", "performed", "step", "tick"];
    assert_eq!(seen, all.map(|to| format!("email.send version 3: {to} of s")));
    // The schedule is still the type's, so that a newer version takes its place.
    assert!(test.client().schedules().get("email.send").await.unwrap().is_some());
}

#[tokio::test]
async fn without_an_upgrade_older_tasks_are_left_to_whoever_has_their_code() {
    #[task(name = "email.send", version = 2, upgrade = none)]
    async fn send(cx: &Context<Probe>, to: Vec<String>) -> Result<()> {
        cx.state.saw(format!("new {}", to.join("+")));
        Ok(())
    }
    let probe = Probe::default();
    let folder = tempfile::tempdir().unwrap();
    let new = on_file(App::new(probe.clone()).register::<Send>().options("email.send", Policy::default()), &folder).await;
    let first = on_file(old_app(&probe), &folder).await.enqueue(old::Send { to: "ann".into() }).await.unwrap();
    new.enqueue(Send { to: vec!["bob".into()] }).await.unwrap();
    assert_eq!(drain(&new).await, 1);
    assert_eq!((probe.seen(), state(&new, first.id()).await), (vec!["new bob".to_owned()], State::Ready));
    // Which may be the same program.
    let both = on_file(old_app(&probe).register::<Send>(), &folder).await;
    both.enqueue(Send { to: vec!["cid".into()] }).await.unwrap();
    assert_eq!(drain(&both).await, 2);
    let mut seen = probe.seen();
    seen.sort();
    assert_eq!(seen, ["new bob", "new cid", "old ann"]);
}

/// Has one tenant, where version 1 had a list of one.
#[derive(Clone, Serialize, Deserialize, JsonSchema, Task)]
#[task(
    name = "log.write",
    version = 2,
    upgrade = Self::of_list,
    state = Probe,
    batch(size = 10, wait = "1ms", key = "{tenant}")
)]
struct Write {
    tenant: String,
}

impl Write {
    /// With an error of its own.
    fn of_list(_: u32, args: Value) -> Result<Value, std::fmt::Error> {
        Ok(json!({ "tenant": args["tenants"][0] }))
    }

    async fn handle(cx: &Batch<Probe>, entries: Vec<Self>) -> Result<Vec<Result<()>>> {
        let all: Vec<_> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
        cx.state.saw(format!("{:?}: {}", cx.key(), all.join("+")));
        Ok(entries.iter().map(|_| Ok(())).collect())
    }
}

#[tokio::test]
async fn batches_have_the_keys_of_upgraded_arguments() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register_batch::<Write>()).await;
    let mut handles = Vec::new();
    for _ in 0..2 {
        handles.push(client.enqueue_named("log.write", json!({ "tenants": ["t"] })).await.unwrap().id());
    }
    handles.push(client.enqueue(Write { tenant: "u".into() }).await.unwrap().id());
    assert_eq!(drain(&client).await, 3);
    let seen = probe.seen();
    assert!(
        seen.iter().all(|call| ["Some(\"t\"): t", "Some(\"t\"): t+t", "Some(\"u\"): u"].contains(&call.as_str())),
        "{seen:?}"
    );
    for id in handles {
        assert_eq!(state(&client, id).await, State::Succeeded);
    }
}

/// One with these constants.
macro_rules! by_hand {
    ($name:ident, $called:literal, $version:literal, $upgrade:expr) => {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct $name {}

        impl Task for $name {
            const NAME: &'static str = $called;
            const VERSION: u32 = $version;
            const UPGRADE: Option<Upgrade> = $upgrade;
            type State = Stateless;
            type Output = ();

            async fn run(self, _: &Context) -> Result<()> {
                Ok(())
            }
        }
    };
}

by_hand!(Nothing, "a", 0, None);
by_hand!(TooMany, "a", 101, None);
by_hand!(First, "a", 1, Some(|_, args| Ok(args)));
by_hand!(Twice, "a@2", 3, None);
by_hand!(Plain, "a", 1, None);
by_hand!(OwnSecond, "a@2", 1, None);
by_hand!(Second, "a", 2, Some(|_, args| Ok(args)));
by_hand!(Third, "a", 3, Some(|_, args| Ok(args)));
by_hand!(ThirdAlone, "a", 3, None);

#[test]
fn versions_that_can_not_be_are_told_when_they_are_registered() {
    let mistake = |app: App<()>| app.mistake().map(ToString::to_string).unwrap_or_default();
    let app = || App::new(());
    for (app, says) in [
        (app().register::<Nothing>(), "task type `a`: its version is 0; versions are from 1 to 100"),
        (app().declare::<TooMany>(), "task type `a`: its version is 101; versions are from 1 to 100"),
        (app().register::<First>(), "task type `a`: it has an upgrade, and there is nothing before version 1; say `version = 2`"),
        (
            app().register::<Twice>(),
            "task type `a@2`: its name ends in @2, as that of version 2 of `a` does, and it has a version beside; name it `a`",
        ),
        (
            app().register::<OwnSecond>().register::<Second>(),
            "task type `a@2`: version 2 of `a` has this name, and so has another",
        ),
        (
            app().register::<Third>().register::<OwnSecond>(),
            "task type `a@2`: version 2 of `a` has this name, and so has another",
        ),
        (app().register::<Second>().register::<Third>(), "task type `a`: version 1 of `a` has this name, and so has another"),
        (app().register::<Plain>().register::<Second>(), "leave it to it by `upgrade = none`"),
    ] {
        let told = mistake(app);
        assert!(told.contains(says), "{told}");
    }
    let right = app().register::<Plain>().register::<OwnSecond>().register::<ThirdAlone>();
    assert_eq!(mistake(right), "");
}
