-- Index: see migrations/0003_days.sql. Not tried while somebody is known to hold the tables. Who said so by a clock that was ahead is not
-- believed: no day would be made until then.
SELECT CASE WHEN EXISTS (SELECT FROM {s}.day_look WHERE make_at > {now} AND make_at <= {now} + 300000) THEN false ELSE {s}.make_day($2) END
