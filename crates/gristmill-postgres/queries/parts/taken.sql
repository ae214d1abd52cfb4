-- What a claim does with the rows of `head`: they leave ready, get a lease, or end if it is too late for them. Parts of a WITH.
-- `own` locks the worker's row, which a repetition of this claim waits for; only if there is something to take, as a lock is
-- a write. In `gone` the places of the rows, which are locked, spare the search for each. A member that is too late is reported by a function:
-- a statement that may write to report would get ready for that with each claim.
own AS MATERIALIZED (
  SELECT w.key FROM {s}.worker w
  WHERE w.key = $2 AND w.epoch = $3 AND w.expires_at > {now} AND EXISTS (SELECT FROM head)
  FOR KEY SHARE
), gone AS (
  DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(SELECT h.at FROM head h CROSS JOIN own))
  RETURNING id, seq, kind, attempt, claim_no, crashes, priority, expires_at, flags
), body AS MATERIALIZED (
  SELECT g.*, coalesce(g.expires_at <= {now}, false) AS late,
         t.found, t.arrival, t.ack, t.retention, t.max_attempts, t.created_at, t.args, t.meta,
         t.workflow, t.step
  FROM gone g LEFT JOIN {body} t ON {is_body}
), taken AS (
  INSERT INTO {s}.lease(id, fence, seq, worker, retention, claimed_at, queue, attempt, claim_no, crashes, started, flags)
  SELECT id, $8, coalesce(arrival, seq), $2, coalesce(retention, -1), {now}, $4, attempt + 1, claim_no + 1, crashes,
         crashes = 0 AND ack IS DISTINCT FROM 1, flags & ~{moved}
  FROM body WHERE NOT late
), expired AS (
  INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error)
  SELECT id, arrival, {now}, {keep}, claim_no + 1, attempt, crashes, 7, 4, $9
  FROM body
  WHERE CASE WHEN NOT late OR NOT found THEN false WHEN flags & {member} = 0 THEN true ELSE {s}.report_late(workflow, step) END
)
