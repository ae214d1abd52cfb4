#![allow(unused_variables)]

use gristmill::{Context, Result, task};

#[task(name = "a")]
async fn pattern((a, b): (u8, u8)) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn nameless(_: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn text(to: &str) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn slice(to: &[u8]) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn reference(to: &mut Vec<u8>) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn inner_reference(to: Option<&str>) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn nameless_type(to: impl Into<String>) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn default_twice(#[task(default)] #[task(default = one)] to: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn unknown(#[task(optional)] to: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn no_option(#[task] to: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn value(#[task(default = 1)] to: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn conditional(#[cfg(unix)] to: u8) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn context_second(to: u8, cx: &Context) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn two_contexts(cx: &Context, other: &Context) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn context_by_value(cx: Context<u8>) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn context_exclusive(cx: &mut Context<u8>) -> Result<()> {
    Ok(())
}

#[task(name = "a")]
async fn context_option(#[task(default)] cx: &Context<u8>) -> Result<()> {
    Ok(())
}

fn main() {}
