-- Index: the unique index on id.
UPDATE {s}.worker SET drain = greatest(drain, 1) WHERE id = $1 AND NOT lost
