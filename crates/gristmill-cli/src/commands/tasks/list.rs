use std::io::{self, IsTerminal};
use std::time::Duration;

use gristmill::Client;
use gristmill::core::json::{PageJson, TaskJson};
use gristmill::core::{Cursor, Page, Wake, limits};
use gristmill::record::{Filter, TaskRecord};
use serde::Serialize;

use super::columns::{Column, Sort, sort};
use super::which::Which;
use crate::commands::unserved::tell_filter;
use crate::exit::CliError;
use crate::output::{self, Format, Out, table};

/// So many pages are read for one list with a query of which each task has to be asked; a page asks a bounded number.
const PAGES_ASKED: usize = 5;
/// So many pages are read to count.
const PAGES_COUNTED: usize = 100;
/// What changes in between is shown at once, where the store hears of it.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// However much changes, a person reads no faster.
const WATCH_PAUSE: Duration = Duration::from_millis(250);

/// Arguments of `tasks list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// A query, such as state:failed kind:email* 'age:>1h'; the same as --query
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
    #[command(flatten)]
    pub(super) filter: Which,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
    /// All that match, page by page: for an export
    #[arg(long, conflicts_with_all = ["limit", "cursor", "count", "watch"])]
    all: bool,
    /// The columns of the table
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', value_enum)]
    columns: Vec<Column>,
    /// Sort what is listed by this column, with a - from its end; which tasks are listed does not change
    #[arg(long, value_name = "COLUMN", value_parser = sort, allow_hyphen_values = true)]
    sort: Option<Sort>,
    /// Only how many there are, up to 10000
    #[arg(long, conflicts_with_all = ["limit", "cursor", "columns", "sort", "watch"])]
    count: bool,
    /// Show them again whenever something changes, until ctrl-c
    #[arg(long, conflicts_with = "cursor")]
    watch: bool,
}

impl List {
    /// The filter, checked before a store is asked.
    pub(super) fn filter(&self) -> Result<Filter, CliError> {
        self.filter.filter(&self.words)
    }

    /// Sorts a page as it was asked for; the columns of its table, with their headers.
    fn arrange(&self, page: &mut PageJson<TaskJson>) -> (Vec<&'static str>, &[Column]) {
        if let Some(sort) = self.sort {
            sort.sort(&mut page.items);
        }
        let columns = if self.columns.is_empty() { &Column::USUAL } else { self.columns.as_slice() };
        (columns.iter().map(|column| column.name()).collect(), columns)
    }
}

pub(super) async fn run(args: &List, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.all {
        return all(args, filter, client, out).await;
    }
    match (args.count, args.watch) {
        (true, _) => count(filter, client, out).await,
        (false, true) => watch(args, filter, client, out).await,
        (false, false) => {
            let (mut page, is_cut) = page(client, filter, args.cursor, args.limit.into()).await?;
            tell_cut(filter, &page, is_cut);
            if page.items.is_empty() && args.cursor.is_none() {
                tell_filter(filter, client).await;
            }
            show(args, &mut page, out)
        }
    }
}

/// Lists page by page. Lines are written as they come; what is one value or one table is gathered first.
async fn all(args: &List, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    let (mut whole, mut after, mut found) = (PageJson::new(Vec::new(), None), None, false);
    loop {
        let page = client.tasks().list(filter, after, limits::PAGE_ITEMS_MAX).await?;
        after = page.next;
        let items = page.items.into_iter().map(TaskJson::of);
        found |= items.len() > 0;
        if out.format == Format::Jsonl && args.sort.is_none() {
            out.lines(&items.collect::<Vec<_>>())?;
        } else {
            whole.items.extend(items);
        }
        if after.is_none() {
            break;
        }
    }
    if !found {
        tell_filter(filter, client).await;
    }
    show(args, &mut whole, out)
}

fn show(args: &List, page: &mut PageJson<TaskJson>, out: &Out) -> Result<(), CliError> {
    let (headers, columns) = args.arrange(page);
    out.page(page, &headers, |task| columns.iter().map(|column| column.cell(task)).collect())
}

