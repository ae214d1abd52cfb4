-- The body of a task is written once; the moving parts (ready, scheduled, parked, lease) are narrow and stay small.
-- A task's state is the table that holds it, else its outcome row with `ended` <> 0.
-- Times are milliseconds since 1970. No foreign keys: share locks and deadlocks for what `check` finds as well.
-- No enum types: a new value would need a transaction of its own while old workers run.

-- known: it was used or declared, and not only named by a worker that serves it.
CREATE TABLE {s}.queue(
  id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name   text COLLATE "C" NOT NULL UNIQUE,
  paused boolean NOT NULL DEFAULT false,
  known  boolean NOT NULL DEFAULT false
);

CREATE TABLE {s}.kind(
  id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name  text COLLATE "C" NOT NULL UNIQUE,
  spec  text,
  known boolean NOT NULL DEFAULT false
);

-- The order of arrival. It is given by the store, so that no client's clock decides who is served first.
CREATE SEQUENCE {s}.arrival AS bigint;

-- Ids that gristmill makes begin with their time, so that ranges of ids are days; all others are in `task_rest`.
-- retention: milliseconds, -1 for ever, -2 none. ack: 0 late, 1 early. args, meta: text, as jsonb would refuse \u0000 and
-- rewrite numbers.
CREATE TABLE {s}.task(
  id           uuid     NOT NULL,
  seq          bigint   NOT NULL,
  retention    bigint   NOT NULL,
  created_at   bigint   NOT NULL,
  run_at       bigint   NOT NULL,
  expires_at   bigint,
  queue        integer  NOT NULL,
  kind         integer  NOT NULL,
  max_attempts integer  NOT NULL,
  max_crashes  integer  NOT NULL,
  priority     smallint NOT NULL,
  ack          smallint NOT NULL,
  args         text     NOT NULL,
  meta         text,
  PRIMARY KEY(id)
) PARTITION BY RANGE (id);
CREATE INDEX task_seq ON {s}.task(seq);
CREATE TABLE {s}.task_rest PARTITION OF {s}.task DEFAULT;

-- expires_at: until when it is worth starting, while it was never attempted.
CREATE TABLE {s}.ready(
  id         uuid     NOT NULL,
  seq        bigint   NOT NULL,
  expires_at bigint,
  queue      integer  NOT NULL,
  kind       integer  NOT NULL,
  attempt    integer  NOT NULL,
  claim_no   integer  NOT NULL,
  crashes    integer  NOT NULL,
  priority   smallint NOT NULL,
  PRIMARY KEY(queue, priority, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_expiry ON {s}.ready(expires_at) WHERE expires_at IS NOT NULL;

-- Ready tasks of types that no live worker serves, out of the way of those that can run.
CREATE TABLE {s}.parked(
  id         uuid     NOT NULL,
  seq        bigint   NOT NULL,
  expires_at bigint,
  queue      integer  NOT NULL,
  kind       integer  NOT NULL,
  attempt    integer  NOT NULL,
  claim_no   integer  NOT NULL,
  crashes    integer  NOT NULL,
  priority   smallint NOT NULL,
  PRIMARY KEY(queue, kind, priority, seq)
);
CREATE INDEX parked_expiry ON {s}.parked(expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE {s}.scheduled(
  id         uuid     NOT NULL,
  seq        bigint   NOT NULL PRIMARY KEY,
  run_at     bigint   NOT NULL,
  expires_at bigint,
  queue      integer  NOT NULL,
  kind       integer  NOT NULL,
  attempt    integer  NOT NULL,
  claim_no   integer  NOT NULL,
  crashes    integer  NOT NULL,
  priority   smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX scheduled_due ON {s}.scheduled(run_at, seq);
CREATE INDEX scheduled_queue ON {s}.scheduled(queue, run_at);
CREATE INDEX scheduled_expiry ON {s}.scheduled(expires_at) WHERE expires_at IS NOT NULL;

-- epoch grows when a claim is repeated, so that the first one, should it still be on its way, takes nothing any more.
CREATE TABLE {s}.worker(
  key        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id         uuid    NOT NULL UNIQUE,
  started_at bigint  NOT NULL,
  expires_at bigint  NOT NULL,
  epoch      integer NOT NULL DEFAULT 0,
  name       text    NOT NULL,
  version    text    NOT NULL,
  serves     text    NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- noted: there is a row in live. retention: as in task, so that a success reads no body.
CREATE TABLE {s}.lease(
  id         uuid    NOT NULL PRIMARY KEY,
  fence      uuid    NOT NULL,
  seq        bigint  NOT NULL,
  worker     bigint  NOT NULL,
  retention  bigint  NOT NULL,
  claimed_at bigint  NOT NULL,
  queue      integer NOT NULL,
  attempt    integer NOT NULL,
  claim_no   integer NOT NULL,
  crashes    integer NOT NULL,
  started    boolean NOT NULL,
  cancel     boolean NOT NULL DEFAULT false,
  noted      boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX lease_cancel ON {s}.lease(worker) WHERE cancel;

CREATE TABLE {s}.live(
  id       uuid NOT NULL PRIMARY KEY,
  logs     text,
  progress text
);

-- state: how the attempt ended. ended: 0 while the task goes on, else 1 succeeded, 2 failed, 3 cancelled, 4 expired.
-- keep_until: of the row that ended the task; the largest number is for ever.
CREATE TABLE {s}.outcome(
  id          uuid     NOT NULL,
  seq         bigint   NOT NULL,
  finished_at bigint   NOT NULL,
  started_at  bigint,
  keep_until  bigint,
  claim_no    integer  NOT NULL,
  attempt     integer  NOT NULL,
  crashes     integer  NOT NULL,
  state       smallint NOT NULL,
  ended       smallint NOT NULL,
  worker      text,
  result      text,
  error       text,
  logs        text,
  progress    text,
  PRIMARY KEY(id, claim_no)
) PARTITION BY RANGE (id);
CREATE INDEX outcome_bad ON {s}.outcome(ended, seq) WHERE ended > 1;
CREATE INDEX outcome_keep ON {s}.outcome(keep_until) WHERE keep_until IS NOT NULL;
CREATE TABLE {s}.outcome_rest PARTITION OF {s}.outcome DEFAULT;

-- What could not be read, taken out of the way so that the queue goes on.
CREATE TABLE {s}.aside(
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task   uuid   NOT NULL,
  at     bigint NOT NULL,
  reason text   NOT NULL,
  row    text   NOT NULL
);
