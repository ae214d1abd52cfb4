//! The example's encryption, against changed keys, missing ones, and what was changed in the store.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../encryption.rs"]
mod encryption;

use std::time::Duration;

use encryption::{Charge, Sealed, app};
use gristmill::codec::{Codec, Part, Payload};
use gristmill::core::{Env, State};
use gristmill::testing::Harness;

const OLD: [u8; 64] = [1; 64];
const NEW: [u8; 64] = [2; 64];

fn charge() -> Charge {
    Charge { card: "4242 4242".into(), cents: 900 }
}

#[tokio::test]
async fn what_is_stored_is_sealed_and_what_is_awaited_is_plain() {
    let test = Harness::new(app(Sealed::with("old", OLD))).await.unwrap();
    let charged = test.client().enqueue(charge()).await.unwrap();
    test.drain().await.unwrap();
    let stored = charged.status().await.unwrap().unwrap();
    for text in [&stored.args, stored.result.as_ref().unwrap()] {
        assert!(text.starts_with(r#"{"key":"old","sealed":""#) && !text.contains("4242") && !text.contains("900"), "{text}");
    }
    assert_eq!(charged.result().await.unwrap(), "900 cents from 4242 4242");
}

#[tokio::test]
async fn an_enqueue_can_be_repeated_and_equal_tasks_look_different() {
    let test = Harness::new(app(Sealed::with("old", OLD))).await.unwrap();
    let first = test.client().enqueue(charge()).await.unwrap();
    let again = test.client().enqueue(charge()).id(first.id()).await.unwrap();
    assert_eq!(again.id(), first.id());
    let other = test.client().enqueue(charge()).await.unwrap();
    let args = async |id| test.client().store().get(id).await.unwrap().unwrap().args;
    assert_ne!(args(first.id()).await, args(other.id()).await);
}

/// What one process with some keys seals, another with others opens or not.
#[test]
fn keys_are_changed_one_after_another() {
    let id = Env::system().task_id();
    let payload = Payload::new(id, "card.charge", Part::Args);
    let sealed = |keys: &Sealed| keys.encode(&payload, r#"{"cents":900}"#.to_owned()).unwrap();
    let (old, both) = (Sealed::with("old", OLD), Sealed::with("new", NEW).and("old", OLD));
    assert_eq!(both.decode(&payload, sealed(&old)).unwrap(), r#"{"cents":900}"#);
    assert!(sealed(&both).contains(r#""key":"new""#), "the newest encrypts");
    let missing = old.decode(&payload, sealed(&both)).unwrap_err();
    assert_eq!((missing.to_string(), missing.reason()), ("this process has no key `new`".to_owned(), None), "no failure");
}

#[test]
fn what_was_changed_or_moved_does_not_open() {
    let keys = Sealed::with("old", OLD);
    let ids = [(); 2].map(|()| Env::system().task_id());
    let payload = Payload::new(ids[0], "card.charge", Part::Args);
    let sealed = keys.encode(&payload, "{}".to_owned()).unwrap();
    let elsewhere = [
        Payload::new(ids[1], "card.charge", Part::Args),
        Payload::new(ids[0], "card.refund", Part::Args),
        Payload::new(ids[0], "card.charge", Part::Result),
    ];
    for place in elsewhere {
        assert!(keys.decode(&place, sealed.clone()).is_err(), "{place:?}");
    }
    let (head, tail) = sealed.split_once(r#""sealed":""#).unwrap();
    for damaged in [tail.replacen(&tail[..1], if tail.starts_with('A') { "B" } else { "A" }, 1), "\"}".into(), "?\"}".into()] {
        let error = keys.decode(&payload, format!(r#"{head}"sealed":"{damaged}"#)).unwrap_err();
        assert!(error.to_string().contains("was not encrypted by the key `old`") && error.reason().is_some(), "{error}");
    }
    assert_eq!(keys.decode(&payload, r#"{"plain":1}"#.to_owned()).unwrap(), r#"{"plain":1}"#, "from before");
}

/// A worker without the key puts the task off, at no cost; one that has it runs it.
#[tokio::test]
async fn a_task_waits_for_the_key_that_its_worker_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("keys.db").display());
    let ahead = app(Sealed::with("new", NEW)).connect(&url).await.unwrap();
    let charged = ahead.enqueue(charge()).await.unwrap();
    let drain = async |keys| {
        let client = app(keys).connect(&url).await.unwrap();
        client.worker().queue("default", 1).drain(true).start().await.unwrap().ended().await
    };
    assert_eq!(drain(Sealed::with("old", OLD)).await.rescheduled, 1);
    let task = charged.status().await.unwrap().unwrap();
    let why = task.error.map(|error| error.message);
    assert_eq!((task.state, why.as_deref()), (State::Scheduled, Some("this process has no key `new`")));

    ahead.store().release(&[charged.id()]).await.unwrap();
    assert_eq!(drain(Sealed::with("old", OLD).and("new", NEW)).await.succeeded, 1);
    // The result was sealed by the worker's newest key, which the client that enqueued it has not got.
    let within = Duration::from_secs(60);
    let error = charged.result_within(within).await.unwrap_err();
    assert!(error.to_string().ends_with("can't be decoded: this process has no key `old`"), "{error}");
}
