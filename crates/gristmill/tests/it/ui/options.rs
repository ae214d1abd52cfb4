use gristmill::{Result, task};

#[task(name = "a", retries = 3)]
async fn unknown() -> Result<()> {
    Ok(())
}

#[task(name = "a", state = u8)]
async fn only_for_the_derive() -> Result<()> {
    Ok(())
}

#[task(name = "a", queue = "a", queue = "b")]
async fn duplicate() -> Result<()> {
    Ok(())
}

#[task(name = "a", priority)]
async fn no_value() -> Result<()> {
    Ok(())
}

#[task(name = "a", queue = "")]
async fn queue() -> Result<()> {
    Ok(())
}

#[task(name = "a", queue = 1)]
async fn queue_number() -> Result<()> {
    Ok(())
}

#[task(name = "a", priority = 10)]
async fn priority() -> Result<()> {
    Ok(())
}

#[task(name = "a", priority = -1)]
async fn negative_priority() -> Result<()> {
    Ok(())
}

#[task(name = "a", max_attempts = 0)]
async fn max_attempts() -> Result<()> {
    Ok(())
}

#[task(name = "a", max_crashes = "3")]
async fn max_crashes() -> Result<()> {
    Ok(())
}

#[task(name = "a", ack = never)]
async fn ack() -> Result<()> {
    Ok(())
}

#[task(name = "a", large_result = "truncate")]
async fn large_result() -> Result<()> {
    Ok(())
}

#[task(name = "a", on_error = keep)]
async fn on_error() -> Result<()> {
    Ok(())
}

#[task(name = "a", tags = "b")]
async fn tags() -> Result<()> {
    Ok(())
}

#[task(name = "a", tags = ["b", ""])]
async fn empty_tag() -> Result<()> {
    Ok(())
}

#[task(name = "a", quiet = "yes")]
async fn quiet() -> Result<()> {
    Ok(())
}

#[task(name = "a", crate = 1)]
async fn no_path() -> Result<()> {
    Ok(())
}

fn main() {}
