-- How much a namespace may have.
-- ../sqlite/0005_quotas.sql is the same schema: the same tables and columns in the same order.

-- A namespace without a row, and a column without a value, has no bound of its own.
CREATE TABLE quotas (
    namespace TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    functions BIGINT CHECK (functions >= 0),
    component_bytes BIGINT CHECK (component_bytes >= 0),
    memory BIGINT CHECK (memory >= 0)
);
