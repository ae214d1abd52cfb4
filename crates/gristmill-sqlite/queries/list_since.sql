-- Index: the primary key, looked at by halves: keys are given in the order of arrival.
-- From which key on tasks were enqueued at an instant or later.
WITH RECURSIVE half(low, high) AS (
  SELECT coalesce((SELECT min(seq) FROM gristmill_task), 0), coalesce((SELECT max(seq) FROM gristmill_task) + 1, 0)
  UNION ALL
  SELECT CASE WHEN (SELECT created_at FROM gristmill_task WHERE seq >= low + (high - low) / 2 ORDER BY seq LIMIT 1) < ?1
              THEN (SELECT seq + 1 FROM gristmill_task WHERE seq >= low + (high - low) / 2 ORDER BY seq LIMIT 1) ELSE low END,
         CASE WHEN (SELECT created_at FROM gristmill_task WHERE seq >= low + (high - low) / 2 ORDER BY seq LIMIT 1) < ?1
              THEN high ELSE low + (high - low) / 2 END
    FROM half WHERE low < high
)
SELECT low FROM half WHERE low >= high LIMIT 1
