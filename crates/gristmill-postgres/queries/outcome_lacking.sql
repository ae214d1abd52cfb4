-- Index: the primary key.
-- Which of these have ended, and did not succeed.
SELECT id FROM {s}.outcome WHERE id = ANY($1) AND ended > 1 AND owed = 0
