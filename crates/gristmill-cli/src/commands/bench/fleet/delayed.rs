use std::time::Duration;

use super::super::measure::{Result, task};
use super::enqueue::{Fleet, SETTLED, nothing};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::next;
use super::window::Counter;

const WORKERS: u32 = 10;
/// 200 a second.
const EVERY: Duration = Duration::from_millis(5);
/// Far beyond the window.
const LATER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(1);

/// Delayed enqueues beside idle workers: those that nobody has to do anything about for long, and those that run.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let mut fleet = Fleet::start(place, WORKERS).await?;
    let counter = Counter::new(place, "fleet").await?;
    tokio::time::sleep(SETTLED).await;
    let (idle, ()) = counter.over(nothing(bench)).await?;
    let (later, count) = counter.over(enqueues(&fleet, LATER, bench)).await?;
    let later = later.each(&idle, count);
    let (soon, count) = counter
        .over(async {
            let count = enqueues(&fleet, SOON, bench).await?;
            for _ in 0..count {
                next(&mut fleet.started).await?;
            }
            tokio::time::sleep(SOON).await;
            Ok(count)
        })
        .await?;
    let soon = soon.each(&idle, count);
    for worker in fleet.workers {
        worker.stop().await;
    }
    let goal = Goal::AtMost(4.0);
    Ok(vec![
        Figure::new("statements a task due in an hour, in all", later.statements, "").goal(goal),
        Figure::new("statements a task due in a second, with its run, in all", soon.statements, "").goal(goal),
    ])
}

async fn enqueues(fleet: &Fleet, delay: Duration, bench: &super::super::Args) -> Result<u64> {
    let count = (bench.fleet.window.as_millis() / EVERY.as_millis()).max(1) as u64;
    let mut clock = tokio::time::interval(EVERY);
    for n in 0..count {
        clock.tick().await;
        task(&fleet.client, n, bench).delay(delay).tag("fleet").await?;
    }
    Ok(count)
}
