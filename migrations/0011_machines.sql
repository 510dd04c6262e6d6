-- Machines: clients that act for themselves, each as an account of its own that nobody can sign in to.

-- That account. Clients that act for people have none.
ALTER TABLE clients ADD COLUMN user_id TEXT REFERENCES users (user_id);

-- Each minted token has a grant of its own, which is removed some time after its end.
CREATE INDEX grants_of_machines ON grants (expires_at) WHERE client_kind = 'machine';
