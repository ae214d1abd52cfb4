-- Index: the primary keys, in the order of the line: whoever reads it ends after some that are not old enough.
SELECT r.seq, r.turn, r.kind, r.attempt, r.claim_no, r.crashes, r.flags, t.seq, max(t.created_at, t.run_at)
FROM gristmill_ready r CROSS JOIN gristmill_task t ON t.seq = CASE r.task WHEN 0 THEN r.seq ELSE r.task END
WHERE r.queue = ?1 AND r.priority = ?2 AND r.flags & ?3 = 0 ORDER BY r.seq, r.turn
