//! Real clients that do the whole dance. The official TypeScript SDK does it in `browser/`, the Python SDK in
//! `python/` beside this file (`e2e/run clients`).

mod rust;
