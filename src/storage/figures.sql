-- A million grants with all that hangs on them, for figures.rs. It is the moment 1800000000000; a day has 86400000 milliseconds.

INSERT INTO clients (client_id, kind, metadata, created_at, last_used_at)
SELECT 'client_' || n, 'dynamic',
    '{"client_name":"An assistant","redirect_uris":["http://127.0.0.1:33418/callback"],"token_endpoint_auth_method":"none"}',
    1800000000000 - n % 400 * 86400000,
    -- A third was never used, a third is in use, a third was in use long ago.
    1800000000000 - CASE n % 3 WHEN 0 THEN n % 400 WHEN 1 THEN n % 20 ELSE n % 400 / 2 END * 86400000
FROM generate_series(1, 100000::BIGINT) AS n;

-- user_1 has 500 live grants, user_2 none, the others 20 each. One client has a tenth of all, the first 10 000 have
-- the others; the rest has none. One grant in twenty was never taken up.
INSERT INTO grants (grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, resource, scope, auth_time,
    created_at, expires_at, activated_at, last_used_at, revoked_at, revoked_because)
SELECT 'grant_' || n, CASE WHEN n <= 500 THEN 'user_1' ELSE 'user_' || 3 + n % 49998 END,
    'client_' || CASE WHEN n % 10 = 0 THEN 1 ELSE n % 10000 END, 'dynamic',
    '{"client_name":"An assistant","redirect_uris":["http://127.0.0.1:33418/callback"],"token_endpoint_auth_method":"none"}',
    'http://127.0.0.1:33418/callback', 'https://mandate.example/mcp', 'tickets:read tickets:write',
    began, began, began + 600 * 86400000::BIGINT,
    CASE WHEN n > 500 AND n % 20 = 7 THEN NULL ELSE began END, NULL,
    CASE WHEN n > 500 AND n % 7 = 3 THEN 1800000000000 END, CASE WHEN n > 500 AND n % 7 = 3 THEN 'the user' END
FROM (SELECT n, 1800000000000 - n % 500 * 86400000 AS began FROM generate_series(1, 1000000::BIGINT) AS n) AS made;

-- Half of the codes, tokens, sessions and effects have run their time, in no order.
INSERT INTO authorization_codes (code_hash, grant_id, code_challenge, created_at, expires_at, consumed_at)
SELECT 'code_' || n, 'grant_' || n, 'challenge', 1800000000000, 1800000000000 + (n * 7919 % 1000000 - 500000) * 1000, NULL
FROM generate_series(1, 1000000::BIGINT) AS n WHERE n % 20 <> 7;
INSERT INTO refresh_tokens (token_hash, grant_id, created_at, expires_at, rotated_at, sealed_successor)
SELECT 'token_' || n, 'grant_' || n, 1800000000000, 1800000000000 + (n * 7919 % 1000000 - 500000) * 1000, NULL, NULL
FROM generate_series(1, 1000000::BIGINT) AS n WHERE n % 20 <> 7;
INSERT INTO sessions (token_hash, user_id, auth_time, created_at, expires_at)
SELECT 'session_' || n, 'user_' || 1 + n % 50000, 1800000000000, 1800000000000, 1800000000000 + (n * 7919 % 1000000 - 500000) * 1000
FROM generate_series(1, 1000000::BIGINT) AS n;
INSERT INTO effects (user_id, client_id, idempotency_key, tool, arguments_digest, result, created_at)
SELECT 'user_' || 1 + n % 50000, 'client_' || n % 10000, 'key_' || n, 'create_ticket', 'digest', '{"id":"T-1"}',
    1800000000000 - 86400000 + (n * 7919 % 1000000 - 500000) * 1000
FROM generate_series(1, 1000000::BIGINT) AS n;
INSERT INTO fetched_documents (key, cached, updated_at)
SELECT 'document_' || n, '{}', 1800000000000 - n * 10000 FROM generate_series(1, 20000::BIGINT) AS n;

-- The oldest tenth of all events is of grant_1; grant_2 has none.
INSERT INTO audit_events (seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, trace_id, chain, link, seal)
SELECT n, 1800000000000 + n, CASE WHEN n % 10 < 9 THEN 'tool_call' ELSE 'tokens_issued' END, 'done',
    CASE WHEN n <= 100015 OR n % 997 < 500 THEN 'user_1' ELSE 'user_' || 3 + n % 49998 END, 'client_' || n % 10000,
    'grant_' || CASE WHEN n <= 100015 THEN 1 ELSE 3 + n % 999000 END, 'create_ticket', '{"title":"It is broken"}',
    md5(n::TEXT), n % 16, n / 16, md5(n::TEXT)
FROM generate_series(16, 1000015::BIGINT) AS n;
UPDATE audit_chains SET link = 62500;
