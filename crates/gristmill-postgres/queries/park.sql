-- Index: the primary key, in its order; reads at most $3 rows.
WITH head AS MATERIALIZED (
  SELECT ctid AS at, kind, flags FROM {s}.ready WHERE queue = $1 ORDER BY priority, seq LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(SELECT at FROM head WHERE kind = ANY($2) AND flags & {unknown} = 0))
  RETURNING {columns}
)
INSERT INTO {s}.parked({columns}) SELECT * FROM gone
