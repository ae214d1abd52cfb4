-- Index: the primary key.
WITH asked AS (
  INSERT INTO {s}.beat AS b (beat, term, expires_at) VALUES ($2, 1, {now} + $3)
  ON CONFLICT (one) DO UPDATE SET beat = $2, term = b.term + (b.beat <> $2)::integer, expires_at = {now} + $3
  WHERE b.beat = $2 OR b.expires_at <= {now} OR b.expires_at > {now} + $3
  RETURNING b.term
)
SELECT true, term FROM asked UNION ALL SELECT false, term FROM {s}.beat WHERE NOT EXISTS (SELECT FROM asked)
