-- Index: the unique index on id. The row is locked first, which waits for a claim that is still under way.
DELETE FROM {s}.worker WHERE id = $1 RETURNING key, name
