-- The search index, for PostgreSQL. What is written into it, and why, stands in src/tickets/search_postgres.rs.

-- English endings are cut, and no word is left out: a phrase may hold "to" and "the".
CREATE TEXT SEARCH DICTIONARY mandate_english (TEMPLATE = snowball, Language = english);
CREATE TEXT SEARCH CONFIGURATION mandate (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION mandate
    ALTER MAPPING FOR asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part, hword_numpart
    WITH mandate_english;

-- Words of the title have weight A, all others D.
ALTER TABLE tickets ADD COLUMN words TSVECTOR NOT NULL DEFAULT ''::tsvector;
CREATE INDEX tickets_by_words ON tickets USING GIN (words);
CREATE INDEX tickets_by_status ON tickets (status, number);

-- Numbers are handed out by sequences, so that no writer waits for another.
CREATE SEQUENCE ticket_number AS BIGINT;
CREATE SEQUENCE comment_number AS BIGINT;
