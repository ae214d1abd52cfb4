-- Index: none: one row a worker process, all of them wanted.
SELECT w.id, w.name, w.version, w.serves, w.started_at, w.expires_at, coalesce(l.held, 0), w.lost
  FROM gristmill_worker w LEFT JOIN (SELECT worker, count(*) AS held FROM gristmill_lease GROUP BY worker) l ON l.worker = w.key
  ORDER BY w.started_at DESC, w.key DESC
