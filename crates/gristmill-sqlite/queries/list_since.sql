-- Index: the primary key, looked at by halves: keys are given in the order of arrival.
-- From which key on tasks were enqueued at an instant or later.
WITH RECURSIVE half(low, high) AS (
  SELECT coalesce((SELECT min(seq) FROM gristmill_task), 0), coalesce((SELECT max(seq) FROM gristmill_task) + 1, 0)
  UNION ALL
  SELECT CASE WHEN at < ?1 THEN first + 1 ELSE low END, CASE WHEN at < ?1 THEN high ELSE middle END
    FROM (SELECT low, high, middle, first, (SELECT created_at FROM gristmill_task WHERE seq = first) AS at
    FROM (SELECT low, high, middle, (SELECT seq FROM gristmill_task WHERE seq >= middle ORDER BY seq LIMIT 1) AS first
    FROM (SELECT low, high, low + (high - low) / 2 AS middle FROM half WHERE low < high)))
)
SELECT low FROM half WHERE low >= high LIMIT 1
