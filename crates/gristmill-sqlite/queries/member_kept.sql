-- Index: gristmill_task_member, in its order; the primary key of outcome.
-- As member_page.sql, with the ends of those that have ended and owe nothing.
SELECT t.seq, t.place, t.retention, o.claim_no, o.ended, o.finished_at
  FROM gristmill_task t LEFT JOIN gristmill_outcome o ON o.seq = t.seq AND o.ended <> 0 AND o.owed = 0
  WHERE t.workflow = ?1 AND t.step = ?2 AND t.place >= ?3 ORDER BY t.place LIMIT ?4
