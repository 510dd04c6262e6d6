-- Clients, and what users let them do.

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('dynamic', 'registered')),
    metadata TEXT NOT NULL,
    secret_hash TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX clients_by_use ON clients (kind, last_used_at);

-- Client ID metadata documents and key sets as fetched, with their HTTP lifetimes.
CREATE TABLE fetched_documents (
    -- What it is for, and its URL.
    key TEXT NOT NULL PRIMARY KEY,
    cached TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX fetched_documents_by_age ON fetched_documents (updated_at);

-- One row per authorization. A grant whose code was never redeemed has no activated_at.
CREATE TABLE grants (
    grant_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    client_id TEXT NOT NULL,
    client_kind TEXT NOT NULL,
    -- The client's metadata as it was when the user allowed it.
    client_metadata TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    resource TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    activated_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    revoked_because TEXT
);
CREATE INDEX grants_by_user ON grants (user_id, client_id);
CREATE INDEX grants_by_client ON grants (client_id);

CREATE TABLE authorization_codes (
    code_hash TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (grant_id),
    code_challenge TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT
);
CREATE INDEX authorization_codes_by_grant ON authorization_codes (grant_id);
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);

-- A grant's refresh tokens form one chain; the head is the row without rotated_at.
CREATE TABLE refresh_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (grant_id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    rotated_at BIGINT,
    -- The successor, sealed with a key that only the holder of this token can derive.
    sealed_successor TEXT
);
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
