//! A client of somebody else's API, which takes 200 requests a second of a host and tells whoever sends more to come again later. The rate keeps below
//! that, in all workers together; and when the far side takes less for a while, one answer is enough for all who ask it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill::record::{Filter, State};
use gristmill::{App, Context, Error, Result, task};

const A_SECOND: u32 = 200;
const BURST: u32 = 20;

/// Stands for the far side: when it was asked, and until when it takes nothing.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    asked: Vec<Instant>,
    busy_until: Option<Instant>,
    refused: u32,
}

enum Answer {
    Page(u32),
    TooMany { retry_after: Duration },
}

impl Api {
    fn get(&self, page: u32) -> Answer {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Once in a while it is busy with others.
        if seen.asked.len() == 150 {
            seen.busy_until.get_or_insert(now + Duration::from_millis(300));
        }
        if let Some(left) = seen.busy_until.and_then(|until| until.checked_duration_since(now)) {
            seen.refused += 1;
            return Answer::TooMany { retry_after: left };
        }
        seen.asked.push(now);
        Answer::Page(page)
    }
}

#[task(name = "fetch", rate(key = "api:{host}", limit = "200/s", burst = 20))]
async fn fetch(cx: &Context<Api>, host: String, page: u32) -> Result<u32> {
    match cx.state.get(page) {
        Answer::Page(page) => Ok(page),
        Answer::TooMany { retry_after } => {
            cx.remaining(&format!("api:{host}"), 0, retry_after).await?;
            Err(Error::snooze(retry_after))
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let api = Api::default();
    let client = App::new(api.clone()).register::<Fetch>().connect("sqlite:api_client.db").await?;
    for page in 0..400 {
        client.enqueue(Fetch { host: "example.org".to_owned(), page }).await?;
    }
    for rate in client.limits().list("rate:", None).await? {
        println!("{}: {}, {} wait", rate.key, rate.limit, rate.waiting);
    }

    // Both on one rate, as two processes are on two machines.
    let workers = [
        client.worker().queue("default", 50).drain(true).start().await?,
        client.worker().queue("default", 50).drain(true).start().await?,
    ];
    for worker in workers {
        println!("{}", worker.ended().await);
    }

    let all = client.tasks().list(&Filter::default(), None, 1_000).await?.items;
    assert!(
        all.len() == 400 && all.iter().all(|task| task.state == State::Succeeded && task.attempt == 1),
        "no attempt was burnt"
    );
    let seen = api.0.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{} pages, {} refused while it was busy", seen.asked.len(), seen.refused);
    // Those that had begun when it became busy, and no more.
    assert!(seen.refused <= BURST * 2, "{} were refused", seen.refused);
    // Whatever the machine does meanwhile: the store counts at the claim, and a handler begins a little later, so that two bursts may meet.
    for (nth, from) in seen.asked.iter().enumerate() {
        let within = seen.asked[nth..].iter().filter(|at| at.duration_since(*from) < Duration::from_millis(500)).count();
        assert!(within <= (A_SECOND / 2 + 2 * BURST) as usize, "{within} within half a second");
    }
    Ok(())
}
