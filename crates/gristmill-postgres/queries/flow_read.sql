-- Index: the primary keys of workflow and step.
-- How workflows stand that are locked. Apart from the lock: a statement that waited for one would see steps as they were before.
SELECT w.id, w.paused, w.cancelled, w.ended, s.number, s.again, s.state, s.closed, s.members, s.succeeded, s.failed, s.cancelled,
       s.chore, s.chore_from, s.first_id, s.last_id, s.held_from, s.tolerance, w.hold
FROM {s}.workflow w LEFT JOIN LATERAL (SELECT * FROM {s}.step s WHERE s.workflow = w.id OFFSET 0) s ON true
WHERE w.id = ANY($1)
