-- Index: none: one row a worker process.
UPDATE gristmill_worker SET epoch = epoch + 1
