-- Workflows that are begun anew, and those whose time is limited.

-- hold: 2 while a retry blocks members again, or 3 if it is to be paused then; else 0. Programs of the version before take it for paused
-- meanwhile, and let nothing go that has yet to be blocked again. deadline: so many ms after it was begun it is cancelled, which is at
-- deadline_at; overdue: it was for that.
ALTER TABLE {s}.workflow
  ADD COLUMN hold smallint NOT NULL DEFAULT 0,
  ADD COLUMN deadline bigint,
  ADD COLUMN deadline_at bigint,
  ADD COLUMN overdue boolean NOT NULL DEFAULT false;
CREATE INDEX workflow_deadline ON {s}.workflow(deadline_at) WHERE deadline_at IS NOT NULL AND ended = 0 AND NOT cancelled;

-- How many need not succeed, if that was changed since it was defined: a count, or -1 for 0 percent, -2 for 1 percent and so on.
ALTER TABLE {s}.step ADD COLUMN tolerance bigint;

-- What start_workflow does, for a workflow that may say a deadline.
CREATE FUNCTION {s}.begin_workflow(workflow jsonb, now bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  period CONSTANT bigint := {s}.count_of('deadline', nullif(workflow -> 'deadline', 'null'), 1, 2305843009213693952);
  answer CONSTANT text := {s}.start_workflow(workflow, now);
BEGIN
  IF answer = 'created' AND period IS NOT NULL THEN
    UPDATE {s}.workflow w SET deadline = period, deadline_at = w.created_at + period WHERE w.id = (workflow ->> 'id')::uuid;
  END IF;
  RETURN answer;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.begin_workflow(jsonb, bigint) FROM PUBLIC;

-- Whoever may start one may say its deadline.
DO $gristmill$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT pg_catalog.pg_get_userbyid(a.grantee) AS name
    FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE p.oid = '{l}.start_workflow(jsonb, bigint)'::regprocedure AND a.grantee <> 0
  LOOP
    EXECUTE 'GRANT EXECUTE ON FUNCTION {l}.begin_workflow(jsonb, bigint) TO ' || pg_catalog.quote_ident(held.name);
  END LOOP;
END $gristmill$;
