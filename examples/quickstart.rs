//! A task, enqueued, run, and its typed result awaited: on SQLite, with no service.

use gristmill::{App, Result, task};

#[task(name = "greet", max_attempts = 3)]
async fn greet(name: String) -> Result<String> {
    Ok(format!("hello {name}"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = App::new(()).register::<Greet>().connect("sqlite:quickstart.db").await?;
    let worker = client.worker().queue("default", 4).start().await?;

    let greeting = client.enqueue(Greet { name: "world".into() }).await?;
    println!("{}", greeting.result().await?);

    worker.stop().await;
    Ok(())
}
