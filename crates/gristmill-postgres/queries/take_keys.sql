-- Index: those of the function, see additions/0018_rates.sql.
SELECT {s}.take_keys($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
