-- A million tickets, for postgres_figures.rs. Words are drawn as languages draw them: the one of rank r comes up about once in
-- r words. Those with a name below are put where a search finds it hard.

INSERT INTO users (user_id, username, username_key, role, password_hash, created_at)
SELECT 'user_' || n, 'user' || n, 'user' || n, 'requester', 'x', 1800000000000 FROM generate_series(1, 50000) AS n;

-- Without its indexes a table is filled in a tenth of the time.
CREATE TEMPORARY TABLE later AS
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tickets' AND indexname NOT LIKE '%_pkey';
DO $$ DECLARE name TEXT; BEGIN
    FOR name IN SELECT indexname FROM later LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
END $$;

INSERT INTO tickets (number, reporter_id, title, body, status, priority, created_at, updated_at, words)
SELECT number, reporter_id, title, body, status, 'medium', 1800000000000 + number, 1800000000000 + number,
    setweight(to_tsvector('mandate', 't ' || number || ' ' || title), 'A') || to_tsvector('mandate', body)
FROM (
    SELECT number,
        -- One has 300 000, one has 20, the others about 14 each.
        CASE WHEN number % 10 < 3 THEN 'user_1' WHEN number % 50000 = 7 THEN 'user_2'
            ELSE 'user_' || 3 + number * 7919 % 49998 END AS reporter_id,
        CASE WHEN number % 100 < 85 THEN 'closed' WHEN number % 100 < 98 THEN 'open' ELSE 'pending' END AS status,
        -- In a fifth of the titles; in the titles of the oldest tenth; in none of them but a few.
        CASE WHEN number % 5 = 0 THEN 'printer ' WHEN number <= 100000 THEN 'gateway '
            WHEN number % 50000 = 11 THEN 'zeppelin ' ELSE '' END || drawn.title AS title,
        -- In one half; in the other half; in the oldest half; in all; in a 400th each.
        CASE WHEN number % 2 = 0 THEN 'printer ' ELSE 'scanner ' END
            || CASE WHEN number <= 500000 THEN 'windows seven ' ELSE 'windows ten ' END
            || 'since this morning in room ' || number % 400 || ' ' || drawn.body AS body
    FROM generate_series(1, 1000000::BIGINT) AS number
    CROSS JOIN LATERAL (
        SELECT string_agg(word, ' ') FILTER (WHERE place <= 4) AS title,
            string_agg(word, ' ') FILTER (WHERE place > 4) AS body
        FROM (
            SELECT place, translate(to_hex((20000 ^ random())::INT + 255), '0123456789abcdef', 'baeioudfklmnprst') AS word
            -- The number makes it another draw for each ticket.
            FROM generate_series(1, 40 + number % 2) AS place
        ) AS words
    ) AS drawn
) AS made;

INSERT INTO comments (number, ticket_number, author_id, body, created_at)
SELECT n, CASE WHEN n <= 5000 THEN 1000 ELSE n END, 'user_' || 1 + n % 50000, 'It is still so.', 1800000000000 + n
FROM generate_series(1, 1000000) AS n;

SELECT setval('ticket_number', 1000000), setval('comment_number', 1000000);
DO $$ DECLARE definition TEXT; BEGIN
    FOR definition IN SELECT indexdef FROM later LOOP EXECUTE definition; END LOOP;
END $$;
