-- Index: outcome_bad, in its order; the literal lets the partial index match.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
SELECT count(*), min(seq), array_agg(id), array_agg(seq) FROM (
  SELECT id, seq FROM {s}.outcome WHERE ended > 1 AND ended = $4 AND seq < $1 AND seq > $2 ORDER BY seq DESC LIMIT $3
) x
