-- What version 4 of the schema added: which state a node was in at an instant.

CREATE INDEX states_by_node ON events (node_id, wall_ms, number) WHERE event = 'state';
