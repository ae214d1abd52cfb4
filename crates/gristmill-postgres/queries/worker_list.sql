-- Index: none: one row a worker process, all of them wanted.
SELECT w.id, w.name, w.version, w.serves, w.started_at, w.expires_at, w.expires_at > {now} AND NOT w.lost, coalesce(l.held, 0)
FROM {s}.worker w LEFT JOIN (SELECT worker, count(*) AS held FROM {s}.lease GROUP BY worker) l ON l.worker = w.key
ORDER BY w.started_at DESC, w.key DESC
