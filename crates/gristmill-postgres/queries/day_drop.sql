-- Index: see migrations/0003_days.sql.
SELECT {s}.drop_day({now})