/// A page that is full or the last, and whether it is cut as enough was read. The store gives back less when it has read many rows
/// that do not match.
async fn page(
    client: &Client,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(PageJson<TaskJson>, bool), CliError> {
    let mut page: Page<TaskRecord> = client.tasks().list(filter, after, limit).await?;
    let mut pages = 1;
    while let (true, Some(next)) = (page.items.len() < limit, page.next) {
        // Each of them asks thousands of tasks, and there may be millions.
        if pages == PAGES_ASKED && asks(filter) {
            return Ok((PageJson::of(page, TaskJson::of), true));
        }
        let more = client.tasks().list(filter, Some(next), limit - page.items.len()).await?;
        page.items.extend(more.items);
        page.next = more.next;
        pages += 1;
    }
    Ok((PageJson::of(page, TaskJson::of), false))
}

fn asks(filter: &Filter) -> bool {
    filter.query.as_ref().is_some_and(|query| !query.unindexed().is_empty())
}

/// Says why a list ends before its end.
fn tell_cut(filter: &Filter, page: &PageJson<TaskJson>, is_cut: bool) {
    let Some(query) = filter.query.as_ref().filter(|_| is_cut) else { return };
    let most = PAGES_ASKED * limits::PAGE_ASKED_MAX;
    let (asked, found) = (query.unindexed().join(" "), page.items.len());
    output::note(&format!(
        "{found} found among up to {most} tasks: no index answers {asked}, so that each task is asked. Narrow it by state:, kind:, queue:, \
         tag: or age:, or go on with --cursor"
    ));
}

/// How many match.
#[derive(Serialize)]
pub(super) struct Counted {
    pub(super) count: u64,
    /// Whether there are no more than these.
    pub(super) exact: bool,
}

async fn count(filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    let counted = number(filter, client).await?;
    if counted.count == 0 {
        tell_filter(filter, client).await;
    }
    out.value(&counted, |counted| format!("{}\n", counted.words()))
}

/// How many match, as far as that can be counted in bounded time.
pub(super) async fn number(filter: &Filter, client: &Client) -> Result<Counted, CliError> {
    let (mut count, mut after) = (0, None);
    for _ in 0..PAGES_COUNTED {
        let page = client.store().list_ids(filter, after, limits::PAGE_ITEMS_MAX).await?;
        count += page.items.len() as u64;
        after = page.next;
        if after.is_none() || count >= limits::COUNT_MAX {
            break;
        }
    }
    Ok(Counted { count: count.min(limits::COUNT_MAX), exact: after.is_none() && count <= limits::COUNT_MAX })
}

impl Counted {
    pub(super) fn words(&self) -> String {
        if self.exact { self.count.to_string() } else { format!("{}+", self.count) }
    }
}

async fn watch(args: &List, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    if out.format != Format::Table {
        return Err(CliError::usage("--watch shows a table to people; scripts ask again, or wait with `tasks wait`"));
    }
    let is_terminal = io::stdout().is_terminal();
    let mut shown = String::new();
    let mut mark = client.store().changes(None).mark;
    loop {
        // Anew each time, as an age is counted from now.
        let filter = &Filter { parent: filter.parent, ..args.filter()? };
        let (mut page, is_cut) = page(client, filter, None, args.limit.into()).await?;
        let (headers, columns) = args.arrange(&mut page);
        let rows = page.items.iter().map(|task| columns.iter().map(|column| column.cell(task)).collect());
        let text = table(&headers, rows);
        if text != shown {
            // From the top of an empty screen; elsewhere one list after the other.
            let begin = if is_terminal {
                "\u{1b}[H\u{1b}[2J"
            } else if shown.is_empty() {
                ""
            } else {
                "\n"
            };
            out.raw(&format!("{begin}{text}"))?;
            if is_cut && shown.is_empty() {
                tell_cut(filter, &page, is_cut);
            }
            shown = text;
        }
        tokio::time::sleep(WATCH_PAUSE).await;
        client.store().wait(Wake::Changed(mark), WATCH_EVERY).await;
        mark = client.store().changes(Some(mark)).mark;
    }
}
