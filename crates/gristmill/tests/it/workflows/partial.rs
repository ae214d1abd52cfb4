//! A join in parts: what is done with each few members, and with all in the end.

use super::*;

/// Each part is joined as soon as its own members have ended, whatever the others do; the last join has all, in their order.
#[tokio::test]
async fn each_few_members_are_joined_early_and_all_of_them_once() {
    let world = World::default();
    let client = in_memory(app(world.clone())).await;
    world.probe.close();
    let uploads: Vec<u32> = (1..=7).collect();
    let mut w = client.workflow("upload");
    let waits = w.step("waits", Waits {});
    let mut merged = Vec::new();
    for (n, part) in uploads.chunks(3).enumerate() {
        let mut parts = w.each(format!("process{n}"), part.iter().map(|upload| Process { upload: *upload }));
        if n == 1 {
            parts = parts.after(&waits);
        }
        merged.push(w.step(format!("merge{n}"), Merge::with(parts.results(), None)).result());
    }
    w.step("merge", Merge::with(merged, "all"));
    let run = w.start().await.unwrap();
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    for early in ["waits", "merge [1, 2, 3]", "merge [7]"] {
        world.probe.until_seen(early).await;
    }
    assert_eq!(word(&run, "merge1").await, StepWord::Waiting);
    world.probe.open();
    within(run.result()).await.unwrap();
    worker.stop().await;
    let mut seen = world.probe.seen();
    seen.retain(|said| said.starts_with("merge"));
    assert_eq!(seen.split_off(2), ["merge [4, 5, 6]", "merge [6, 15, 7]"]);
}
