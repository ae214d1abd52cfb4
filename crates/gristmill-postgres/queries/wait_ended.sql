-- Index: the primary key of outcome and its partitions.
-- Those of these tasks that have ended, and stay so until the commit; a retry that is under way has them in hand.
SELECT id, ended FROM {s}.outcome WHERE id = ANY($1) AND ended <> 0 FOR SHARE SKIP LOCKED
