-- Index: the unique index on id, then the primary keys of the others.
SELECT (SELECT ended FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0),
       EXISTS (SELECT 1 FROM gristmill_lease l WHERE l.seq = t.seq),
       EXISTS (SELECT 1 FROM gristmill_scheduled s WHERE s.seq = t.seq)
  FROM gristmill_task t WHERE t.id = ?1
