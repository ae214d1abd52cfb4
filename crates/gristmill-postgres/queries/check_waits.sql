-- Index: the primary key of workflow.
-- How many of these have ended a while ago.
SELECT count(*) FROM unnest($2::uuid[]) AS x(id) JOIN {s}.workflow w ON w.id = x.id WHERE w.ended <> 0 AND w.finished_at <= {now} - $3
