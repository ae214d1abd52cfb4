-- Index: those of the function, see additions/0015_concurrency.sql.
-- What became of each, and whether a member of a workflow was among those that ended, or one that held or awaited slots.
SELECT c.answers, coalesce(current_setting('gristmill.told', true) = 'yes', false),
       coalesce(current_setting('gristmill.touched', true) = 'yes', false)
FROM (SELECT {s}.cancel_tasks($2, $1) AS answers OFFSET 0) c
