-- Index: task_seq, in its order; the primary key of label.
WITH gap AS MATERIALIZED (
  SELECT below FROM {s}.label_gap WHERE below > 0 FOR UPDATE SKIP LOCKED
), part AS MATERIALIZED (
  SELECT t.id, t.seq, t.meta FROM gap CROSS JOIN LATERAL (
    SELECT id, seq, CASE WHEN meta IS NOT NULL THEN meta END AS meta FROM {s}.task WHERE seq < gap.below ORDER BY seq DESC LIMIT $1
  ) t
), filed AS (
  INSERT INTO {s}.label(label, seq, id)
  SELECT l, seq, id FROM part CROSS JOIN LATERAL unnest({s}.labels_of(meta)) AS l WHERE meta IS NOT NULL
  ON CONFLICT DO NOTHING
)
UPDATE {s}.label_gap SET below = CASE WHEN (SELECT count(*) FROM part) < $1 THEN 0 ELSE (SELECT min(seq) FROM part) END
WHERE one AND EXISTS (SELECT FROM gap)
