//! Tests of an application's tasks: no service, no waiting, no thread.

use std::time::Duration;

use gristmill::error::FailureReason;
use gristmill::testing::{Harness, assert_enqueued};
use gristmill::{App, Context, Error, Result, task};

#[task(name = "user.remind")]
async fn remind(user: u32) -> Result<()> {
    let _ = user;
    Ok(())
}

#[task(name = "user.register", max_attempts = 2)]
async fn register(cx: &Context, name: String) -> Result<u32> {
    if name.is_empty() {
        return Err(Error::fail("a user needs a name"));
    }
    cx.enqueue(Remind { user: 7 }).delay(Duration::from_secs(86_400)).await?;
    Ok(7)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let test = Harness::new(App::new(()).register::<Register>().register::<Remind>()).await?;

    // One attempt, by itself.
    let failed = test.perform(Register { name: String::new() }).attempt(2).await;
    assert_eq!(failed.failure.expect("it fails").reason, FailureReason::Error);
    assert!(failed.children.is_empty());

    // Through the queue, with a clock that is moved by hand.
    let handle = test.client().enqueue(Register { name: "ann".into() }).await?;
    test.drain().await?;
    assert_eq!(handle.result().await?, 7);
    assert_enqueued!(test, Remind { user: 7 });
    assert_eq!(test.drain().await?, 0, "not due yet");
    test.advance(Duration::from_secs(86_400)).await?;
    assert_eq!(test.drain().await?, 1);
    assert_enqueued!(test, 0 of Remind);
    println!("all asserted");
    Ok(())
}
