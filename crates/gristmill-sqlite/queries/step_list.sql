-- Index: the primary key, in its order.
SELECT number, spec, state, members, closed, succeeded, failed, cancelled, chore, chore_from, tolerance FROM gristmill_step
  WHERE workflow = ?1 ORDER BY number
