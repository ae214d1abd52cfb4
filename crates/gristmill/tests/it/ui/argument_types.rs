use gristmill::{Result, task};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WithoutSchema {
    street: String,
}

#[derive(Debug, Serialize, Deserialize, gristmill::schemars::JsonSchema)]
#[schemars(crate = "gristmill::schemars")]
struct WithoutClone {
    street: String,
}

#[task(name = "a")]
async fn sends(to: WithoutSchema) -> Result<()> {
    drop(to.street);
    Ok(())
}

#[task(name = "b")]
async fn sends_many(many: Vec<WithoutClone>) -> Result<()> {
    drop(many);
    Ok(())
}

fn main() {}
