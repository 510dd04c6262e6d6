-- The most pressing tickets, without looking at those that are done with.

CREATE INDEX tickets_by_pressure ON tickets (status, priority, number);
