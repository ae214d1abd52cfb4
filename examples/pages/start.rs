//! The program of `docs/start-rust.md`: a task that runs, one that is retried, and one again and again.

use std::time::Duration;

use gristmill::{App, Context, Error, Result, task};

#[task(name = "greet")]
async fn greet(name: String) -> Result<String> {
    Ok(format!("hello {name}"))
}

#[task(name = "fetch", max_attempts = 3, backoff = fixed("1s"))]
async fn fetch(cx: &Context, url: String) -> Result<String> {
    if cx.attempt() == 1 {
        return Err(Error::retry("the server is busy"));
    }
    Ok(format!("{url} in attempt {}", cx.attempt()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = App::new(())
        .register::<Greet>()
        .register::<Fetch>()
        .every(Duration::from_secs(2), Greet { name: "again".into() })
        .connect("sqlite:start.db")
        .await?;
    let worker = client.worker().start().await?;

    let greeting = client.enqueue(Greet { name: "world".into() }).await?;
    println!("{}", greeting.result().await?);
    let fetched = client.enqueue(Fetch { url: "https://example.org".into() }).await?;
    println!("{}", fetched.result().await?);

    tokio::signal::ctrl_c().await?; // until then, a greeting every two seconds
    println!("{}", worker.stop().await);
    Ok(())
}
