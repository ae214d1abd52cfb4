-- Index: task_seq, in its order. What came before there were labels, as long as it may have none:
-- whatever says something of itself, of which the rest is asked then.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
SELECT count(*), min(seq), array_agg(id) FILTER (WHERE ok), array_agg(seq) FILTER (WHERE ok) FROM (
  SELECT id, seq, meta IS NOT NULL AS ok
  FROM (SELECT id, seq, meta FROM {s}.task WHERE seq < $1 AND seq > $2 ORDER BY seq DESC LIMIT $3) t
) x
