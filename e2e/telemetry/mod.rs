//! The server as whoever watches it sees it: the real binary, a telemetry back end, a scraper and its log.

mod lines;
mod metrics;
mod outage;
mod scene;
mod traces;
