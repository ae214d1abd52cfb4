-- Index: the primary key.
UPDATE {s}.step SET tolerance = $3 WHERE workflow = $1 AND number = $2
