-- Index: the primary keys of scheduled and outcome. Whether a task stands still until something comes: what an attempt that failed puts off has
-- its row, with a state other than ?2.
SELECT 1 FROM gristmill_scheduled s WHERE s.seq = ?1
  AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = s.seq AND o.claim_no = s.claim_no AND o.state <> ?2)
