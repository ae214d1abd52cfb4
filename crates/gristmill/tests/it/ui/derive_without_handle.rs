use gristmill::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "a")]
struct Resize {
    n: u8,
}

fn main() {}
