-- Versions on trial.
-- ../postgres/0004_trials.sql is the same schema: the same tables and columns in the same order.

-- By what a version of a split that is not the active one is taken back by itself (a JSON object); nothing for never.
ALTER TABLE functions ADD COLUMN trial TEXT;
