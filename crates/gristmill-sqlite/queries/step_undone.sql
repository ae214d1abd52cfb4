-- Index: gristmill_step_chore.
SELECT EXISTS(SELECT 1 FROM gristmill_step INDEXED BY gristmill_step_chore WHERE chore <> 0 AND chore <> 3)
