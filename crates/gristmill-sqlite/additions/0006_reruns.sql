-- Workflows that are begun anew, and those whose time is limited.

-- attempt: how often it was begun. hold: 2 while a retry blocks members again, or 3 if it is to be paused then; else 0. Programs of the version
-- before take it for paused meanwhile, and let nothing go that has yet to be blocked again. deadline: so many ms after it was begun it is cancelled, which is at deadline_at; overdue: it was for that.
ALTER TABLE gristmill_workflow ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE gristmill_workflow ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_workflow ADD COLUMN deadline INTEGER;
ALTER TABLE gristmill_workflow ADD COLUMN deadline_at INTEGER;
ALTER TABLE gristmill_workflow ADD COLUMN overdue INTEGER NOT NULL DEFAULT 0;
CREATE INDEX gristmill_workflow_deadline ON gristmill_workflow(deadline_at)
  WHERE deadline_at IS NOT NULL AND ended = 0 AND cancelled = 0;

-- How many need not succeed, if that was changed since it was defined.
ALTER TABLE gristmill_step ADD COLUMN tolerance INTEGER;
