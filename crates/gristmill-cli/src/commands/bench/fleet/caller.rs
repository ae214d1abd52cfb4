use super::super::measure::Result;
use super::super::server;
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::quick;

/// A caller's own transaction with one enqueue, and the same with one plain insert.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let url = place.url("fleet");
    // Makes the tables.
    let (_client, _started) = quick(&url).await?;
    let (enqueue_ms, insert_ms) = server::caller::pairs(&server::caller::connect(&url).await?, bench).await?;
    Ok(vec![
        Figure::new("a transaction with one enqueue", enqueue_ms, "ms"),
        Figure::new("a transaction with one insert", insert_ms, "ms"),
        Figure::new("of the second", enqueue_ms / insert_ms, "").goal(Goal::AtMost(1.3)),
    ])
}
