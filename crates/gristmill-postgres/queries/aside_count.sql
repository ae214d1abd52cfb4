-- Index: none: one row a damaged row.
SELECT reason, count(*) FROM {s}.aside GROUP BY reason ORDER BY 2 DESC LIMIT 10
