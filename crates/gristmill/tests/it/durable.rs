//! Durable steps as an application writes them, on the store in memory.

mod grown;
mod stores;
mod waits;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gristmill::codec::{Codec, Part, Payload};
use gristmill::core::Store;
use gristmill::core::durable::Kept;
use gristmill::core::limits::{MEMORIES_MAX, RESULTS_BYTES_MAX};
use gristmill::durable::{Mismatch, Recorded, Resume, Resumed, StepFailed};
use gristmill::error::FailureReason;
use gristmill::record::State;
use gristmill::testing::{Harness, MemoryBroker, Replayed, assert_enqueued};
use gristmill::{App, Client, Context, Error, FromRef, Result, ResultExt, TaskId, task};
use serde_json::json;

use crate::support::{Probe, in_memory, within};

const HOUR: Duration = Duration::from_secs(3_600);

/// What the handlers here have: what a test sees of them, and which version of the code they are.
#[derive(Clone, Default)]
struct World {
    probe: Probe,
    changed: Arc<AtomicBool>,
    client: Arc<OnceLock<Client>>,
}

impl FromRef<World> for Probe {
    fn from_ref(world: &World) -> Self {
        world.probe.clone()
    }
}

impl World {
    fn change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    fn app(&self) -> App<Self> {
        App::new(self.clone())
            .register::<Steps>()
            .register::<Fails>()
            .register::<Leaf>()
            .register::<Parent>()
            .register::<Changing>()
            .register::<Nested>()
            .register::<Large>()
            .register::<Many>()
            .register::<Patched>()
            .register::<Typed>()
            .register::<Thread>()
    }
}

async fn harness(world: &World) -> Harness {
    Harness::new(world.app()).await.expect("a store in memory")
}

/// What the store keeps of a task.
async fn kept(client: &Client, id: TaskId) -> Vec<(u32, String, Kept)> {
    let memories = client.store().memories(id).await.expect("memories").kept;
    memories.into_iter().map(|memory| (memory.position, memory.name, memory.kept)).collect()
}

fn value(json: &str) -> Kept {
    Kept::Value(json.to_owned())
}

/// Fails after its steps until its third attempt.
#[task(name = "steps", backoff = fixed("0s"))]
async fn steps(cx: &Context<Probe>, n: u32) -> Result<u32> {
    let mut sum = 0;
    for nth in 0..2 {
        sum += cx
            .step("add", async || {
                cx.state.saw(format!("add {nth}"));
                Ok(n + nth)
            })
            .await?;
    }
    if cx.attempt() < 3 {
        return Err(Error::retry("not yet"));
    }
    Ok(sum)
}

#[tokio::test]
async fn what_a_step_gave_is_given_again_and_the_step_not_run() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Steps { n: 10 }).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 3);
    assert_eq!(handle.result().await.unwrap(), 21);
    assert_eq!(world.probe.seen(), ["add 0", "add 1"]);
    let all = kept(test.client(), handle.id()).await;
    assert_eq!(all, [(0, "add".to_owned(), value("10")), (1, "add".to_owned(), value("11"))]);
}

/// What runs in its caller is not run again, and remembers nothing.
#[tokio::test]
async fn a_call_runs_its_steps() {
    let world = World::default();
    let test = harness(&world).await;
    assert_eq!(test.client().call(Large { bytes: 3 }).await.unwrap(), 3);
    let performed = test.perform(Steps { n: 1 }).attempt(3).await;
    assert_eq!(performed.result, Some(json!(3)));
    assert_eq!(world.probe.seen(), ["add 0", "add 1"]);
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("no money")]
struct NoMoney;

/// Its first step fails for good, the second at its first attempt only.
#[task(name = "fails", backoff = fixed("0s"))]
async fn fails(cx: &Context<Probe>) -> Result<String> {
    let charged = cx
        .step("charge", async || {
            cx.state.saw("charge");
            Err::<(), _>(Error::fail(NoMoney))
        })
        .await;
    // The same at each attempt, or a handler that goes on by it would go another way.
    let error = charged.unwrap_err();
    let failed = error.downcast_ref::<StepFailed>().ok_or("it says which step").or_fail()?.clone();
    let tried = cx
        .step("mail", async || {
            cx.state.saw("mail");
            if cx.attempt() == 1 { Err(Error::retry("no net")) } else { Ok(()) }
        })
        .await;
    tried?;
    Ok(format!("{}: {}", failed.name, failed.failure.message))
}

