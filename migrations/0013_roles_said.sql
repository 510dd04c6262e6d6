-- When the issuer made its newest statement about the account's role, in unix milliseconds: an older one, such as a token
-- that is still valid, does not undo it.
ALTER TABLE users ADD COLUMN role_said_at BIGINT;
-- 1 where that statement was that there is none.
ALTER TABLE users ADD COLUMN role_withheld BIGINT NOT NULL DEFAULT 0;
