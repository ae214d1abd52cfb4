-- Index: gristmill_step_chore, in its order.
SELECT DISTINCT workflow FROM gristmill_step INDEXED BY gristmill_step_chore WHERE chore <> 0 LIMIT ?1
