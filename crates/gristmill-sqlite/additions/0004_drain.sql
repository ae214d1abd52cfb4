-- Whether an operator has asked a worker to end.

-- drain: 0 nobody has; 1 somebody has; 2 the worker was told so with a heartbeat. A version that does not know it leaves it as it is.
ALTER TABLE gristmill_worker ADD COLUMN drain INTEGER NOT NULL DEFAULT 0;
