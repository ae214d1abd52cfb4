-- Index: the primary key, in its order.
SELECT at, written_at, outcome, task, reason FROM {s}.tick WHERE schedule = $1 AND at < $2 ORDER BY at DESC LIMIT $3
