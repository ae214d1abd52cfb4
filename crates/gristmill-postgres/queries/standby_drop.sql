-- Index: the primary keys.
-- Waiting tasks ($1) leave their lines and their place. Their rows of waiting are locked. First the lines, so that the trigger which sees them go has nobody
-- look at those once more.
WITH stood AS (
  DELETE FROM {s}.standby WHERE task = ANY($1)
)
DELETE FROM {s}.waiting WHERE id = ANY($1) RETURNING id, attempt, claim_no, crashes, flags
