-- Index: scheduled_queue, waiting_queue, blocked_queue, step_chore; none on lease, as leases are few.
-- Last whether a sweep may let go what is blocked: a workflow has yet to learn what became of its members, or to go through them.
SELECT q.id, q.name, q.paused,
       EXISTS (SELECT FROM {s}.scheduled s WHERE s.queue = q.id AND s.run_at <= {now} + $3),
       EXISTS (SELECT FROM {s}.lease l WHERE l.queue = q.id),
       EXISTS (SELECT FROM {s}.waiting w WHERE w.queue = q.id) OR EXISTS (SELECT FROM {s}.blocked b WHERE b.queue = q.id),
       EXISTS (SELECT FROM {s}.blocked b WHERE b.queue = q.id)
         AND (EXISTS (SELECT FROM {s}.report) OR EXISTS (SELECT FROM {s}.step s WHERE s.chore <> 0 AND s.chore <> 3))
FROM {s}.queue q WHERE q.name = ANY($2)
