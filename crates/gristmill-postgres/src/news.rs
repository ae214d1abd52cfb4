use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_core::TaskId;
use uuid::Uuid;

use crate::effects::Line;

/// Ends that one notification names, as its text is bounded; with more, whoever waits for any looks.
pub(crate) const ENDED_MAX: usize = 200;
/// The same of lines in which tasks became ready.
pub(crate) const LINES_MAX: usize = 30;

/// What processes tell one another.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    /// Tasks became ready, and nobody says in which lines.
    pub(crate) readied: bool,
    /// So many became ready in these.
    pub(crate) came: BTreeMap<Line, u32>,
    /// A schedule was edited, or a task was scheduled and nobody says for when.
    pub(crate) scheduled: bool,
    /// Running tasks are to stop.
    pub(crate) cancelled: bool,
    /// A task was scheduled that is due in this time.
    pub(crate) due: Option<Duration>,
    /// Somebody waits for ends, and wants to hear of them for a while.
    pub(crate) awaits: bool,
    /// These ended.
    pub(crate) ended: Vec<TaskId>,
    /// More ended than are named.
    pub(crate) ended_many: bool,
}

impl News {
    /// Adds tasks that became ready.
    pub(crate) fn add_came(&mut self, line: Line, count: u32) {
        if self.came.len() >= LINES_MAX && !self.came.contains_key(&line) {
            self.readied = true;
            self.came.clear();
        }
        // Whoever is told of all has no use for some.
        if !self.readied {
            let sum = self.came.entry(line).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Adds tasks that ended.
    pub(crate) fn add_ended(&mut self, ended: &[TaskId]) {
        let room = ENDED_MAX - self.ended.len().min(ENDED_MAX);
        self.ended_many |= ended.len() > room;
        self.ended.extend(ended.iter().take(room));
    }

    /// Adds what somebody else tells.
    pub(crate) fn add(&mut self, other: Self) {
        self.readied |= other.readied;
        other.came.into_iter().for_each(|(line, count)| self.add_came(line, count));
        self.scheduled |= other.scheduled;
        self.cancelled |= other.cancelled;
        self.due = self.due.into_iter().chain(other.due).min();
        self.awaits |= other.awaits;
        self.add_ended(&other.ended);
        self.ended_many |= other.ended_many;
    }

    /// As it travels, each letter with what belongs to it: `r` for ready tasks somewhere, `q` and queue, type, count and `;` for those of
    /// a line; `s` for schedules, `c` for cancellations, `d`, milliseconds and `;` for when a task is due; `w` for somebody who awaits ends; `E` for more ends than
    /// could be named, or at last `e` and their ids.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        text.extend(self.readied.then_some('r'));
        for ((queue, kind), count) in &self.came {
            text.push_str(&format!("q{queue},{kind},{count};"));
        }
        text.extend(self.scheduled.then_some('s'));
        text.extend(self.cancelled.then_some('c'));
        if let Some(due) = self.due {
            text.push_str(&format!("d{};", due.as_millis()));
        }
        text.extend(self.awaits.then_some('w'));
        if self.ended_many {
            text.push('E');
        } else if !self.ended.is_empty() {
            text.push('e');
            for id in &self.ended {
                text.push_str(&id.as_uuid().simple().to_string());
            }
        }
        text
    }

    /// `None` if that is not all of it in words that are known here.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut news = Self::default();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..)?;
            match letter {
                'r' => news.readied = true,
                's' => news.scheduled = true,
                'c' => news.cancelled = true,
                'w' => news.awaits = true,
                'E' => news.ended_many = true,
                'q' => {
                    let (line, after) = rest.split_once(';')?;
                    let mut numbers = line.split(',');
                    let mut number = || numbers.next()?.parse::<i32>().ok();
                    let line = (number()?, number()?);
                    news.add_came(line, u32::try_from(number()?).ok()?);
                    rest = after;
                }
                'd' => {
                    let (due, after) = rest.split_once(';')?;
                    // No further than any time that a task can have.
                    news.due = Some(Duration::from_millis(due.parse::<u64>().ok()?.min(1 << 53)));
                    rest = after;
                }
                'e' => {
                    let (ids, odd) = rest.as_bytes().as_chunks::<32>();
                    if !odd.is_empty() {
                        return None;
                    }
                    let id = |id: &[u8; 32]| Uuid::try_parse_ascii(id).ok().map(TaskId::from_uuid);
                    news.ended = ids.iter().map(id).collect::<Option<_>>()?;
                    return Some(news);
                }
                _ => return None,
            }
        }
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_survive_their_journey() {
        let (env, _) = gristmill_core::Env::virtual_time(gristmill_core::Timestamp::from_millis(0), 1);
        let ended: Vec<_> = (0..ENDED_MAX).map(|_| env.task_id()).collect();
        let lines = i32::try_from(LINES_MAX).unwrap();
        let came: BTreeMap<_, _> = (0..lines).map(|n| ((i32::MAX, i32::MAX - n), u32::try_from(i32::MAX).unwrap())).collect();
        for news in [
            News { readied: true, ..News::default() },
            News { scheduled: true, cancelled: true, ended_many: true, awaits: true, ..News::default() },
            News { due: Some(Duration::from_millis(1 << 53)), came, scheduled: true, ended, ..News::default() },
        ] {
            let text = news.text();
            assert!(text.len() < 7_900, "the server takes no more than 8000 bytes");
            assert_eq!(News::read(&text), Some(news));
        }
        for text in ["x", "e123", "q1", "q1;", "q1,2;", "q1,2,-3;", "q99999999999,1,1;", "d;", "d-1;", "dx;", "é"] {
            assert_eq!(News::read(text), None, "{text}");
        }
    }

    #[test]
    fn more_lines_than_can_be_named_are_news_of_all() {
        let mut news = News::default();
        for queue in 0..=i32::try_from(LINES_MAX).unwrap() {
            news.add_came((queue, 1), 1);
        }
        assert_eq!(news, News { readied: true, ..News::default() });
    }
}
