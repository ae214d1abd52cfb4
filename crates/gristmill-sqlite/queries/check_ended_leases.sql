-- Index: the primary keys; leases are few.
SELECT count(*) FROM gristmill_lease l
  WHERE EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = l.seq AND o.ended <> 0)
