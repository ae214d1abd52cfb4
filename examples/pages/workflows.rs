//! Of `docs/workflows.md`.

use gristmill::{Result, task};

#[task(name = "upload.process")]
async fn process(upload: u32) -> Result<u32> {
    Ok(upload)
}

#[task(name = "upload.merge")]
async fn merge(parts: Vec<u32>) -> Result<u32> {
    Ok(parts.iter().sum())
}

#[task(name = "upload.notify")]
async fn notify(commit: String, lines: u32) -> Result<()> {
    Ok(())
}

struct Upload {
    id: u32,
}

mod first {
    use super::Upload;

    use gristmill::workflow::{Failed, WorkflowHandle};
    use gristmill::{Client, Result, task};

    #[task(name = "upload.process", queue = "processing")]
    async fn process(upload: u32) -> Result<u32> {
        Ok(upload)
    }

    #[task(name = "upload.merge")]
    async fn merge(parts: Vec<u32>) -> Result<u32> {
        Ok(parts.iter().sum())
    }

    #[task(name = "upload.notify")]
    async fn notify(commit: String, lines: u32) -> Result<()> {
        println!("{commit}: {lines} lines");
        Ok(())
    }

    #[task(name = "upload.flag")]
    async fn flag(commit: String, failed: Failed) -> Result<()> {
        println!("{commit}: {failed}");
        Ok(())
    }

    async fn uploaded(client: &Client, commit: &str, uploads: &[Upload]) -> Result<WorkflowHandle> {
        let mut w = client.workflow("upload").key(format!("upload:{commit}"));
        let parts = w.each("process", uploads.iter().map(|upload| Process { upload: upload.id }));
        let merged = w.step("merge", Merge::with(parts.results()));
        w.step("notify", Notify::with(commit, merged.result()));
        w.on_failure("flag", Flag::with(commit, w.failure()));
        Ok(w.start().await?)
    }
}

mod pages {
    use gristmill::workflow::Results;
    use gristmill::{Context, Result, task};

    #[task(name = "upload.merge")]
    async fn merge(cx: &Context, parts: Results<u32>) -> Result<u32> {
        let (mut sum, mut pages) = (0, parts.pages(cx));
        while let Some(page) = pages.next().await? {
            sum += page.iter().sum::<u32>();
        }
        Ok(sum)
    }
}

async fn order(client: &gristmill::Client) -> Result<()> {
    use gristmill::workflow::Needs;

    let mut w = client.workflow("upload");
    let parts = w.each("process", [Process { upload: 1 }]);
    let merged = w.step("merge", Merge::with(parts.results())).queue("heavy").priority(2);
    w.step("cleanup", Process { upload: 7 }).after_when(&merged, Needs::End);
    Ok(())
}

async fn in_parts(client: &gristmill::Client, uploads: &[Upload]) -> Result<()> {
    let uploads: Vec<u32> = uploads.iter().map(|upload| upload.id).collect();
    let mut w = client.workflow("upload");
    let mut merged = Vec::new();
    for (n, uploads) in uploads.chunks(10).enumerate() {
        let parts = w.each(format!("process{n}"), uploads.iter().map(|upload| Process { upload: *upload }));
        merged.push(w.step(format!("merge{n}"), Merge::with(parts.results())).result());
    }
    w.step("merge", Merge::with(merged));
    w.start().await?;
    Ok(())
}

async fn handle(client: gristmill::Client, id: gristmill::WorkflowId) -> Result<()> {
    let run = client.workflows().handle(id).typed::<u32>();
    println!("{}", run.result().await?);
    run.pause().await?;
    run.resume().await?;
    run.cancel().await?;
    if let Some(failed) = run.failure().await? {
        println!("{} of {}: {}", failed.task, failed.step, failed.failure.message);
    }
    Ok(())
}

async fn tried_again(run: gristmill::workflow::WorkflowHandle) -> Result<()> {
    use gristmill::workflow::{Retried, Retry};

    match run.retry(Retry::Failed).await? {
        Retried::Done(attempt) => println!("attempt {attempt}"),
        refused => println!("{refused:?}"),
    }
    Ok(())
}

