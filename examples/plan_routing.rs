//! Whoever pays has queues of his own: routes by pattern and by plan, for the tasks of clients and for the children of handlers, and a
//! queue of heavy work that takes no slot of any other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gristmill::record::Filter;
use gristmill::routing::{Route, Routed};
use gristmill::{App, Context, Result, task};

#[task(name = "app.tasks.upload")]
async fn upload(cx: &Context, owner: u64, files: u32) -> Result<u32> {
    // It goes by the same routes as what a client enqueues.
    cx.enqueue(Notify { owner, about: format!("{files} files") }).await?;
    Ok(files)
}

#[task(name = "app.tasks.notify")]
async fn notify(owner: u64, about: String) -> Result<()> {
    println!("owner {owner}: {about}");
    Ok(())
}

#[task(name = "app.tasks.reindex")]
async fn reindex(owner: u64) -> Result<()> {
    println!("owner {owner}: reindexed");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    // What is asked for each enqueue is at hand, and not in a database.
    let plans: Arc<HashMap<u64, &str>> = Arc::new([(7, "enterprise")].into());
    let client = App::new(())
        .register::<Upload>()
        .register::<Notify>()
        .register::<Reindex>()
        .route(Route::new("app.tasks.reindex").queue("heavy").timeout(Duration::from_secs(3_600)))
        .route(Route::new("app.tasks.*").queue("tasks"))
        .route_by(move |task| {
            let plan = plans.get(&task.arg("owner")?.as_u64()?)?;
            Some(Routed::default().queue(format!("{plan}_{}", task.queue())))
        })
        .connect("sqlite:plan_routing.db")
        .await?;

    for owner in [7, 8] {
        client.enqueue(Upload { owner, files: 3 }).await?;
        client.enqueue(Reindex { owner }).await?;
    }
    let queues = ["tasks", "heavy", "enterprise_tasks", "enterprise_heavy"];
    let worker = queues.into_iter().fold(client.worker().drain(true), |worker, queue| worker.queue(queue, 2));
    assert_eq!(worker.start().await?.ended().await.succeeded, 6);

    let mut went: Vec<_> = client.tasks().list(&Filter::default(), None, 100).await?.items;
    went.sort_by(|a, b| (&a.queue, &a.kind).cmp(&(&b.queue, &b.kind)));
    let went: Vec<_> = went.iter().map(|task| (task.queue.as_str(), task.kind.as_str())).collect();
    for (queue, kind) in &went {
        println!("{queue:16} {kind}");
    }
    let expected = [
        ("enterprise_heavy", "app.tasks.reindex"),
        ("enterprise_tasks", "app.tasks.notify"),
        ("enterprise_tasks", "app.tasks.upload"),
        ("heavy", "app.tasks.reindex"),
        ("tasks", "app.tasks.notify"),
        ("tasks", "app.tasks.upload"),
    ];
    assert_eq!(went, expected);
    Ok(())
}
