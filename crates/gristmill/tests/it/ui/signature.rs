#![allow(unused_variables)]

use gristmill::{Result, task};

struct Service;

impl Service {
    #[task(name = "a")]
    async fn method(&self) -> Result<()> {
        Ok(())
    }
}

#[task(name = "a")]
async fn generic<T>(value: T) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn lifetime<'a>(value: &'a str) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn bounds() -> Result<()>
where
    u8: Copy,
{
    Ok(())
}

#[task(name = "a")]
const fn constant() -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async unsafe fn not_safe() -> Result<()> {
    Ok(())
}

#[task(name = "a")]
extern "C" fn foreign() -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn no_output() {}

#[task(name = "a")]
async fn no_result() -> u8 {
    1
}

#[task(name = "a")]
async fn nameless_output() -> Result<impl Copy> {
    Ok(1)
}

#[task(name = "a")]
async fn borrowed_output() -> Result<&'static str> {
    Ok("a")
}

#[task(name = "a")]
struct Arguments {
    n: u8,
}

#[task(name = "a")]
const N: u8 = 1;

trait Trait {
    #[task(name = "a")]
    async fn no_body() -> Result<()>;
}

fn main() {}
