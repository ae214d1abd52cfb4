-- Index: the primary key, in its order.
-- As step_list.sql, of a workflow of which it is known what its steps are.
SELECT number, NULL, state, members, closed, succeeded, failed, cancelled, chore, chore_from, tolerance FROM gristmill_step
  WHERE workflow = ?1 ORDER BY number
