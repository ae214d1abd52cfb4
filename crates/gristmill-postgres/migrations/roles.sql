-- Three roles without login, for the roles of programs and people to be members of. Run again, it changes nothing; it is no
-- migration, as the roles belong to the whole server and need the right to make them.
DO $gristmill$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[{enqueue_text}, {worker_text}, {reader_text}] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', name);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      -- Somebody else made it meanwhile.
    END;
  END LOOP;
END $gristmill$;

GRANT USAGE ON SCHEMA {s} TO {enqueue}, {worker}, {reader};

-- Enqueues and cancels by functions, and sees nothing: they run with the rights of who owns the tables.
GRANT EXECUTE ON FUNCTION {s}.enqueue(text, jsonb, jsonb), {s}.enqueue_many(jsonb), {s}.cancel(uuid),
  {s}.insert_tasks(jsonb), {s}.insert_unique(jsonb), {s}.cancel_tasks(uuid[], bigint), {s}.nudge(),
  {s}.start_workflow(jsonb, bigint), {s}.begin_workflow(jsonb, bigint), {s}.send_event(text, text, bigint) TO {enqueue};

-- All that a worker, a client and the commands do; partitions are made and dropped by functions.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s} TO {worker};
REVOKE INSERT, UPDATE, DELETE ON {s}.migration, {s}.addition FROM {worker};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {s} TO {worker};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {s} TO {worker};

-- Looks.
GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO {reader};
GRANT EXECUTE ON FUNCTION {s}.days(), {s}.day_table(text, bigint) TO {reader};

-- The same for what migrations and days bring later, which whoever owns the tables makes.
DO $gristmill$
DECLARE
  owner CONSTANT name := (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = '{l}.task'::regclass);
  later CONSTANT text := 'ALTER DEFAULT PRIVILEGES FOR ROLE ' || pg_catalog.quote_ident(owner) || ' IN SCHEMA {l} GRANT ';
BEGIN
  EXECUTE later || 'SELECT, INSERT, UPDATE, DELETE ON TABLES TO ' || pg_catalog.quote_ident({worker_text});
  EXECUTE later || 'USAGE ON SEQUENCES TO ' || pg_catalog.quote_ident({worker_text});
  EXECUTE later || 'EXECUTE ON FUNCTIONS TO ' || pg_catalog.quote_ident({worker_text});
  EXECUTE later || 'SELECT ON TABLES TO ' || pg_catalog.quote_ident({reader_text});
END $gristmill$;
