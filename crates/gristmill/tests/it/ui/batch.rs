use gristmill::{Task, task};

#[task(name = "a", batch(size = 10, wait = "1s"))]
async fn function() -> gristmill::Result<()> {
    Ok(())
}

#[derive(Task)]
#[task(name = "a", batch(size = 0, wait = "1s"))]
struct Empty {}

#[derive(Task)]
#[task(name = "a", batch(size = 10, wait = "2m"))]
struct Long {}

#[derive(Task)]
#[task(name = "a", batch(size = 10))]
struct Without {}

#[derive(Task)]
#[task(name = "a", batch(size = 10, wait = "1s", key = "{tenant"))]
struct Keyed {}

#[derive(Task)]
#[task(name = "a", batch(size = 10, wait = "1s", most = 3))]
struct Unknown {}

#[derive(Task)]
#[task(name = "a", batch)]
struct Bare {}

fn main() {}
