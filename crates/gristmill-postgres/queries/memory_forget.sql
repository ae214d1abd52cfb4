-- Index: the primary key of memory.
-- What tasks that are retried by hand try again. Of those that had succeeded, all. Of others failures, an event that did not come, and where
-- their code parted from what they remember, unless something has come of what followed: what their code did because of it would be found at
-- the wrong place. And whether any of them has started a workflow.
WITH forgotten AS (
  DELETE FROM {s}.memory m USING unnest($1::uuid[], $2::boolean[]) AS x(task, all_of_it)
  WHERE m.task = x.task AND (
    x.all_of_it
    OR m.code IN (1, 5, 8)
      AND NOT EXISTS (SELECT FROM {s}.memory v WHERE v.task = m.task AND v.position > m.position AND v.code = 0 OFFSET 0)
  )
)
SELECT EXISTS (SELECT FROM {s}.memory WHERE task = ANY($1) AND code IN (6, 7))
