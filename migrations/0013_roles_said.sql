-- When the issuer made the statement that the role follows, in unix milliseconds: an older statement, such as a token that
-- is still valid, does not undo a newer one.
ALTER TABLE users ADD COLUMN role_said_at BIGINT;
