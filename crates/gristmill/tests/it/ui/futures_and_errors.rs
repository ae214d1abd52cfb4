use std::rc::Rc;

use gristmill::{Context, Result, task};

#[task(name = "a")]
async fn keeps_an_rc(cx: &Context) -> Result<()> {
    let count = Rc::new(1);
    cx.confirm().await?;
    drop(count);
    Ok(())
}

#[task(name = "b")]
async fn error_that_does_not_convert() -> Result<(), String> {
    Err("text".to_owned())
}

fn main() {}
