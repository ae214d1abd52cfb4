use std::time::{Duration, Instant};

use super::super::measure::{QUEUE, Result, bulk, median};
use super::figure::{Figure, Goal};
use super::member::Member;
use super::place::Place;
use super::tasks::quick;

/// Several worker processes drain a store, all of which are at work before the queue is opened; in turn.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let (client, _started) = quick(&place.url("look")).await?;
    let counts = &bench.fleet.processes;
    let mut rates = vec![Vec::new(); counts.len()];
    for _ in 0..bench.repeat {
        for (count, rates) in counts.iter().zip(&mut rates) {
            client.queues().pause(QUEUE).await?;
            bulk(&client, bench).await?;
            let members = Member::start(*count, 1, &place.url("fleet"), &client, bench).await?;
            let since = Instant::now();
            client.queues().resume(QUEUE).await?;
            while !client.store().pending(&[QUEUE.to_owned()], Duration::ZERO).await?.is_idle() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            rates.push(bench.tasks as f64 / since.elapsed().as_secs_f64());
            for member in members {
                member.stop().await?;
            }
        }
    }
    let rates: Vec<_> = rates.into_iter().map(median).collect();
    let mut figures = Vec::new();
    for (n, (count, rate)) in counts.iter().zip(&rates).enumerate() {
        figures.push(Figure::new(format!("drain by {count} processes"), *rate, "/s"));
        if let Some(first) = rates.first().filter(|_| n > 0) {
            figures.push(Figure::new("of the first", rate / first, "").goal(Goal::AtLeast(0.95)));
        }
    }
    Ok(figures)
}
