-- Versions with addresses of their own.
-- ../postgres/0007_previews.sql is the same schema: the same tables and columns in the same order.

-- 1 if the version's manifest says `preview = true`.
ALTER TABLE versions ADD COLUMN preview INTEGER NOT NULL DEFAULT 0;
