-- How much a namespace may have.
-- ../postgres/0005_quotas.sql is the same schema: the same tables and columns in the same order.

-- A namespace without a row, and a column without a value, has no bound of its own.
CREATE TABLE quotas (
    namespace TEXT NOT NULL PRIMARY KEY,
    functions INTEGER CHECK (functions >= 0),
    component_bytes INTEGER CHECK (component_bytes >= 0),
    memory INTEGER CHECK (memory >= 0)
) STRICT;
