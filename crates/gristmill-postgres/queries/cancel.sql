-- Index: those of the function, see additions/0002_doors.sql.
SELECT {s}.cancel_tasks($2, $1)
