-- The search index, for SQLite. It keeps words and not texts (the tickets have those); rowid is the ticket's
-- number. What is written into it, and why, stands in src/tickets/search_sqlite.rs.

CREATE VIRTUAL TABLE ticket_search USING fts5 (
    words,
    content = '',
    contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
