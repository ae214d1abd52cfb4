-- Index: those of the function, see additions/0019_merge.sql.
SELECT {s}.take_keys($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
