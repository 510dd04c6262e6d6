-- Which versions may run on this database. What that asks of a migration stands in README.md beside this file.

-- The oldest schema that a version may know and still run here. A migration that takes something away raises it.
CREATE TABLE compatibility (
    oldest_schema BIGINT NOT NULL
);
INSERT INTO compatibility (oldest_schema) VALUES (11);
