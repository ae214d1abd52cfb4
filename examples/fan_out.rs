//! State, outcomes as values, progress, and children that are committed together with their parent's success.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gristmill::{App, Context, Error, FromRef, Result, task};

/// The application's state.
struct Shop {
    mailer: Mailer,
}

#[derive(Clone, Default)]
struct Mailer {
    sent: Arc<AtomicU32>,
}

impl FromRef<Shop> for Mailer {
    fn from_ref(shop: &Shop) -> Self {
        shop.mailer.clone()
    }
}

#[task(name = "newsletter.send", queue = "mail", max_attempts = 5, backoff = exponential("10ms", max = "1s"))]
async fn newsletter(cx: &Context<Mailer>, to: String) -> Result<()> {
    if to.is_empty() {
        return Err(Error::cancel("nobody to send to")); // not wanted any more: ends as cancelled
    }
    if cx.attempt() == 1 && to == "bob" {
        return Err("the mail server is busy".parse::<u32>().unwrap_err().into()); // any error: again after a backoff
    }
    cx.state.sent.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[task(name = "newsletter.plan")]
async fn plan(cx: &Context, names: Vec<String>) -> Result<usize> {
    let letters = names.iter().map(|to| Newsletter { to: to.clone() });
    let children = cx.enqueue_many(letters).await?; // committed with this task's success, or not at all
    cx.progress(children.len() as u64, names.len() as u64, "planned");
    Ok(names.len())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mailer = Mailer::default();
    let app = App::new(Shop { mailer: mailer.clone() }).register::<Plan>().register::<Newsletter>();
    let client = app.connect("sqlite:fan_out.db").await?;
    let worker = client.worker().queue("default", 1).queue("mail", 4).start().await?;

    let names = ["ann", "bob", "eve"].map(str::to_owned).to_vec();
    let plan = client.enqueue(Plan { names }).await?;
    println!("planned {}", plan.result().await?);
    for letter in plan.children(None, 100).await?.items {
        println!("{} {}", letter.id, letter.args);
    }
    while mailer.sent.load(Ordering::Relaxed) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{}", worker.stop().await);
    Ok(())
}
