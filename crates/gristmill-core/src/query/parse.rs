//! Reads a query: conditions, and how they are joined.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::term::{Count, Json, Moment, Name, Term, Test};
use super::value::{Bounds, Comparison, Pattern, Written};
use super::{Node, QUERY_BYTES_MAX, QueryError};
use crate::limits::{PRIORITY_MAX, check_name};
use crate::{State, TaskId, Timestamp, parse_duration, words};

/// So deep parentheses and negations may nest: whoever reads them recurses.
const DEPTH_MAX: usize = 32;

const FIELDS: &str = "state, queue, kind, tag, title, schedule, worker, parent, id, age, created, due, ended, priority, attempt, \
                      crashes, error, args.KEY, result.KEY, header.NAME";

pub(super) fn parse(text: &str, now: Timestamp) -> Result<Node, QueryError> {
    let mut parser = Parser { text, at: 0, depth: 0, now };
    if text.len() > QUERY_BYTES_MAX {
        let why = format!("a query has at most {QUERY_BYTES_MAX} bytes; this one has {}", text.len());
        return Err(parser.wrong(0..0, why));
    }
    let node = parser.any()?;
    match parser.peek() {
        None => match misplaced_worker(&node, true) {
            Some(at) => Err(parser.wrong(at, "worker: stands beside all other conditions, and not behind a - or within OR")),
            None => Ok(node),
        },
        // The only thing at which conditions end before the text does.
        Some(_) => Err(parser.wrong(parser.at..parser.at + 1, "this parenthesis closes none")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    now: Timestamp,
}

impl<'a> Parser<'a> {
    fn wrong(&self, at: Range<usize>, problem: impl Into<String>) -> QueryError {
        QueryError { query: self.text.to_owned(), at, problem: problem.into() }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character, behind white space.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    /// Whether this word comes next; then it is read. Joining words are large, so that small ones can be looked for.
    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let is_next = self
            .rest()
            .strip_prefix(word)
            .is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')')));
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    fn any(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all()?];
        while self.word("OR") {
            nodes.push(self.all()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.not()?];
        loop {
            let joined = self.word("AND");
            let before = self.at;
            let ends = self.peek().is_none_or(|c| c == ')') || self.word("OR");
            self.at = before;
            if ends && !joined {
                return Ok(one_or(nodes, Node::All));
            }
            nodes.push(self.not()?);
        }
    }

    fn not(&mut self) -> Result<Node, QueryError> {
        let start = self.at;
        let negated = self.word("NOT");
        let next = self.peek();
        if !negated && !matches!(next, Some('-' | '(')) {
            return self.condition();
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(start..self.at, format!("parentheses and negations nest at most {DEPTH_MAX} deep")));
        }
        let node = match next {
            Some('(') if !negated => self.parentheses()?,
            Some('-') if !negated => {
                self.at += 1;
                Node::Not(Box::new(self.not()?))
            }
            _ => Node::Not(Box::new(self.not()?)),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn parentheses(&mut self) -> Result<Node, QueryError> {
        let open = self.at;
        self.at += 1;
        let node = self.any()?;
        if self.peek() != Some(')') {
            return Err(self.wrong(open..open + 1, "this parenthesis is not closed"));
        }
        self.at += 1;
        Ok(node)
    }

    fn condition(&mut self) -> Result<Node, QueryError> {
        let next = self.peek();
        let start = self.at;
        if next.is_none_or(|c| c == ')') || ["AND", "OR"].into_iter().any(|word| self.word(word)) {
            let here = start..self.at;
            return Err(self.wrong(here, "a condition belongs here, such as state:failed, kind:email*, age:>1h or a word"));
        }
        let plain =
            self.rest().find(|c: char| c.is_whitespace() || matches!(c, ':' | '"' | '(' | ')')).unwrap_or(self.rest().len());
        let field = self.rest()[..plain].to_owned();
        let has_field = self.rest()[plain..].starts_with(':');
        if has_field {
            self.at += plain + 1;
        }
        let value = self.value()?;
        let term = match has_field {
            true => self.term(&field, start, &value)?,
            false if words(&value.text).next().is_none() => {
                return Err(self.wrong(value.at, "this has no word to look for: give letters or digits"));
            }
            false => Term::Words(self.name("text", &value)?),
        };
        Ok(Node::Is(term, start..self.at))
    }

    /// A value up to the next white space or parenthesis, or in quotes, within which `\` takes the next character as it is.
    fn value(&mut self) -> Result<Written, QueryError> {
        let start = self.at;
        if !self.rest().starts_with('"') {
            let length = self.rest().find(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).unwrap_or(self.rest().len());
            self.at += length;
            return Ok(Written { text: self.text[start..self.at].to_owned(), quoted: false, at: start..self.at });
        }
        let (mut text, mut escaped) = (String::new(), false);
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped => {
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at += at + 1;
                    return Ok(Written { text, quoted: true, at: start..self.at });
                }
                c => text.push(c),
            }
        }
        Err(self.wrong(start..start + 1, "this quotation is not closed"))
    }

    fn term(&self, field: &str, start: usize, value: &Written) -> Result<Term, QueryError> {
        let here = |why: String| self.wrong(value.at.clone(), why);
        if value.text.is_empty() && !value.quoted {
            return Err(self.wrong(start..value.at.end, format!("`{field}:` needs a value right behind the colon")));
        }
        let pattern = |name| -> Result<Term, QueryError> {
            self.name(field, value)?;
            Ok(Term::Name(name, Pattern::new(value)))
        };
        let count = |count, most: u64| {
            let wanted = || format!("{field} takes a whole number up to {most}, >N, <N or N..N");
            let number = |text: &str| text.parse().ok().filter(|number| *number <= most).ok_or_else(wanted);
            value.bounds(number).map(|bounds| Term::Count(count, bounds)).map_err(here)
        };
        let moment = |moment| self.moments(field, value).map(|bounds| Term::Moment(moment, bounds)).map_err(here);
        match field {
            "state" => State::from_str(&value.text).map(Term::State).map_err(here),
            "queue" => pattern(Name::Queue),
            "kind" | "task" => pattern(Name::Kind),
            "tag" => pattern(Name::Tag),
            "title" => pattern(Name::Title),
            "schedule" => pattern(Name::Schedule),
            "worker" => match Pattern::new(value).exact() {
                Some(_) => self.name(field, value).map(Term::Worker),
                None => Err(here("a worker is only found by its whole name, as `workers` shows it".to_owned())),
            },
            "parent" => id(&value.text).map(Term::Parent).map_err(here),
            "id" => id(&value.text).map(Term::Id).map_err(here),
            "age" => self.age(value).map(|bounds| Term::Moment(Moment::Created, bounds)).map_err(here),
            "created" => moment(Moment::Created),
            "due" => moment(Moment::Due),
            "ended" => moment(Moment::Ended),
            "priority" => count(Count::Priority, PRIORITY_MAX.into()),
            "attempt" => count(Count::Attempt, u32::MAX.into()),
            "crashes" => count(Count::Crashes, u32::MAX.into()),
            "error" => Ok(Term::Error(value.text.to_lowercase())),
            "" => Err(self.wrong(start..start + 1, format!("a field belongs before the colon: {FIELDS}"))),
            _ => self.keyed(field, start, value),
        }
    }

    /// The fields that are followed by a name of the user's own.
    fn keyed(&self, field: &str, start: usize, value: &Written) -> Result<Term, QueryError> {
        let path = |path: &str| {
            let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
            keys.iter().all(|key| !key.is_empty()).then_some(keys)
        };
        let json = match (field.strip_prefix("args."), field.strip_prefix("result."), field.strip_prefix("header.")) {
            (Some(keys), _, _) => path(keys).map(|keys| (Json::Args, keys)),
            (_, Some(keys), _) => path(keys).map(|keys| (Json::Result, keys)),
            (_, _, Some(name)) if !name.is_empty() => return Ok(Term::Header(name.to_owned(), Pattern::new(value))),
            _ => None,
        };
        let Some((which, keys)) = json else {
            let why = format!("there is no field `{field}`; there are {FIELDS}. What has a colon of its own stands in quotes");
            return Err(self.wrong(start..start + field.len(), why));
        };
        let test = Test::new(value).map_err(|why| self.wrong(value.at.clone(), why))?;
        Ok(Term::Json(which, keys, test))
    }

    fn name(&self, field: &str, value: &Written) -> Result<String, QueryError> {
        check_name(field, &value.text).map_err(|error| self.wrong(value.at.clone(), error.to_string()))?;
        Ok(value.text.clone())
    }

    /// Ages, as the moments at which what has them was enqueued.
    fn age(&self, value: &Written) -> Result<Bounds<Timestamp>, String> {
        self.ago(value, "an age is >1h, <5m or 1h..2h", "nothing is exactly so old")
    }

    /// How long ago, as moments.
    fn ago(&self, value: &Written, wanted: &str, never: &str) -> Result<Bounds<Timestamp>, String> {
        if matches!(value.comparison(), Comparison::Equal(_)) {
            return Err(format!("{wanted}; {never}"));
        }
        let ages: Bounds<Duration> = value.bounds(|text| parse_duration(text).map_err(|why| format!("{wanted}: {why}")))?;
        let before = |side: Option<(Duration, bool)>| side.map(|(age, without)| (self.now.saturating_sub(age), without));
        // What is longer ago was earlier.
        Ok(Bounds { low: before(ages.high), high: before(ages.low) })
    }

    /// Moments, of which a day alone is all that is in it; or how long ago.
    fn moments(&self, field: &str, value: &Written) -> Result<Bounds<Timestamp>, String> {
        const DAY: Duration = Duration::from_secs(86_400);
        let first = match value.comparison() {
            Comparison::Between("", last) => last,
            Comparison::Equal(at) | Comparison::Above(at, _) | Comparison::Below(at, _) | Comparison::Between(at, _) => at,
        };
        if parse_duration(first).is_ok() {
            let wanted = format!("how long ago is {field}:>1h, {field}:<5m or {field}:1h..2h");
            let ago = self.ago(value, &wanted, "nothing was exactly so long ago")?;
            // What is due has a future, which is not a short while ago.
            let now = (field == "due").then_some((self.now, false));
            return Ok(Bounds { high: ago.high.or(now), ..ago });
        }
        let day = |text: &str| format!("{text}T00:00:00Z").parse::<Timestamp>().ok();
        let wanted = |text: &str| match text.parse::<Timestamp>() {
            Err(error) if format!("{text}Z").parse::<Timestamp>().is_ok() => error.to_string(),
            _ => format!(
                "`{text}` is neither a moment such as 2027-01-31T09:00:00Z nor a day such as 2027-01-31, nor how long ago, such as <12h"
            ),
        };
        let read = |text: &str| day(text).or_else(|| text.parse().ok()).ok_or_else(|| wanted(text));
        let mut bounds = value.bounds(read)?;
        let last = match value.comparison() {
            Comparison::Equal(text) | Comparison::Between(_, text) => day(text),
            Comparison::Below(text, false) => day(text),
            Comparison::Above(text, true) => {
                // After a day is after all of it.
                if let Some(start) = day(text) {
                    bounds.low = Some((start.saturating_add(DAY), false));
                }
                None
            }
            _ => None,
        };
        if let Some(start) = last {
            bounds.high = Some((start.saturating_add(DAY), true));
        }
        Ok(bounds)
    }
}

fn one_or(mut nodes: Vec<Node>, many: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            many(nodes)
        }
    }
}

/// An id or the beginning of one, as ids are shown.
fn id(text: &str) -> Result<String, String> {
    if let Ok(id) = text.parse::<TaskId>() {
        return Ok(id.to_string());
    }
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    match !text.is_empty() && text.len() <= 36 && text.chars().all(is_hex) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(not_an_id(text)),
    }
}

fn not_an_id(text: &str) -> String {
    format!("`{text}` is not a task's id: it is a UUID such as 019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001")
}

/// A worker where only each task itself could be asked, which does not say where it ran.
fn misplaced_worker(node: &Node, beside_all: bool) -> Option<Range<usize>> {
    match node {
        Node::All(nodes) => nodes.iter().find_map(|node| misplaced_worker(node, beside_all)),
        Node::Any(nodes) => nodes.iter().find_map(|node| misplaced_worker(node, false)),
        Node::Not(node) => misplaced_worker(node, false),
        Node::Is(Term::Worker(_), at) if !beside_all => Some(at.clone()),
        Node::Is(..) => None,
    }
}
