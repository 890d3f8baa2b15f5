-- What a split began from.
-- ../sqlite/0006_split_from.sql is the same schema: the same tables and columns in the same order.

-- The version that was active when the split began: going back ends there, whichever version leads meanwhile.
ALTER TABLE functions ADD COLUMN split_from BIGINT;
