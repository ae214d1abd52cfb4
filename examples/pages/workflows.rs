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
