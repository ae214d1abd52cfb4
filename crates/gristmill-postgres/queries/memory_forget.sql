-- Index: the primary keys of memory and workflow.
-- What tasks that are retried by hand try again. Of those that had succeeded, all. Of others failures, an event that did not come, what they
-- were replaced by, and where their code parted from what they remember, unless something has come of what followed: what their code did
-- because of it would be found at the wrong place. And workflows that have ended, or are about to.
DELETE FROM {s}.memory m USING unnest($1::uuid[], $2::boolean[]) AS x(task, all_of_it)
WHERE m.task = x.task AND CASE
  WHEN x.all_of_it THEN true
  WHEN m.code IN (1, 5, 7, 8) THEN
    NOT EXISTS (SELECT FROM {s}.memory v WHERE v.task = m.task AND v.position > m.position AND v.code = 0 OFFSET 0)
  WHEN m.code = 6 AND m.text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = m.text::uuid AND w.ended = 0 AND NOT w.cancelled OFFSET 0)
  ELSE false
END
