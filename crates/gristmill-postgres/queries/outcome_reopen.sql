-- Index: the primary keys of outcome and its partitions. One row at most ends a task, and only one of two retries gets it. One whose end
-- somebody has still to deal with is left alone. How it had ended is read first, as it is gone then.
WITH was AS MATERIALIZED (
  SELECT id, claim_no, ended FROM {s}.outcome WHERE id = ANY($2) AND ended <> 0 AND owed = 0 FOR UPDATE
)
UPDATE {s}.outcome o SET ended = 0, keep_until = NULL FROM was
WHERE o.id = ANY($2) AND o.id = was.id AND o.claim_no = was.claim_no
RETURNING o.id, o.claim_no, {now}, was.ended
