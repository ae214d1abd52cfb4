-- Index: the primary keys of outcome and its partitions. One row at most ends a task, and only one of two retries gets it. One whose end
-- somebody has still to deal with is left alone. How the last attempt ended is still told by it. A trigger tells the step of a member: see additions/0011_workflows.sql.
UPDATE {s}.outcome SET ended = 0, keep_until = NULL WHERE id = ANY($2) AND ended <> 0 AND owed = 0 RETURNING id, claim_no, {now}, state
