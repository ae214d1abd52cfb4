use gristmill::{Task, task};
use serde_json::Value;

#[task(name = "a", version = 0, upgrade = upgrade)]
async fn nothing() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a", version = 101, upgrade = upgrade)]
async fn too_many() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a", version = "2", upgrade = upgrade)]
async fn text() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a", version = 2)]
async fn without() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a", upgrade = upgrade)]
async fn of_what() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a", version = 2, upgrade = "upgrade")]
async fn no_path() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "a@2", version = 3, upgrade = upgrade)]
async fn twice() -> gristmill::Result<()> {
    Ok(())
}

#[derive(Task)]
#[task(name = "a", version = 2, upgrade = upgrade, elsewhere)]
struct Elsewhere {}

#[derive(Task)]
#[task(name = "a", version = 2)]
struct Here {}

#[task(name = "a", version = 2, upgrade = no_upgrade)]
async fn wrong() -> gristmill::Result<()> {
    Ok(())
}

fn upgrade(_: u32, args: Value) -> gristmill::Result<Value> {
    Ok(args)
}

fn no_upgrade(args: Value) -> gristmill::Result<Value> {
    Ok(args)
}

fn main() {}
