-- Index: the unique index on id, then the primary key of outcome.
SELECT NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0)
  FROM gristmill_task t WHERE t.id = ?1
