-- Append-only: who did what on whose behalf, in order of seq.

CREATE TABLE audit_events (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL,
    user_id TEXT,
    client_id TEXT,
    grant_id TEXT,
    tool TEXT,
    arguments TEXT,
    idempotency_key TEXT,
    reference TEXT,
    detail TEXT
);
CREATE INDEX audit_events_by_user ON audit_events (user_id, seq);
CREATE INDEX audit_events_by_grant ON audit_events (grant_id, seq);

-- Effects done, so that a retry replays the result: one row per (user, client, key).
CREATE TABLE effects (
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments_digest TEXT NOT NULL,
    result TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, idempotency_key)
);
CREATE INDEX effects_by_age ON effects (created_at);

-- Numbers that are handed out inside a write transaction.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('audit_event', 0), ('ticket', 0);
