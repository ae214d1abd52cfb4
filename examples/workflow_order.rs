//! A workflow with compensation: what was done is undone, the last step first, when a later step fails for good.

use gristmill::workflow::{RunError, StepWord, WorkflowHandle};
use gristmill::{App, Client, Error, Result, task};

#[task(name = "order.reserve")]
async fn reserve(order: u32) -> Result<String> {
    Ok(format!("shelf {order}"))
}

#[task(name = "order.release")]
async fn release(shelf: String) -> Result<()> {
    println!("{shelf} is free again");
    Ok(())
}

#[task(name = "order.charge")]
async fn charge(order: u32, cents: u64) -> Result<u64> {
    println!("order {order} is charged {cents}");
    Ok(cents)
}

#[task(name = "order.refund")]
async fn refund(order: u32, cents: u64) -> Result<()> {
    println!("order {order} is refunded {cents}");
    Ok(())
}

#[task(name = "order.send", max_attempts = 1)]
async fn send(shelf: String, paid: u64) -> Result<String> {
    if shelf == "shelf 13" {
        return Err(Error::fail("the parcel is lost"));
    }
    Ok(format!("{shelf} is on its way, {paid} paid"))
}

async fn order(client: &Client, order: u32) -> Result<WorkflowHandle<String>> {
    let mut w = client.workflow("order").key(format!("order:{order}"));
    let shelf = w.step("reserve", Reserve { order });
    shelf.undo("release", Release::with(shelf.result()));
    let paid = w.step("charge", Charge { order, cents: 4_200 }).after(&shelf);
    paid.undo("refund", Refund::with(order, paid.result()));
    w.step("send", Send::with(shelf.result(), paid.result()));
    Ok(w.start().await?.typed())
}

#[tokio::main]
async fn main() -> Result<()> {
    let app =
        App::new(()).register::<Reserve>().register::<Release>().register::<Charge>().register::<Refund>().register::<Send>();
    let client = app.connect("sqlite:workflow_order.db").await?;
    let worker = client.worker().queue("default", 4).start().await?;

    println!("{}", order(&client, 7).await?.result().await?);

    let lost = order(&client, 13).await?;
    match lost.result().await {
        Err(RunError::Failed { failed: Some(failed), .. }) => println!("{failed}"),
        other => println!("{other:?}"),
    }
    // Awaited with what undoes its steps: it has ended when those have.
    let steps = lost.ended().await?.steps;
    assert!(steps.iter().filter(|step| step.state() == StepWord::Failed).all(|step| step.spec.name == "send"));
    println!("{}", worker.stop().await);
    Ok(())
}
