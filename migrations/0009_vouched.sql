-- What others vouch for: whose account is whose at an issuer, and how somebody was signed in there.

-- Accounts are found by issuer and subject, and by nothing that changes hands (OpenID Connect Core §5.7).
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

ALTER TABLE sessions ADD COLUMN issuer TEXT;
ALTER TABLE sessions ADD COLUMN subject TEXT;
-- The session at the issuer, for the logout that it may tell us of.
ALTER TABLE sessions ADD COLUMN sid TEXT;
ALTER TABLE sessions ADD COLUMN acr TEXT;
-- Space-separated.
ALTER TABLE sessions ADD COLUMN amr TEXT;
CREATE INDEX sessions_by_subject ON sessions (issuer, subject);

ALTER TABLE grants ADD COLUMN acr TEXT;
ALTER TABLE grants ADD COLUMN amr TEXT;

-- Clients that an operator lets in no more, whichever way they became known.
CREATE TABLE disabled_clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    disabled_at BIGINT NOT NULL
);
