-- Index: the unique index on id. The row is locked until the commit, which waits for a claim that is still under way.
SELECT key FROM {s}.worker WHERE id = $2 AND expires_at > {now} AND NOT lost FOR UPDATE
