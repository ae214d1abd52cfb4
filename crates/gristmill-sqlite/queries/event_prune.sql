-- Index: gristmill_event_keep, in its order.
DELETE FROM gristmill_event WHERE seq IN
  (SELECT seq FROM gristmill_event WHERE keep_until <= ?1 AND untold = 0 ORDER BY keep_until LIMIT ?2)
