-- Index: outcome_keep of each partition, in its order; see migrations/0003_days.sql.
SELECT {s}.prune_rows({now}, $2)
