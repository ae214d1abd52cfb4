-- Workflows that are begun anew, and those whose time is limited. Programs of the version before take one that is held by a retry for paused:
-- `paused` is 2 then, or 3 if it is paused, too.

-- attempt: how often it was begun. deadline: so many ms after it was begun it is cancelled, which is at deadline_at; overdue: it was for that.
ALTER TABLE gristmill_workflow ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE gristmill_workflow ADD COLUMN deadline INTEGER;
ALTER TABLE gristmill_workflow ADD COLUMN deadline_at INTEGER;
ALTER TABLE gristmill_workflow ADD COLUMN overdue INTEGER NOT NULL DEFAULT 0;
CREATE INDEX gristmill_workflow_deadline ON gristmill_workflow(deadline_at)
  WHERE deadline_at IS NOT NULL AND ended = 0 AND cancelled = 0;

-- How many need not succeed, if that was changed since it was defined.
ALTER TABLE gristmill_step ADD COLUMN tolerance INTEGER;
