-- What version 3 of the schema added: the nodes that an event befell together.

ALTER TABLE events ADD COLUMN nodes TEXT NOT NULL DEFAULT '';  -- their ids, with spaces between
