-- Index: the primary keys, in the order of the line: whoever reads it ends after some that are not old enough.
SELECT p.seq, p.turn, p.kind, p.attempt, p.claim_no, p.crashes, p.flags, t.seq, max(t.created_at, t.run_at)
FROM gristmill_parked p CROSS JOIN gristmill_task t ON t.seq = CASE p.task WHEN 0 THEN p.seq ELSE p.task END
WHERE p.queue = ?1 AND p.priority = ?2 AND p.kind = ?4 AND p.flags & ?3 = 0 ORDER BY p.seq, p.turn
