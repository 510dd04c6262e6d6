-- Signing keys rotate. A key is kept until the last token that it may have signed has expired: each replica that may
-- sign with it puts that moment off. A key that was revoked never comes back.

ALTER TABLE signing_keys ADD COLUMN kept_until BIGINT;
ALTER TABLE signing_keys ADD COLUMN revoked_at BIGINT;
