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

#[task(name = "uploads.process", unique(key = "{commit}", on_conflict = collect, list = "uploads"))]
async fn process(commit: String, uploads: Vec<u64>) -> Result<()> {
    println!("{commit}: {uploads:?}");
    Ok(())
}

#[task(name = "notify", debounce(key = "notify:{user}", wait = "5s", max_wait = "1m"))]
async fn notify(user: u64, text: String) -> Result<()> {
    println!("{user}: {text}");
    Ok(())
}
