use gristmill::{Result, task};

fn text() -> std::result::Result<u8, String> {
    Err("text".to_owned())
}

fn any() -> anyhow::Result<u8> {
    anyhow::bail!("any")
}

#[task(name = "a")]
async fn a_text_by_question_mark() -> Result<u8> {
    Ok(text()?)
}

#[task(name = "b")]
async fn anyhow_by_question_mark() -> Result<u8> {
    Ok(any()?)
}

#[task(name = "c")]
async fn all_in_anyhow() -> anyhow::Result<u8> {
    any()
}

fn main() {}