async fn added_later(client: gristmill::Client) -> Result<()> {
    let mut w = client.workflow("upload");
    let parts = w.each("process", [Process { upload: 1 }]).open();
    w.step("merge", Merge::with(parts.results()));
    let run = w.start().await?;
    run.extend(&parts, (2..=100_000).map(|upload| Process { upload })).await?;
    run.close(&parts).await?;
    Ok(())
}

async fn transaction<X: gristmill::core::StartWithin<D>, D>(client: gristmill::Client, tx: X) -> Result<()> {
    let mut w = client.workflow("upload").key("upload:9f2c");
    w.step("process", Process { upload: 7 });
    let run = w.start().within(tx).await?; // as `enqueue(...).within(&tx)`: it goes on when that is committed
    Ok(())
}

mod kit {
    use super::{Merge, Process};

    use gristmill::testing::Harness;
    use gristmill::workflow::StepWord;
    use gristmill::{App, Result};

    async fn a_report_that_can_not_be_read_ends_the_upload() -> Result<()> {
        let test = Harness::new(App::new(()).register::<Process>().register::<Merge>()).await?;
        let mut w = test.client().workflow("upload");
        let parts = w.each("process", [1, 2, 3].map(|upload| Process { upload }));
        w.step("merge", Merge::with(parts.results()));
        let run = w.start().await?.typed::<u32>();

        assert_eq!(test.drain().await?, 4);
        assert_eq!(run.result().await?, 6);
        let steps = run.ended().await?.steps;
        assert_eq!((steps[0].row.tally.members, steps[1].state()), (3, StepWord::Succeeded));
        Ok(())
    }
}

mod durable {
    use std::time::Duration;

    use gristmill::testing::{Harness, Replayed};
    use gristmill::{App, Client, Context, Result, task};
    use serde::Serialize;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    #[task(name = "customer.tips")]
    async fn tips(account: u32) -> Result<()> {
        Ok(())
    }

    #[task(name = "resize")]
    async fn resize(page: u32) -> Result<u32> {
        Ok(page)
    }

    #[task(name = "bind")]
    async fn bind(pages: Vec<u32>) -> Result<u32> {
        Ok(pages.iter().sum())
    }

    #[derive(Serialize)]
    struct Paid {
        by: String,
    }

    async fn create_account(name: &str) -> Result<u32> {
        Ok(17)
    }

    async fn mail(to: &str, text: &str) -> Result<()> {
        Ok(())
    }

    async fn count_pages(book: u32) -> Result<u32> {
        Ok(book)
    }

    fn app() -> App<()> {
        App::new(()).register::<Onboard>()
    }

    #[task(name = "customer.onboard")]
    async fn onboard(cx: &Context, name: String) -> Result<String> {
        let account = cx.step("account", async || create_account(&name).await).await?; // once, whatever happens
        let confirmed: Option<String> = cx.event(format!("confirmed:{account}"), DAY).await?;
        if confirmed.is_none() {
            cx.step("remind", async || mail(&name, "still there?").await).await?;
        }
        cx.sleep(DAY).await?; // no slot, no lease, no attempt
        cx.step("tips", async || Ok(cx.enqueue(Tips { account }).await?.id())).await?; // the child is there with the step
        Ok(format!("{account} is on board"))
    }

    async fn replay() -> Result<()> {
        let test = Harness::new(app()).await?;
        let replayed = test.replay(&serde_json::from_str(&std::fs::read_to_string("order.json")?)?).await?;
        assert!(matches!(replayed, Replayed::Asks(_) | Replayed::Waits(_)), "{replayed:?}"); // and no `Replayed::Mismatch`
        Ok(())
    }

    async fn events(client: &Client, tx: gristmill::sqlite::rusqlite::Transaction<'_>) -> Result<()> {
        client.events().send("paid:17", &Paid { by: "ann".into() }).await?;
        client.events().send("paid:17", &()).kept_for(HOUR).within(&tx).await?; // sent when that is committed
        Ok(())
    }

    #[task(name = "book.print")]
    async fn print(cx: &Context, book: u32) -> Result<u32> {
        let pages = cx.step("count", async || count_pages(book).await).await?;
        let mut w = cx.workflow("pages");
        let resized = w.each("resize", (0..pages).map(|page| Resize { page }));
        w.step("bind", Bind::with(resized.results()));
        cx.replace(w).await // the task is this workflow from now on
    }
}
