-- Index: none: one row a damaged row.
SELECT reason, count(*) FROM gristmill_aside GROUP BY reason ORDER BY 2 DESC LIMIT 10
