//! Of `docs/versions.md`.

use gristmill::{Result, task};
use serde_json::{Value, json};

#[task(name = "email.send", version = 2, upgrade = to_many, queue = "mail")]
async fn send_email(to: Vec<String>, subject: String) -> Result<()> {
    println!("{subject} to {}", to.join(", "));
    Ok(())
}

/// Version 1 had one recipient.
fn to_many(_from: u32, mut args: Value) -> Result<Value> {
    args["to"] = json!([args["to"].take()]);
    Ok(args)
}

fn to_current(from: u32, mut args: Value) -> Result<Value> {
    if from < 2 {
        args["to"] = json!([args["to"].take()]);
    }
    if from < 3 {
        args["priority"] = json!("normal");
    }
    Ok(args)
}
