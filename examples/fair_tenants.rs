//! A queue that many tenants share: one of them brings a thousand imports, and the next one's first begins all the same.

use std::sync::{Arc, Mutex};

use gristmill::options::FairBy;
use gristmill::{App, Context, Result, task};

/// Whose imports began, in their order.
type Began = Arc<Mutex<Vec<String>>>;

#[task(name = "import", queue = "imports")]
async fn import(cx: &Context<Began>, tenant: String, file: u32) -> Result<()> {
    let _ = file;
    cx.state.lock().unwrap().push(tenant);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let began = Began::default();
    let client = App::new(began.clone())
        .register::<Import>()
        .queue_fair_by("imports", FairBy::by("{tenant}".parse()?))
        .connect("sqlite:fair_tenants.db")
        .await?;

    let imports =
        |tenant: &str, files: u32| (0..files).map(|file| Import { tenant: tenant.to_owned(), file }).collect::<Vec<_>>();
    for (tenant, files) in [("large", 1_000), ("small", 5), ("new", 5)] {
        for enqueued in client.enqueue_many(imports(tenant, files)).await {
            enqueued?;
        }
    }

    // One at a time, so that what begins when is seen.
    let ended = client.worker().queue("imports", 1).drain(true).start().await?.ended().await;
    assert_eq!(ended.succeeded, 1_010);

    let began = began.lock().unwrap();
    println!("{:?}", &began[..12]);
    let last_of = |tenant: &str| began.iter().rposition(|of| of == tenant).unwrap();
    assert!(last_of("small") < 20 && last_of("new") < 20, "who came later was not delayed by a thousand");
    assert_eq!(last_of("large"), 1_009);
    Ok(())
}
