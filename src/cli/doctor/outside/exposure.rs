//! What the public address should not answer.

use super::Visit;
use crate::cli::doctor::findings::{METRICS_EXPOSED, READINESS_EXPOSED};
use crate::cli::doctor::probe::Ask;

pub(super) async fn check(visit: &mut Visit<'_>) {
    let url = visit.at("/metrics");
    let ask = Ask::new(http::Method::GET, &url);
    if let Ok(answer) = visit.ask(&ask).await {
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status.is_success() && text.contains("# TYPE ") {
            visit.report.found(&METRICS_EXPOSED, format!("({})", ask.shown()));
        } else {
            visit.report.ok("metrics are not public");
        }
    }
    let ask = Ask::get(&visit.at("/ready"));
    if let Ok(answer) = visit.ask(&ask).await
        && answer.object().is_some_and(|object| object.contains_key("database"))
    {
        visit.report.found(&READINESS_EXPOSED, format!("({})", ask.shown()));
    }
}
