use super::super::measure::{Result, latency_across};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::quick;

/// From the enqueue in this process to the start in another one, which is idle.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let url = place.url("fleet");
    let (client, _started) = quick(&url).await?;
    let (p50, p99) = latency_across(&client, &url, bench).await?;
    Ok(vec![Figure::new("pick-up p50", p50, "ms"), Figure::new("pick-up p99", p99, "ms").goal(Goal::AtMost(5.0))])
}
