use std::time::Instant;

use super::super::measure::Result;
use super::enqueue::{SETTLED, nothing};
use super::figure::{Figure, Goal};
use super::member::Member;
use super::place::Place;
use super::tasks::quick;
use super::usage::cpu_nanos_of;
use super::window::Counter;

const QUEUES: usize = 5;

/// A worker in a process of its own, with nothing to do.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let (client, _started) = quick(&place.url("look")).await?;
    let mut members = Member::start(1, QUEUES, &place.url("fleet"), &client, bench).await?;
    let Some(member) = members.pop() else { return Ok(Vec::new()) };
    tokio::time::sleep(SETTLED).await;
    let used = || member.pid().and_then(cpu_nanos_of);
    let (since, before) = (Instant::now(), used());
    let window = if place.is_server() {
        Some(Counter::new(place, "fleet").await?.over(nothing(bench)).await?.0)
    } else {
        nothing(bench).await?;
        None
    };
    let percent = before.zip(used()).map(|(before, after)| (after - before) as f64 / 1e7 / since.elapsed().as_secs_f64());
    member.stop().await?;
    let mut figures = Vec::new();
    figures.extend(percent.map(|percent| Figure::new("the worker", percent, "% of a core").goal(Goal::AtMost(0.5))));
    let server = window.and_then(|window| window.server_percent());
    figures.extend(server.map(|percent| Figure::new("its server processes", percent, "% of a core").goal(Goal::AtMost(1.0))));
    figures.extend(window.map(|window| Figure::new("statements", window.statements / window.seconds, "/s")));
    Ok(figures)
}
