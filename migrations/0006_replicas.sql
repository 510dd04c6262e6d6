-- What several replicas need: work that one of them does, the audit log in chains, indexes for what is removed.

-- Work that is done by one at a time, until when it is taken.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    held_until BIGINT NOT NULL
);
INSERT INTO leases (name, held_until) VALUES ('signing_keys', 0), ('first_account', 0), ('housekeeping', 0);

-- Events before this have no chain. How chains work stands in src/audit/chain.rs.
ALTER TABLE audit_events ADD COLUMN chain BIGINT;
ALTER TABLE audit_events ADD COLUMN link BIGINT;
ALTER TABLE audit_events ADD COLUMN seal TEXT;
ALTER TABLE audit_events ADD COLUMN trace_id TEXT;
CREATE UNIQUE INDEX audit_events_by_link ON audit_events (chain, link);
CREATE INDEX audit_events_by_time ON audit_events (at, seq);

-- The end of each chain. The first event has the link after first_link; the first numbers of all chains lie
-- above every event that has no chain.
CREATE TABLE audit_chains (
    chain BIGINT NOT NULL PRIMARY KEY,
    first_link BIGINT NOT NULL,
    link BIGINT NOT NULL,
    last_seal TEXT NOT NULL,
    end_seal TEXT NOT NULL
);
INSERT INTO audit_chains (chain, first_link, link, last_seal, end_seal)
SELECT numbers.chain, (SELECT coalesce(max(seq), 0) FROM audit_events), (SELECT coalesce(max(seq), 0) FROM audit_events), '', ''
FROM (
    SELECT 0 AS chain UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5
    UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9 UNION SELECT 10 UNION SELECT 11
    UNION SELECT 12 UNION SELECT 13 UNION SELECT 14 UNION SELECT 15
) AS numbers;

-- Authorizations that nobody took up, for their removal.
CREATE INDEX grants_not_taken_up ON grants (created_at) WHERE activated_at IS NULL;
