use gristmill::{Result, task};

#[task(name = "a", timeout = "30")]
async fn no_unit() -> Result<()> {
    Ok(())
}

#[task(name = "a", timeout = 30)]
async fn number() -> Result<()> {
    Ok(())
}

#[task(name = "a", expires = "101w 1y")]
async fn unknown_unit() -> Result<()> {
    Ok(())
}

#[task(name = "a", retention = "never")]
async fn retention() -> Result<()> {
    Ok(())
}

#[task(name = "a", retention = "99999w")]
async fn too_long() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = "5s")]
async fn backoff() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = exponental("5s"))]
async fn misspelt() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = exponential("5x"))]
async fn bad_base() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = exponential("5s", cap = "1h"))]
async fn unknown_part() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = exponential("5s", max = "1h", max = "2h"))]
async fn part_twice() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = list())]
async fn empty_list() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = list("1s", "soon"))]
async fn bad_step() -> Result<()> {
    Ok(())
}

#[task(name = "a", backoff = fixed("1s", "2s"))]
async fn two_fixed() -> Result<()> {
    Ok(())
}

fn main() {}
