-- Index: the unique index on id.
SELECT key, epoch, name, serves FROM {s}.worker WHERE id = $2 AND expires_at > {now} AND NOT lost
