-- Index: gristmill_lock_taken, in its order; the primary key of lease. Those that nobody holds any more.
DELETE FROM gristmill_lock WHERE token IN
  (SELECT k.token FROM gristmill_lock k WHERE k.taken_at <= ?1
     AND NOT EXISTS (SELECT 1 FROM gristmill_lease l WHERE l.seq = k.lease AND l.mark = k.mark) ORDER BY k.taken_at LIMIT ?2)
