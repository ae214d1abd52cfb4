//! Of `docs/routing.md`.

use std::time::Duration;

use gristmill::routing::{Route, Routed};
use gristmill::{App, Result, task};

#[task(name = "app.tasks.notify")]
async fn notify(owner: u64, plan: String) -> Result<()> {
    Ok(())
}

fn in_code() {
    let app = App::new(())
        .register::<Notify>()
        .route(Route::new("app.tasks.*").queue("tasks").timeout(Duration::from_secs(600)))
        .route(Route::new("app.tasks.notify").when("plan", "enterprise").queue("enterprise_{queue}"))
        // What only the program knows: it sees the task, and has the last word.
        .route_by(|task| {
            let owner = task.arg("owner")?.as_u64()?;
            (owner == 7).then(|| Routed::default().queue(format!("{}_seven", task.queue())))
        })
        .queue_expires("tasks", Duration::from_secs(3_600));
}
