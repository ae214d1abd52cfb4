-- Index: schedule_due, in its order.
-- The time comes along, with a row of its own if nothing is due.
WITH clock AS MATERIALIZED (SELECT {now} AS now)
SELECT s.name, s.owner, s.body, s.due_at, s.memory, s.revision, s.created_at, s.edited_at, clock.now,
       (SELECT n.due_at FROM {s}.schedule n WHERE n.due_at > {now} ORDER BY n.due_at LIMIT 1)
FROM clock LEFT JOIN LATERAL (
  SELECT * FROM {s}.schedule s WHERE s.due_at <= {now} ORDER BY s.due_at, s.name LIMIT $2
) s ON true
ORDER BY s.due_at, s.name
