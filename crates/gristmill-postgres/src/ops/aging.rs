use std::collections::HashSet;

use gristmill_core::Aging;
use gristmill_core::kit::encode::ms;
use uuid::Uuid;

use super::limit;
use super::place::came;
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;
use crate::workers::PRIORITIES;

/// One task of a line: its id, its place and its priority.
type Head = (Uuid, i64, i16);

/// So many of each line are looked at for one who has been there for long.
const LOOKED_AT: usize = 50;

/// Puts what has been ready for too long in a queue to the front of it. Mostly this is a look at the first of each line, and at the bodies of those.
pub(crate) async fn age(s: &mut Session<'_>, aging: &Aging, most: usize) -> Result<usize, Fault> {
    let Some(queue) = s.find(Sort::Queue, &aging.queue).await? else { return Ok(0) };
    let after = ms(aging.after);
    let lines: Vec<i16> = (1..).take(PRIORITIES - 1).collect();
    // Not all of the first are old that stand before those who are: who was due later than he came, or has come from elsewhere.
    let first = aged(s, heads(s, queue, &lines, LOOKED_AT).await?, after).await?;
    let mut lines: Vec<i16> = first.iter().map(|(.., priority)| *priority).collect();
    lines.dedup();
    if lines.is_empty() {
        return Ok(0);
    }
    let mut found = aged(s, heads(s, queue, &lines, most).await?, after).await?;
    // The oldest, if there are more.
    found.sort_unstable_by_key(|(_, seq, _)| *seq);
    found.truncate(most);
    let (seqs, priorities): (Vec<i64>, Vec<i16>) = found.iter().map(|(_, seq, priority)| (*seq, *priority)).unzip();
    // The row in its line and the body say the same at every moment.
    s.begin().await?;
    let mut ids: Vec<Uuid> = Vec::new();
    for row in s.rows(Q::Age, &[&queue, &priorities, &seqs]).await? {
        ids.push(row.try_get(0)?);
        came(s, (queue, row.try_get(1)?), 1);
        s.own.returned.push((queue, 0, row.try_get(2)?));
    }
    if !ids.is_empty() {
        s.effects.changed = true;
        s.spare_days().await?;
        s.execute(Q::TaskAge, &[&ids]).await?;
    }
    Ok(ids.len())
}

async fn heads(s: &Session<'_>, queue: i32, lines: &[i16], each: usize) -> Result<Vec<Head>, Fault> {
    let rows = s.rows(Q::LineHeads, &[&queue, &lines, &limit(each)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// Those of them that have been there for so long, in their order.
async fn aged(s: &mut Session<'_>, heads: Vec<Head>, after: i64) -> Result<Vec<Head>, Fault> {
    if heads.is_empty() {
        return Ok(heads);
    }
    let ids: Vec<Uuid> = heads.iter().map(|(id, ..)| *id).collect();
    s.spare_days().await?;
    let mut old = HashSet::with_capacity(ids.len());
    for row in s.rows(Q::TaskAged, &[&s.now, &ids, &after]).await? {
        old.insert(row.try_get::<_, Uuid>(0)?);
    }
    Ok(heads.into_iter().filter(|(id, ..)| old.contains(id)).collect())
}
