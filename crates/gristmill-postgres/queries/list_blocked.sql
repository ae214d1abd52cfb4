-- Index: blocked_seq, in its order.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
SELECT count(*), min(seq), array_agg(id) FILTER (WHERE ok), array_agg(seq) FILTER (WHERE ok) FROM (
  SELECT id, seq, ($4::integer IS NULL OR queue = $4) AND ($5::integer[] IS NULL OR kind = ANY($5)) AS ok
  FROM (SELECT id, seq, queue, kind FROM {s}.blocked WHERE seq < $1 AND seq > $2 ORDER BY seq DESC LIMIT $3) t
) x
