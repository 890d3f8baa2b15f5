-- What nodes have to do.
-- ../postgres/0009_node_load.sql is the same schema: the same tables and columns in the same order.

-- Requests, latency, CPU, memory and slots as the node said last (JSON); none of a node of before.
ALTER TABLE nodes ADD COLUMN load TEXT;
