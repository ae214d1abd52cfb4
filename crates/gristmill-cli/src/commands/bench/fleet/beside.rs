use std::time::{Duration, Instant};

use super::super::measure::{QUEUE, Result, median};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::shared::fill;
use super::tasks::{queues, serve, slowly};

const CONCURRENCY: u32 = 8;
/// So many tasks for each millisecond of the window, as a task takes about 20 ms.
const PER_MS: f64 = CONCURRENCY as f64 / 20.0;
const IDLE: usize = 4;

/// A worker of one queue whose slots are always taken, and one that serves queues without tasks as well; in turn. Tasks of some
/// milliseconds, as the worker can't hide by a buffer that it did not look for more.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let client = slowly(&place.url("fleet")).await?;
    let tasks = ((bench.fleet.window.as_millis() as f64 * PER_MS) as u64).max(100);
    let all = queues(1 + IDLE);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeat {
        for (served, rates) in [(&all[..1], &mut alone), (&all[..], &mut beside)] {
            fill(&client, QUEUE, tasks, bench).await?;
            let since = Instant::now();
            let worker = serve(&client, served, CONCURRENCY).await?;
            while !client.store().pending(&all[..1], Duration::ZERO).await?.is_idle() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            rates.push(tasks as f64 / since.elapsed().as_secs_f64());
            worker.stop().await;
        }
    }
    let (alone, beside) = (median(alone), median(beside));
    Ok(vec![
        Figure::new("drain of a queue alone", alone, "/s"),
        Figure::new(format!("the same beside {IDLE} idle queues"), beside, "/s"),
        Figure::new("of the first", beside / alone, "").goal(Goal::AtLeast(0.95)),
    ])
}
