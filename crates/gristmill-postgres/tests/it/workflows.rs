//! What workflows go through on a server beyond what every store promises: many processes, open transactions, crashes, other versions.

use gristmill_conformance::suite::checks;

use crate::conformance::Schemas;

#[tokio::test(flavor = "multi_thread")]
async fn dev() {
    let subject = match std::env::var("DEV").as_deref() {
        Ok("pooled") => Schemas::pooled(),
        Ok("days") => Schemas::many_days(),
        _ => Schemas::direct(),
    };
    for check in checks().filter(|check| check.name.starts_with("workflows")) {
        println!("{}", check.name);
        check.run(&subject).await;
    }
}
