use gristmill::{Client, Result, task};

#[task(name = "process")]
async fn process(upload: u32) -> Result<u32> {
    Ok(upload)
}

#[task(name = "merge")]
async fn merge(parts: Vec<u32>) -> Result<String> {
    Ok(format!("{parts:?}"))
}

fn write(client: &Client) {
    let mut w = client.workflow("wrong");
    let one = w.step("one", Process { upload: 1 });
    let parts = w.each("process", [Process { upload: 2 }]);
    // One result for a list, and a list for one.
    w.step("a", Merge::with(one.result()));
    w.step("b", Process::with(parts.results()));
    // What some may fail of has gaps.
    let some = parts.may_fail(1);
    w.step("c", Merge::with(some.outcomes()));
    // Nor is a text a number, or a number a task.
    w.step("e", Process::with("text"));
    w.step("f", 7);
}

fn main() {}
