-- Index: none: one row a worker process. In the order of the keys, so that two who do this wait for one another in one direction only. Claims that are
-- under way are not waited for.
UPDATE {s}.worker SET epoch = epoch + 1
WHERE key = ANY (ARRAY(SELECT key FROM {s}.worker WHERE NOT lost ORDER BY key FOR NO KEY UPDATE))