#[tokio::test]
async fn a_failure_that_is_final_is_remembered_and_any_other_is_tried_again() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Fails {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 2);
    assert_eq!(handle.result().await.unwrap(), "charge: no money");
    assert_eq!(world.probe.seen(), ["charge", "mail", "mail"]);
}

#[task(name = "leaf")]
async fn leaf(n: u32) -> Result<u32> {
    Ok(n)
}

/// Enqueues a child in a step and one outside, and fails at its first attempt.
#[task(name = "parent", backoff = fixed("1h"))]
async fn parent(cx: &Context<Probe>) -> Result<()> {
    cx.enqueue(Leaf { n: 1 }).await?;
    cx.step("fan out", async || {
        cx.enqueue(Leaf { n: 2 }).await?;
        // On a thread of its own it is still of this step.
        cx.blocking_with(|cx| cx.block_on(cx.enqueue(Leaf { n: 3 })).map(drop).map_err(Error::from)).await
    })
    .await?;
    let failed = cx.step("in vain", async || {
        cx.enqueue(Leaf { n: 4 }).await?;
        Err::<(), _>(Error::fail("no"))
    });
    assert!(failed.await.is_err());
    if cx.attempt() == 1 { Err(Error::retry("not yet")) } else { Ok(()) }
}

#[tokio::test]
async fn what_a_step_enqueues_is_there_with_it_and_once() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Parent {}).await.unwrap();
    // The children of the step run, though their parent has failed.
    assert_eq!(test.drain().await.unwrap(), 3);
    test.advance(HOUR).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 2);
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Succeeded);
    let filter = gristmill::core::Filter { kind: Some("leaf".to_owned()), ..Default::default() };
    let leaves = test.client().tasks().list(&filter, None, 10).await.unwrap().items;
    let mut args: Vec<_> = leaves.iter().map(|leaf| leaf.args.clone()).collect();
    args.sort_unstable();
    assert_eq!(args, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    assert!(leaves.iter().all(|leaf| leaf.meta.parent == Some(handle.id())));
    assert_enqueued!(test, 0 of Leaf);
}

/// Asks for other things once the code has changed.
#[task(name = "changing", backoff = fixed("1h"), max_attempts = 9)]
async fn changing(cx: &Context<World>, how: String) -> Result<String> {
    let run = async |name: &str| {
        let name_of = name.to_owned();
        cx.step(name, async || {
            cx.state.probe.saw(name_of.clone());
            Ok(name_of)
        })
        .await
    };
    let changed = cx.state.is_changed();
    run("a").await?;
    match how.as_str() {
        "other" | "then sleep" => _ = run(if changed { "x" } else { "b" }).await?,
        "gone" if changed => return Ok("done".to_owned()),
        "sort" if changed => cx.sleep(HOUR).await?,
        "sort" => _ = cx.step("sleep", async || Ok(1)).await?,
        _ => _ = run("b").await?,
    }
    run("c").await?;
    if cx.attempt() == 1 {
        return Err(Error::retry("not yet"));
    }
    if how == "then sleep" {
        cx.sleep(HOUR).await?;
    }
    Ok("done".to_owned())
}

/// A task that was begun by the code before, and comes to the code after.
async fn changed(how: &str) -> (World, Harness, gristmill::Handle<String>) {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Changing { how: how.into() }).await.unwrap();
    test.drain().await.unwrap();
    world.change();
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    (world, test, handle)
}

async fn mismatch(client: &Client, id: TaskId) -> Option<Mismatch> {
    kept(client, id).await.into_iter().find_map(|(_, _, kept)| match kept {
        Kept::Mismatch(mismatch) => Some(mismatch),
        _ => None,
    })
}

