-- Index: task_seq, in its order, looked at by halves: places are given in the order of arrival.
-- From which place in that order on tasks were enqueued at an instant or later.
WITH RECURSIVE half(low, high) AS (
  SELECT coalesce(min(seq), 0), coalesce(max(seq) + 1, 0) FROM {s}.task
  UNION ALL
  SELECT CASE WHEN r.created_at < $1 THEN r.seq + 1 ELSE h.low END, CASE WHEN r.created_at < $1 THEN h.high ELSE h.middle END
  FROM (SELECT low, high, low + (high - low) / 2 AS middle FROM half WHERE low < high) h
  LEFT JOIN LATERAL (SELECT seq, created_at FROM {s}.task WHERE seq >= h.middle ORDER BY seq LIMIT 1) r ON true
)
SELECT low FROM half WHERE low >= high LIMIT 1
