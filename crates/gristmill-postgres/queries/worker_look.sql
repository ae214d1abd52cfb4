-- Index: none: one row a worker process. Tells the time even if there is none.
SELECT {now}, w.key, w.expires_at, w.lease, w.lost FROM (VALUES (1)) one(row) LEFT JOIN {s}.worker w ON true
