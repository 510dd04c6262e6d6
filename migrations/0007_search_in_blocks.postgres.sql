-- What lets PostgreSQL find a page of tickets without looking at many more. Why stands in
-- src/tickets/search_postgres.rs.

-- Everything that a search asks for, in one index: the words of a ticket, those of its title alone, its status, its
-- reporter, and the block of numbers that it is in. Writers bring it up to date at once: a list of what is still to
-- be entered would be read by every search.
DROP INDEX tickets_by_words;
CREATE INDEX tickets_by_words ON tickets USING GIN (
    words,
    ts_filter(words, '{a}'),
    array_to_tsvector(ARRAY['status ' || status, 'reporter ' || reporter_id, 'block ' || CAST(number >> 12 AS TEXT)])
) WITH (fastupdate = off);

CREATE INDEX tickets_by_reporter_and_status ON tickets (reporter_id, status, number);
