-- Index: the primary keys; reads at most ?1 rows of each place. All pairs, as each has one that is not ready.
WITH held(seq) AS (
  SELECT seq FROM gristmill_lease
  UNION ALL SELECT seq FROM (SELECT seq FROM gristmill_blocked LIMIT ?1)
  UNION ALL SELECT seq FROM (SELECT seq FROM gristmill_scheduled LIMIT ?1)
  UNION ALL SELECT seq FROM (SELECT seq FROM gristmill_waiting LIMIT ?1)
  UNION ALL SELECT seq FROM (SELECT CASE task WHEN 0 THEN seq ELSE task END AS seq FROM gristmill_parked LIMIT ?1)
)
SELECT count(DISTINCT t.seq) FROM held h CROSS JOIN gristmill_task t ON t.seq = h.seq
  WHERE EXISTS (SELECT 1 FROM gristmill_lease WHERE seq = t.seq)
      + EXISTS (SELECT 1 FROM gristmill_blocked WHERE seq = t.seq)
      + EXISTS (SELECT 1 FROM gristmill_scheduled WHERE seq = t.seq)
      + EXISTS (SELECT 1 FROM gristmill_waiting WHERE seq = t.seq)
      + EXISTS (SELECT 1 FROM gristmill_ready r
                  WHERE r.queue = t.queue AND r.priority = t.priority AND r.seq = t.seq AND r.turn = 0)
      + EXISTS (SELECT 1 FROM gristmill_moved m CROSS JOIN gristmill_ready r
                  ON r.queue = m.queue AND r.priority = m.priority AND r.seq = m.seq AND r.turn = m.turn WHERE m.task = t.seq)
      + EXISTS (SELECT 1 FROM gristmill_parked p
                  WHERE p.queue = t.queue AND p.kind = t.kind AND p.priority = t.priority AND p.seq = t.seq AND p.turn = 0)
      + EXISTS (SELECT 1 FROM gristmill_parked WHERE task = t.seq AND task <> 0) > 1