#[tokio::test]
async fn a_task_whose_code_has_changed_stands_still_and_says_where() {
    for (how, position, expected, found) in
        [("other", 1, "b", Some("x")), ("gone", 1, "b", None), ("sort", 1, "sleep (a value)", Some("sleep"))]
    {
        let (_, test, handle) = changed(how).await;
        let record = handle.status().await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Scheduled, 1), "{how}: at no cost");
        let found = found.map(str::to_owned);
        let wanted = Mismatch { position, expected: expected.to_owned(), found, fails: false };
        assert_eq!(mismatch(test.client(), handle.id()).await, Some(wanted), "{how}");
        assert_eq!(test.drain().await.unwrap(), 0, "{how}");
    }
}

#[tokio::test]
async fn who_stands_still_goes_on_as_a_person_says() {
    let (world, test, handle) = changed("other").await;
    let tasks = test.client().tasks();
    assert_eq!(tasks.resume(handle.id(), Resume::Again).await.unwrap(), Resumed::Done);
    test.drain().await.unwrap();
    assert!(mismatch(test.client(), handle.id()).await.is_some(), "by the same code it comes no further");
    assert_eq!(tasks.resume(handle.id(), Resume::Forget).await.unwrap(), Resumed::Done);
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "done");
    assert_eq!(world.probe.seen(), ["a", "b", "c", "x", "c"]);
    assert_eq!(tasks.resume(handle.id(), Resume::Fail).await.unwrap(), Resumed::NotPaused);

    let (_, test, handle) = changed("other").await;
    assert_eq!(test.client().tasks().resume(handle.id(), Resume::Fail).await.unwrap(), Resumed::Done);
    test.drain().await.unwrap();
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("as its step 2 it remembers `b`, and the code asks for `x`"), "{error}");
}

/// Its code checks first once it has changed, but only for who has not been charged.
#[task(name = "patched", backoff = fixed("1h"), max_attempts = 9)]
async fn patched(cx: &Context<World>) -> Result<Vec<String>> {
    let mut done = Vec::new();
    if cx.state.is_changed() && cx.patched("check").await? {
        done.push(cx.step("check", async || Ok("check".to_owned())).await?);
    }
    done.push(cx.step("charge", async || Ok("charge".to_owned())).await?);
    if cx.attempt() == 1 { Err(Error::retry("not yet")) } else { Ok(done) }
}

#[tokio::test]
async fn a_planned_change_is_not_seen_by_those_on_their_way() {
    let world = World::default();
    let test = harness(&world).await;
    let before = test.client().enqueue(Patched {}).await.unwrap();
    test.drain().await.unwrap();
    world.change();
    let after = test.client().enqueue(Patched {}).await.unwrap();
    test.drain().await.unwrap();
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(before.result().await.unwrap(), ["charge"]);
    assert_eq!(after.result().await.unwrap(), ["check", "charge"]);
}

/// A step in a step, which nobody could answer twice in the same order.
#[task(name = "nested")]
async fn nested(cx: &Context<Probe>) -> Result<()> {
    cx.step("outer", async || cx.step("inner", async || Ok(())).await).await
}

#[task(name = "large")]
async fn large(cx: &Context<Probe>, bytes: usize) -> Result<usize> {
    let text = cx.step("text", async || Ok("x".repeat(bytes))).await?;
    Ok(text.len())
}

