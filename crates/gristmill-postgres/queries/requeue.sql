-- Index: the primary keys of task and of the places, or ready_flagged and parked_flagged.
-- Gives those that wait another queue, wherever they wait, at their places in line. What somebody has in hand stays.
WITH asked AS MATERIALIZED (
  SELECT id, seq, queue, kind, priority FROM {s}.task WHERE id = ANY($1) AND queue <> $2 ORDER BY id
), {requeued}
SELECT id, place, kind FROM requeued
