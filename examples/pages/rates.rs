//! Of `docs/rates.md`.

use std::time::Duration;

use gristmill::{Context, Error, Result, task};

enum Answer {
    Page,
    TooMany { retry_after: Duration },
}

async fn ask(host: &str, path: &str) -> Result<Answer> {
    if host.is_empty() || path.is_empty() {
        return Ok(Answer::TooMany { retry_after: Duration::from_secs(30) });
    }
    Ok(Answer::Page)
}

#[task(name = "api.fetch", rate(key = "api:{host}", limit = "10/s", burst = 5))]
async fn fetch(cx: &Context, host: String, path: String) -> Result<()> {
    match ask(&host, &path).await? {
        Answer::Page => Ok(()),
        Answer::TooMany { retry_after } => {
            cx.remaining(&format!("api:{host}"), 0, retry_after).await?; // for all who ask this host
            Err(Error::snooze(retry_after)) // this one too, and its attempt is given back
        }
    }
}
