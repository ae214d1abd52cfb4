//! Of `docs/limits.md`.

use gristmill::options::FairBy;
use gristmill::{App, Result, task};

#[task(name = "provision", concurrency = limit(4, key = "openstack:{settings_id}"))]
async fn provision(settings_id: u64, instance: String) -> Result<()> {
    println!("{instance} on {settings_id}");
    Ok(())
}

#[task(name = "account.apply", sequence = "account:{account}")]
async fn apply(account: u64, change: String) -> Result<()> {
    println!("{change} of {account}");
    Ok(())
}

#[task(name = "import")]
async fn import(tenant: String) -> Result<()> {
    println!("{tenant}");
    Ok(())
}

fn fair() -> Result<()> {
    let app = App::new(()).register::<Import>().queue_fair_by("imports", FairBy::by("{tenant}".parse()?));
    Ok(())
}
