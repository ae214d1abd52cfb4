-- Index: see migrations/0003_days.sql. Not tried while somebody is known to hold the tables.
SELECT CASE WHEN EXISTS (SELECT FROM {s}.day_look WHERE make_at > {now}) THEN false ELSE {s}.make_day($2) END
