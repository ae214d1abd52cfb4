-- Index: gristmill_memory_mismatch, in its order; the unique one on the id of task; the primary keys of scheduled and outcome.
-- One that was let run and failed is put off for that, and does not stand still: it has its row, with a state other than ?2.
SELECT m.task FROM gristmill_memory m INDEXED BY gristmill_memory_mismatch
  JOIN gristmill_task t ON t.id = m.task JOIN gristmill_scheduled s ON s.seq = t.seq
  WHERE m.code = 8 AND m.dropped = 0
    AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = s.seq AND o.claim_no = s.claim_no AND o.state <> ?2)
  ORDER BY m.task LIMIT ?1
