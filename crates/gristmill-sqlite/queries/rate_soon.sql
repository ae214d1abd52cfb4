-- Index: gristmill_key_look; the primary keys. Looks at the first of each line that is due.
-- Whether somebody of a queue may begin until ?2 by a rate.
SELECT EXISTS (
  SELECT 1 FROM gristmill_key k
  WHERE k.look_at <= ?2 AND ?1 = (
    SELECT w.queue FROM gristmill_standby b JOIN gristmill_waiting w ON w.seq = b.task WHERE b.key = k.key ORDER BY b.late, b.task LIMIT 1
  )
)
