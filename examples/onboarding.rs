//! Three days of one handler: durable steps, sleeps and an event, with a clock that is moved. Each piece is done once, and while the task waits, no
//! worker has it.

use std::time::Duration;

use gristmill::testing::Harness;
use gristmill::{App, Context, Result, task};

const DAY: Duration = Duration::from_secs(86_400);

#[task(name = "customer.onboard")]
async fn onboard(cx: &Context, name: String) -> Result<String> {
    let account = cx.step("account", async || create_account(&name).await).await?;
    cx.step("welcome", async || mail(&name, "welcome!").await).await?;

    // Whatever the customer does first within a day; a click tells us.
    if cx.event::<String>(format!("confirmed:{account}"), DAY).await?.is_none() {
        cx.step("remind", async || mail(&name, "do you still want an account?").await).await?;
        if cx.event::<String>(format!("confirmed:{account}"), DAY).await?.is_none() {
            cx.step("close", async || mail(&name, "farewell").await).await?;
            return Ok(format!("{account} was never confirmed"));
        }
    }
    cx.sleep(DAY).await?;
    cx.step("tips", async || {
        // A task of its own, which is there when the step is over, and not at all otherwise.
        cx.enqueue(Tips { account }).await?;
        Ok(())
    })
    .await?;
    Ok(format!("{account} is on board"))
}

#[task(name = "customer.tips")]
async fn tips(account: u32) -> Result<()> {
    println!("tips for {account}");
    Ok(())
}

async fn create_account(name: &str) -> Result<u32> {
    println!("an account for {name}");
    Ok(17)
}

async fn mail(to: &str, text: &str) -> Result<()> {
    println!("to {to}: {text}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let test = Harness::new(App::new(()).register::<Onboard>().register::<Tips>()).await?;
    let handle = test.client().enqueue(Onboard { name: "ann".into() }).await?;
    test.drain().await?;
    for reason in test.client().tasks().why(handle.id()).await?.into_iter().flat_map(|why| why.reasons) {
        println!("now {reason}");
    }

    test.advance(DAY).await?; // nothing was confirmed
    test.drain().await?;
    test.client().events().send("confirmed:17", "by mail").await?;
    test.drain().await?;
    test.advance(DAY).await?;
    test.drain().await?;
    println!("{}", handle.result().await?);
    Ok(())
}
