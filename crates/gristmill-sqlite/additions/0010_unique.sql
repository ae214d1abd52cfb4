-- Keys that one task of a type has at once. A key is written by the enqueue that takes it, and by no other operation: who has it says a look at
-- that task, so that no end has to give anything back.

-- until: the end of a period, if it has one, however the task ends. lasts: 0 until the task has ended, 1 until its first attempt begins, 2 until it is due.
CREATE TABLE gristmill_unique(
  kind          INTEGER NOT NULL,
  key           TEXT    NOT NULL,
  task          BLOB    NOT NULL,
  until         INTEGER,
  lasts         INTEGER NOT NULL,
  PRIMARY KEY(kind, key)
) STRICT, WITHOUT ROWID;

-- is_live: whether the task that took it has it still, if it has no period. due_at: when it is due, if it is still to be.
CREATE VIEW gristmill_unique_live AS
SELECT u.kind, u.key, u.task, u.until, u.lasts,
  (SELECT p.run_at FROM gristmill_scheduled p WHERE p.seq = t.seq AND p.claim_no = 0) AS due_at,
  t.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0)
  AND (u.lasts = 0
       OR EXISTS (SELECT 1 FROM gristmill_scheduled p WHERE p.seq = t.seq AND p.claim_no = 0)
       OR u.lasts = 1 AND (EXISTS (SELECT 1 FROM gristmill_ready r WHERE r.queue = t.queue AND r.priority = t.priority AND r.seq = t.seq AND r.turn = 0 AND r.claim_no = 0)
       OR EXISTS (SELECT 1 FROM gristmill_moved m CROSS JOIN gristmill_ready r
                  ON r.queue = m.queue AND r.priority = m.priority AND r.seq = m.seq AND r.turn = m.turn
                  WHERE m.task = t.seq AND r.claim_no = 0)
       OR EXISTS (SELECT 1 FROM gristmill_waiting p WHERE p.seq = t.seq AND p.claim_no = 0)
       OR EXISTS (SELECT 1 FROM gristmill_blocked p WHERE p.seq = t.seq AND p.claim_no = 0)
       OR EXISTS (SELECT 1 FROM gristmill_parked p WHERE p.queue = t.queue AND p.kind = t.kind AND p.priority = t.priority AND p.seq = t.seq
                  AND p.turn = 0 AND p.claim_no = 0)
       OR EXISTS (SELECT 1 FROM gristmill_parked p WHERE p.task = t.seq AND p.task <> 0 AND p.claim_no = 0))) AS is_live
FROM gristmill_unique u LEFT JOIN gristmill_task t ON t.id = u.task;
