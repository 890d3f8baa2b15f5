-- The change feed and the split of traffic.
-- ../postgres/0002_changes.sql is the same schema: the same tables and columns in the same order.

-- The registry's revision when this function last changed: what changed since a revision is found by it.
ALTER TABLE functions ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- What a split goes by to give a client the same version every time: "header:NAME", "cookie:NAME", or nothing.
ALTER TABLE functions ADD COLUMN sticky TEXT;

-- Each change made or changed one function, so that there were as many at least as there are functions.
UPDATE functions SET revision = (SELECT COUNT(*) FROM functions earlier WHERE earlier.id <= functions.id);

CREATE UNIQUE INDEX functions_by_revision ON functions (revision);

-- The versions among which requests are split, with their weights. A function whose requests all go to its active
-- version has none here.
CREATE TABLE traffic (
    function_id INTEGER NOT NULL REFERENCES functions (id),
    version INTEGER NOT NULL,
    weight INTEGER NOT NULL CHECK (weight >= 1),
    PRIMARY KEY (function_id, version),
    FOREIGN KEY (function_id, version) REFERENCES versions (function_id, version)
) STRICT;

-- What the nodes that serve functions say of themselves: up to which revision they do, and what of it fails (a JSON list).
CREATE TABLE nodes (
    name TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    revision INTEGER NOT NULL,
    failing TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
