//! `bench --lists`: how long the first page of each filter takes in a store as it is. Only looks.

use std::time::Instant;

use gristmill::core::{Env, SCHEDULE_HEADER};
use gristmill::record::{Filter, State};
use gristmill::{App, Client};
use serde::Serialize;

use crate::exit::CliError;
use crate::output::Out;

/// As many as a person sees.
const ITEMS: usize = 50;
/// Names that are tried of each sort; the slowest is told.
const NAMES_MAX: usize = 30;

/// The first page of one sort of filter: of its names the one that took longest.
#[derive(Debug, Serialize)]
struct Measured {
    filter: &'static str,
    /// Which name was the slowest.
    of: String,
    first_page_ms: f64,
    /// How many it had, of 50.
    items: usize,
    /// Whether there is a next page.
    more: bool,
    /// How many of the filter's first pages were not full, though there is a next one.
    short: usize,
}

pub(super) async fn run(url: &str, repeat: u32, out: &Out) -> Result<(), CliError> {
    let client = App::new(()).connect(url).await?;
    let mut measured = Vec::new();
    for (filter, names) in filters(&client).await? {
        if let Some(one) = slowest(&client, filter, names, repeat).await? {
            measured.push(one);
        }
    }
    out.list(&measured, &["filter", "of", "first page, ms", "items", "more", "short"], |row| {
        vec![
            row.filter.to_owned(),
            row.of.clone(),
            format!("{:.1}", row.first_page_ms),
            row.items.to_string(),
            row.more.to_string(),
            row.short.to_string(),
        ]
    })
}

async fn slowest(
    client: &Client,
    filter: &'static str,
    names: Vec<(String, Filter)>,
    repeat: u32,
) -> Result<Option<Measured>, CliError> {
    let mut slowest: Option<Measured> = None;
    let mut short = 0;
    for (of, wanted) in names.into_iter().take(NAMES_MAX) {
        let mut times = Vec::new();
        let mut page = None;
        for _ in 0..=repeat {
            let since = Instant::now();
            page = Some(client.tasks().list(&wanted, None, ITEMS).await?);
            times.push(since.elapsed().as_secs_f64() * 1000.0);
        }
        // The first look only warms up.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        let first_page_ms = times.get(times.len() / 2).copied().unwrap_or_default();
        let Some(page) = page else { continue };
        short += usize::from(page.items.len() < ITEMS && page.next.is_some());
        if slowest.as_ref().is_none_or(|slowest| slowest.first_page_ms < first_page_ms) {
            let (items, more) = (page.items.len(), page.next.is_some());
            slowest = Some(Measured { filter, of, first_page_ms, items, more, short: 0 });
        }
    }
    Ok(slowest.map(|slowest| Measured { short, ..slowest }))
}

/// Every filter alone, and state and queue together, with the names that the store knows and with some that it does not.
async fn filters(client: &Client) -> Result<Vec<(&'static str, Vec<(String, Filter)>)>, CliError> {
    let none = Filter::default();
    let some = |name: &str| Some(name.to_owned());
    let recent = client.tasks().list(&none, None, 1_000).await?.items;
    let queues: Vec<_> = client.queues().list().await?.into_iter().map(|queue| queue.name).collect();
    let kinds: Vec<_> = client.kinds().list().await?.into_iter().map(|kind| kind.name).collect();
    let workers: Vec<_> = client.workers().list().await?.into_iter().map(|worker| worker.name).collect();
    let states = |states: &[State]| Filter { states: states.to_vec(), ..Filter::default() };
    let now = Env::system().now();
    let day = std::time::Duration::from_secs(86_400);
    let said = |what: fn(&gristmill::record::TaskRecord) -> Option<String>| {
        let mut found: Vec<_> = recent.iter().filter_map(what).collect();
        found.dedup();
        found.push("nope".to_owned());
        found
    };
    let each = |names: Vec<String>, filter: &dyn Fn(&str) -> Filter| {
        names.into_iter().map(|name| (name.clone(), filter(&name))).collect::<Vec<_>>()
    };
    let mut by_state = Vec::new();
    let mut by_both = Vec::new();
    for state in State::ALL {
        by_state.push((state.to_string(), states(&[state])));
        by_both.push((state, each(queues.clone(), &|queue| Filter { queue: some(queue), ..states(&[state]) })));
    }
    let mut all = vec![("everything", vec![(String::new(), none.clone())])];
    all.extend(by_state.into_iter().map(|named| ("state", vec![named])));
    all.extend(by_both.into_iter().map(|(state, named)| {
        ("state and queue", named.into_iter().map(|(queue, filter)| (format!("{state} {queue}"), filter)).collect())
    }));
    all.push(("queue", each(queues, &|queue| Filter { queue: some(queue), ..none.clone() })));
    all.push(("kind", each(kinds.clone(), &|kind| Filter { kind: some(kind), ..none.clone() })));
    let tags = said(|task| task.meta.tags.last().cloned());
    all.push(("tag", each(tags, &|tag| Filter { tag: some(tag), ..none.clone() })));
    let shared = said(|task| task.meta.tags.first().cloned());
    all.push(("tag", each(shared, &|tag| Filter { tag: some(tag), ..none.clone() })));
    let titles = said(|task| task.meta.title.clone());
    all.push(("title", each(titles.clone(), &|title| Filter { title: some(title), ..none.clone() })));
    all.push(("text", each(titles, &|words| Filter { text: some(words), ..none.clone() })));
    let types = kinds.iter().filter_map(|kind| Some(kind.split('.').next()?.to_owned())).collect();
    all.push(("text", each(types, &|words| Filter { text: some(words), ..none.clone() })));
    let schedules = said(|task| task.meta.headers.get(SCHEDULE_HEADER).cloned());
    all.push(("schedule", each(schedules, &|name| Filter { schedule: some(name), ..none.clone() })));
    let parents = recent.iter().filter_map(|task| task.meta.parent).chain(recent.first().map(|task| task.id)).take(NAMES_MAX);
    let parents = parents.map(|id| (id.to_string(), Filter { parent: Some(id), ..none.clone() })).collect();
    all.push(("parent", parents));
    let workers: Vec<_> = workers.into_iter().chain(["nope".to_owned()]).collect();
    all.push(("worker", each(workers, &|name| Filter { worker: some(name), ..none.clone() })));
    all.push(("since", vec![("1d".to_owned(), Filter { from: Some(now.saturating_sub(day)), ..none.clone() })]));
    all.push(("until", vec![("1d".to_owned(), Filter { until: Some(now.saturating_sub(day)), ..none.clone() })]));
    all.push(("until", vec![("1h".to_owned(), Filter { until: Some(now.saturating_sub(day / 24)), ..none })]));
    Ok(all)
}
