use gristmill::{Result, task};

#[task]
async fn missing() -> Result<()> {
    Ok(())
}

#[task(name = "")]
async fn empty() -> Result<()> {
    Ok(())
}

#[task(name = "two\nlines")]
async fn control() -> Result<()> {
    Ok(())
}

#[task(name = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345")]
async fn long() -> Result<()> {
    Ok(())
}

const NAME: &str = "computed";

#[task(name = NAME)]
async fn computed() -> Result<()> {
    Ok(())
}

#[task("email.send")]
async fn positional() -> Result<()> {
    Ok(())
}

#[task(name "email.send")]
async fn no_equals_sign() -> Result<()> {
    Ok(())
}

#[task(name = "email.send")]
async fn _2() -> Result<()> {
    Ok(())
}

fn main() {}
