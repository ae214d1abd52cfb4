-- Index: scheduled_queue, waiting_queue, blocked_queue; none on lease, as leases are few.
SELECT q.id, q.name, q.paused,
       EXISTS (SELECT FROM {s}.scheduled s WHERE s.queue = q.id AND s.run_at <= {now} + $3),
       EXISTS (SELECT FROM {s}.lease l WHERE l.queue = q.id),
       EXISTS (SELECT FROM {s}.waiting w WHERE w.queue = q.id) OR EXISTS (SELECT FROM {s}.blocked b WHERE b.queue = q.id)
FROM {s}.queue q WHERE q.name = ANY($2)
