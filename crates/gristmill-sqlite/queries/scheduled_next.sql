-- Index: gristmill_scheduled_due, in its order. Without those that have one of the flags ?1.
SELECT run_at FROM gristmill_scheduled WHERE flags & ?1 = 0 ORDER BY run_at LIMIT 1
