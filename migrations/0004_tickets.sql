-- The reference domain.

CREATE TABLE tickets (
    number BIGINT NOT NULL PRIMARY KEY,
    reporter_id TEXT NOT NULL REFERENCES users (user_id),
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'pending', 'closed')),
    priority TEXT NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    resolution TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX tickets_by_reporter ON tickets (reporter_id, number);

CREATE TABLE comments (
    number BIGINT NOT NULL PRIMARY KEY,
    ticket_number BIGINT NOT NULL REFERENCES tickets (number),
    author_id TEXT NOT NULL REFERENCES users (user_id),
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX comments_by_ticket ON comments (ticket_number, number);

INSERT INTO counters (name, value) VALUES ('comment', 0);
