-- Functions, their versions, and which of them are active. Times are microseconds since 1970-01-01 UTC.
-- ../postgres/0001_functions.sql is the same schema: the same tables and columns in the same order.

-- One row. Every change to what should run raises the revision in its own transaction.
CREATE TABLE registry (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO registry (only_row, revision) VALUES (1, 0);

-- A deleted function keeps its row, with no active version, so that its version numbers are never used again.
CREATE TABLE functions (
    id INTEGER NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL CHECK (last_version >= 1),
    active_version INTEGER,
    created_at INTEGER NOT NULL,
    deployed_at INTEGER NOT NULL,
    UNIQUE (namespace, name),
    FOREIGN KEY (id, active_version) REFERENCES versions (function_id, version)
) STRICT;

-- Never changed once written. digest is "sha256:<hex>", imports a JSON list, manifest a JSON object.
CREATE TABLE versions (
    function_id INTEGER NOT NULL REFERENCES functions (id),
    version INTEGER NOT NULL CHECK (version >= 1),
    digest TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    world TEXT NOT NULL,
    imports TEXT NOT NULL,
    manifest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (function_id, version)
) STRICT;

CREATE INDEX versions_by_digest ON versions (digest, function_id);

-- Which version became active when; seq counts from 1 in each function.
CREATE TABLE deployments (
    function_id INTEGER NOT NULL REFERENCES functions (id),
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (function_id, seq),
    FOREIGN KEY (function_id, version) REFERENCES versions (function_id, version)
) STRICT;

-- The routes of the active versions: each has one holder. An empty host is any host.
CREATE TABLE routes (
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    function_id INTEGER NOT NULL REFERENCES functions (id),
    PRIMARY KEY (host, path)
) STRICT;

CREATE INDEX routes_by_function ON routes (function_id);
