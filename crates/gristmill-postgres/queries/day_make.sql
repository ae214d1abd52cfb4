-- Index: see migrations/0003_days.sql.
SELECT {s}.make_day($1)
