-- Index: gristmill_task_member, in its order; the primary key of blocked.
-- As member_page.sql, with what is known of those that are blocked.
SELECT t.seq, t.place, t.queue, t.kind, t.priority, b.attempt, b.claim_no, b.crashes, b.flags, b.run_at
  FROM gristmill_task t LEFT JOIN gristmill_blocked b ON b.seq = t.seq
  WHERE t.workflow = ?1 AND t.step = ?2 AND t.place >= ?3 ORDER BY t.place LIMIT ?4