#[task(name = "many")]
async fn many(cx: &Context<Probe>) -> Result<()> {
    for _ in 0..=MEMORIES_MAX {
        cx.step("one", async || Ok(())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_out_of_a_limit_fails_the_task_for_good_and_says_why() {
    let test = harness(&World::default()).await;
    let client = test.client();
    let large = client.enqueue(Large { bytes: RESULTS_BYTES_MAX }).await.unwrap();
    let nested = client.enqueue(Nested {}).await.unwrap();
    let many = client.enqueue(Many {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 3, "none is tried again");
    for (id, words) in [
        (large.id(), "step: the value of `text` has 1048578 bytes of JSON; at most 1048576 are remembered"),
        (nested.id(), "`inner` is asked for within a step"),
        (many.id(), "`one` would be more than 10000 things that a task asks for"),
    ] {
        let error = client.tasks().get(id).await.unwrap().unwrap().error.unwrap();
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[task(name = "spawns", max_attempts = 1)]
async fn spawns(cx: &Context<Probe>) -> Result<()> {
    cx.step("spawn", async || {
        for n in 0..100 {
            cx.enqueue(Leaf { n }).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_step_enqueues_is_bounded_in_bytes_as_what_an_attempt_does() {
    let limits = gristmill::options::Limits { children_bytes: 500, ..Default::default() };
    let test = Harness::new(App::new(World::default()).register::<Spawns>().register::<Leaf>().limits(limits)).await.unwrap();
    let handle = test.client().enqueue(Spawns {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1, "none of them is kept");
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("children: the tasks that one step enqueues may have at most 500 bytes together"), "{error}");
}

/// What it remembers is of another type once the code has changed.
#[task(name = "typed", backoff = fixed("1h"))]
async fn typed(cx: &Context<World>) -> Result<()> {
    if cx.state.is_changed() {
        let _: u32 = cx.step("secret", async || Ok(1)).await?;
    } else {
        let _: String = cx.step("secret", async || Ok("a secret".to_owned())).await?;
    }
    Err(Error::retry("not yet"))
}

#[tokio::test]
async fn a_value_that_can_not_be_read_any_more_fails_the_step_and_is_not_shown() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Typed {}).await.unwrap();
    test.drain().await.unwrap();
    world.change();
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    let record = handle.status().await.unwrap().unwrap();
    let error = record.error.unwrap().message;
    assert_eq!(record.state, State::Failed);
    assert!(error.contains("what step 1, `secret`, gave can't be read as `u32` (line 1, column 10 of its JSON)"), "{error}");
}

/// On a thread, where an error ends what a drop can't.
#[task(name = "thread")]
fn thread(cx: &Context<Probe>) -> Result<u32> {
    let n = cx.block_on(cx.step("n", async || {
        cx.state.saw("n");
        Ok(7)
    }))?;
    let slept = cx.block_on(cx.sleep(HOUR));
    cx.state.saw(if slept.is_ok() { "slept" } else { "ended" });
    slept?;
    let m = cx.block_on(async { tokio::join!(cx.event::<u32>("m", None), cx.step("beside", async || Ok(1))) });
    Ok(n + m.0?.unwrap_or_default() + m.1?)
}

#[tokio::test]
async fn a_handler_on_a_thread_does_the_same() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Thread {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    test.advance(HOUR).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    let beside = kept(test.client(), handle.id()).await.into_iter().any(|(_, name, kept)| name == "beside" && kept == value("1"));
    assert!(beside, "it waits once nothing else goes on");
    test.client().events().send("m", &3).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    assert_eq!(handle.result().await.unwrap(), 11);
    assert_eq!(world.probe.seen(), ["n", "ended", "slept", "slept"]);
}

/// What it gets is quoted once more each time.
struct Quotes;

impl Codec for Quotes {
    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String> {
        Ok(if payload.part == Part::Step { json!({ "sealed": plain }).to_string() } else { plain })
    }

    fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String> {
        if payload.part != Part::Step {
            return Ok(stored);
        }
        let sealed: serde_json::Value = serde_json::from_str(&stored)?;
        Ok(sealed["sealed"].as_str().ok_or("not sealed").or_fail()?.to_owned())
    }
}

#[tokio::test]
async fn what_a_step_gave_is_stored_as_the_codec_says() {
    let world = World::default();
    let test = Harness::new(world.app().codec(Quotes)).await.unwrap();
    let handle = test.client().enqueue(Steps { n: 10 }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 21);
    assert_eq!(kept(test.client(), handle.id()).await[0].2, value(r#"{"sealed":"10"}"#));
}

/// As after a crash between the work and its acknowledgement.
#[tokio::test]
async fn a_task_that_is_delivered_twice_runs_its_steps_once() {
    let world = World::default();
    let test = harness(&world).await.twice();
    let handle = test.client().enqueue(Steps { n: 10 }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 21);
    assert_eq!(world.probe.seen(), ["add 0", "add 1"]);
}

/// Nothing keeps what a step did there.
#[tokio::test]
async fn a_source_that_keeps_nothing_refuses_a_step() {
    use gristmill::core::{Env, NewTask, Overrides};
    use gristmill::{Task, options::Limits};
    let env = Env::system();
    let broker = MemoryBroker::new(env.clone());
    let args = r#"{"n": 1}"#.to_owned();
    let task = NewTask::of(&Steps::kind(), args, Overrides::default(), env.task_id(), &Limits::default()).unwrap();
    broker.publish(task);
    let failed = Probe::default();
    let tell = failed.clone();
    let app = App::new(Probe::default()).register::<Steps>();
    let app = app.on_failed_attempt(move |event| tell.saw(event.failure.message.clone()));
    let worker = app.worker_on(broker).unwrap().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.failed, 1);
    assert_eq!(failed.seen(), ["what hands out this task keeps no durable steps; run it from a store"]);
}

/// In a worker, on the clock of the machine.
#[tokio::test]
async fn a_worker_runs_durable_steps() {
    let world = World::default();
    let client = in_memory(world.app()).await;
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let steps = client.enqueue(Steps { n: 10 }).await.unwrap();
    let fails = client.enqueue(Fails {}).await.unwrap();
    assert_eq!(within(steps.result()).await.unwrap(), 21);
    assert_eq!(within(fails.result()).await.unwrap(), "charge: no money");
    worker.stop().await;
}

#[test]
fn a_failure_of_a_step_says_what_it_was() {
    let failure = gristmill::core::Failure::new(FailureReason::Error, "no money");
    assert_eq!(StepFailed { name: "charge".to_owned(), failure }.to_string(), "no money");
}

/// What production has, as the test of a change gets it.
#[tokio::test]
async fn an_exported_task_is_replayed_against_the_code_of_today() {
    let world = World::default();
    let test = harness(&world).await;
    let handle = test.client().enqueue(Changing { how: "other".into() }).await.unwrap();
    test.drain().await.unwrap();
    let recorded = test.client().tasks().export(handle.id()).await.unwrap().unwrap();
    let text = serde_json::to_string(&recorded).unwrap();
    assert!(text.contains(r#"{"position":0,"name":"a","occurrence":0,"kept":"value","value":"a"}"#), "{text}");
    let mut recorded: Recorded = serde_json::from_str(&text).unwrap();
    let seen = world.probe.seen();
    let replayed = test.replay(&recorded).await.unwrap();
    assert!(matches!(&replayed, Replayed::Ended(ended) if ended.failure.is_some()), "{replayed:?}");
    recorded.steps.pop();
    let replayed = test.replay(&recorded).await.unwrap();
    assert!(matches!(&replayed, Replayed::Asks(names) if names == &["c"]), "{replayed:?}");
    world.change();
    let replayed = test.replay(&recorded).await.unwrap();
    let Replayed::Mismatch(mismatch) = replayed else { panic!("{replayed:?}") };
    assert_eq!(mismatch.to_string(), "as its step 2 it remembers `b`, and the code asks for `x`");
    assert_eq!(world.probe.seen(), seen, "nothing is done");
    // What an argument refers to is no part of an export, and is not asked for of a task that has become a workflow.
    recorded.args = json!({ "how": { "$result": "before" } });
    assert!(test.replay(&recorded).await.unwrap_err().to_string().contains("refer to results of other steps"));
    let became = json!({ "position": 0, "name": "w", "kept": "replaced", "workflow": recorded.id, "result": null });
    recorded.steps = vec![serde_json::from_value(became).unwrap()];
    assert!(matches!(test.replay(&recorded).await.unwrap(), Replayed::Replaced));
    recorded.kind = "gone".to_owned();
    assert!(test.replay(&recorded).await.unwrap_err().to_string().contains("`gone` is none of this application"));
}

/// By an operator, and not as one who stands still is resumed; the code is as it was by then.
#[tokio::test]
async fn who_stood_still_and_was_released_is_not_said_to_stand_still() {
    let (world, test, handle) = changed("sort").await;
    world.changed.store(false, Ordering::Relaxed);
    test.client().tasks().release(handle.id()).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "done");

    let (world, test, handle) = changed("then sleep").await;
    world.changed.store(false, Ordering::Relaxed);
    test.client().tasks().release(handle.id()).await.unwrap();
    test.drain().await.unwrap();
    let why = test.client().tasks().why(handle.id()).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [gristmill::record::Reason::Sleeps { position: 3, .. }, ..]), "{why:?}");
}
