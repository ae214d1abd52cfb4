-- Index: gristmill_step_chore. Whether a retry has yet to see to members; codes as in `chore_of`.
SELECT 1 FROM gristmill_step INDEXED BY gristmill_step_chore WHERE chore <> 0 AND chore IN (4, 5, 6) LIMIT 1
