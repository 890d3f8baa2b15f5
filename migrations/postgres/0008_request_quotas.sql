-- How many requests a namespace may have.
-- ../sqlite/0008_request_quotas.sql is the same schema: the same tables and columns in the same order.

-- Requests of all of its functions at once, and those that begin in a second, on each node; and its share of CPU time
-- beside other namespaces. A column without a value has no bound of its own.
ALTER TABLE quotas ADD COLUMN concurrency BIGINT CHECK (concurrency >= 0);
ALTER TABLE quotas ADD COLUMN requests_per_second BIGINT CHECK (requests_per_second >= 0);
ALTER TABLE quotas ADD COLUMN cpu_weight BIGINT CHECK (cpu_weight >= 1);

-- The registry's revision when this quota last changed: nodes have to know of it. None of those from before has
-- anything that nodes look at.
ALTER TABLE quotas ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

CREATE INDEX quotas_by_revision ON quotas (revision);
