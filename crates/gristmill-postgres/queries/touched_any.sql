-- Index: the primary keys; key_look; standby_line, the first of each line that is due.
-- Whether slots are being given, or somebody of the queues $2 may begin by a rate within the time $3.
SELECT EXISTS (SELECT FROM {s}.touched) OR EXISTS (
  SELECT FROM {s}.key k
  WHERE k.look_at <= {now} + $3 AND (
    SELECT w.queue FROM {s}.standby b JOIN {s}.waiting w ON w.id = b.task WHERE b.key = k.key ORDER BY b.late, b.seq LIMIT 1
  ) IN (SELECT q.id FROM {s}.queue q WHERE q.name = ANY ($2))
)
