//! Of `docs/unique.md`.

use gristmill::{Result, task};

#[task(name = "repo.sync", unique = "{repo}")]
async fn sync(repo: u64) -> Result<()> {
    println!("sync {repo}");
    Ok(())
}

#[task(name = "index", unique(key = "{document}", on_conflict = run_after))]
async fn index(document: u64) -> Result<()> {
    println!("index {document}");
    Ok(())
}
