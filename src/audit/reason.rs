//! Why calls are refused, as recorded: written where calls are judged, put into words where users see them.

/// The token does not reach what was asked.
pub const INSUFFICIENT_SCOPE: &str = "insufficient_scope";
/// Too many calls came before it.
pub const RATE_LIMITED: &str = "rate_limited";
/// The token's grant has ended.
pub const GRANT_ENDED: &str = "invalid_token: its grant has ended";
/// The token has expired.
pub const EXPIRED: &str = "invalid_token: it has expired or is not yet valid";
/// The token is another server's.
pub const FOREIGN: &str = "invalid_token: it was issued by or for somebody else";
/// The idempotency key stands for another call.
pub const KEY_USED: &str = "idempotency_key: was used before with other arguments or another tool; use a new key for \
    a new call";
