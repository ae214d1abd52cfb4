-- Index: those of the function, see additions/0019_merge.sql.
SELECT {s}.write_into_new($1, $2, $3)
