-- Index: the primary key.
SELECT DISTINCT id FROM {s}.outcome WHERE id = ANY($1) AND ended <> 0
