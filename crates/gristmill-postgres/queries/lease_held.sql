-- Index: none on lease, as leases are few; the primary keys of worker and queue.
SELECT l.worker, l.queue, q.name, w.serves, l.held
FROM (SELECT worker, queue, count(*) AS held FROM {s}.lease GROUP BY worker, queue) l
LEFT JOIN {s}.worker w ON w.key = l.worker LEFT JOIN {s}.queue q ON q.id = l.queue
