//! What an app did, in plain words: of a tool call as the audit log has it.

use serde_json::Value;

use crate::audit::reason;
use crate::web::text::visible;

/// The longest argument shown, in characters: those that were long are reduced already.
const LONGEST: usize = 120;

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Particular {
    /// Its name in words.
    pub name: String,
    /// Its value, as the app gave it.
    pub value: String,
}

/// What was done by a call that was not refused: `Closed ticket T-12`. `used` is what the server gives access to, and
/// `answer` is what the app was told.
#[must_use]
pub fn done_words((tool, used): (Option<&str>, &str), ticket: Option<&str>, answer: Option<&str>) -> String {
    let ticket = ticket.map_or_else(|| "a ticket".to_owned(), |id| format!("ticket {id}"));
    match tool {
        Some("create_ticket") => format!("Opened {ticket}"),
        Some("comment_ticket") => format!("Commented on {ticket}"),
        Some("close_ticket") if answer.is_some_and(|text| text.contains("already")) => {
            format!("Closed {ticket}, which was closed already")
        }
        Some("close_ticket") => format!("Closed {ticket}"),
        Some(other) => format!("Used {}", visible(other, LONGEST)),
        None => format!("Used {used}"),
    }
}

/// What was asked by a call that was refused: `Tried to close ticket T-12`.
#[must_use]
pub fn tried_words((tool, used): (Option<&str>, &str), ticket: Option<&str>) -> String {
    let ticket = ticket.map_or_else(|| "a ticket".to_owned(), |id| format!("ticket {id}"));
    match tool {
        Some("create_ticket") => "Tried to open a ticket".to_owned(),
        Some("comment_ticket") => format!("Tried to comment on {ticket}"),
        Some("close_ticket") => format!("Tried to close {ticket}"),
        Some("search_tickets") => "Tried to search your tickets".to_owned(),
        Some("get_ticket") => format!("Tried to read {ticket}"),
        Some(other) => format!("Tried to use {}", visible(other, LONGEST)),
        None => format!("Tried to use {used}"),
    }
}

/// Why a call was refused.
#[must_use]
pub fn refusal_words(detail: Option<&str>) -> String {
    match detail {
        Some(reason::INSUFFICIENT_SCOPE) => "You have not allowed this app to do that.".to_owned(),
        Some(reason::RATE_LIMITED) => {
            "It made too many calls in a short time, and was told to wait.".to_owned()
        }
        Some(reason::GRANT_ENDED) => "Its access had ended.".to_owned(),
        Some(reason::EXPIRED) => "Its access token had expired. Apps get a new one by themselves.".to_owned(),
        Some(reason::FOREIGN) => "Its access token was made for another server.".to_owned(),
        Some(reason::KEY_USED) => "It sent the key of an earlier call with another one.".to_owned(),
        Some(text) if !text.is_empty() => {
            // What comes after is for the app.
            let first = text.split_inclusive(". ").next().unwrap_or(text);
            visible(first, 200)
        }
        _ => "It could not be done.".to_owned(),
    }
}

/// The arguments of a call in words, without the ticket's id, which the deed names.
#[must_use]
pub fn particulars(arguments: Option<&str>) -> Vec<Particular> {
    let Some(Ok(Value::Object(members))) = arguments.map(serde_json::from_str) else { return Vec::new() };
    let mut all: Vec<_> = members.iter().filter_map(|(name, value)| particular(name, value)).collect();
    // As a form would have them, whatever the order in which they were written down.
    all.sort_by_key(|(order, _)| *order);
    all.into_iter().map(|(_, particular)| particular).collect()
}

fn particular(name: &str, value: &Value) -> Option<(usize, Particular)> {
    let value = match value {
        Value::String(text) => visible(text, LONGEST),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let known = ["title", "query", "body", "resolution", "priority", "status", "limit"];
    let words = ["Title", "Search", "Text", "Resolution", "Priority", "Status", "At most"];
    let order = known.iter().position(|known| *known == name);
    let words =
        order.and_then(|order| words.get(order)).map_or_else(|| visible(name, 40), |word| (*word).to_owned());
    let hidden = (name == "id" && is_ticket_id(&value)) || name == "cursor" || value.is_empty();
    (!hidden).then(|| (order.unwrap_or(known.len()), Particular { name: words, value }))
}

/// The id of the ticket that a call was about: from its arguments, or from the answer to one that opened it.
#[must_use]
pub fn ticket(arguments: Option<&str>, answer: Option<&str>) -> Option<String> {
    let arguments: Option<Value> = arguments.and_then(|text| serde_json::from_str(text).ok());
    let id = arguments.as_ref().and_then(|arguments| arguments.get("id")).and_then(Value::as_str);
    let opened =
        || answer.and_then(|text| text.strip_prefix("Opened ")).and_then(|rest| rest.split(':').next());
    id.or_else(opened).filter(|text| is_ticket_id(text)).map(str::to_owned)
}

fn is_ticket_id(text: &str) -> bool {
    let digits = text.strip_prefix("T-").unwrap_or_default();
    (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: &str = "your tickets";

    #[test]
    fn every_tool_has_words_for_done_and_for_tried() {
        for (tool, done, tried) in [
            ("create_ticket", "Opened ticket T-7", "Tried to open a ticket"),
            ("comment_ticket", "Commented on ticket T-7", "Tried to comment on ticket T-7"),
            ("close_ticket", "Closed ticket T-7", "Tried to close ticket T-7"),
            ("get_ticket", "Used get_ticket", "Tried to read ticket T-7"),
            ("search_tickets", "Used search_tickets", "Tried to search your tickets"),
        ] {
            assert_eq!(done_words((Some(tool), USED), Some("T-7"), None), done);
            assert_eq!(tried_words((Some(tool), USED), Some("T-7")), tried);
        }
        let already = done_words(
            (Some("close_ticket"), USED),
            Some("T-7"),
            Some("T-7 was closed already; nothing changed."),
        );
        assert_eq!(already, "Closed ticket T-7, which was closed already");
        assert_eq!(tried_words((Some("close_ticket"), USED), None), "Tried to close a ticket");
        assert_eq!(tried_words((None, USED), None), "Tried to use your tickets");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let reasons = [
            reason::INSUFFICIENT_SCOPE,
            reason::RATE_LIMITED,
            reason::GRANT_ENDED,
            reason::EXPIRED,
            reason::FOREIGN,
            reason::KEY_USED,
        ];
        let mut words: Vec<_> = reasons.iter().map(|reason| refusal_words(Some(reason))).collect();
        assert!(words.iter().all(|words| words.ends_with('.') && !words.contains('_')), "{words:?}");
        words.sort();
        words.dedup();
        assert_eq!(words.len(), reasons.len());
        let unable = "T-9 was not found. search_tickets lists the tickets that you may see.";
        assert_eq!(refusal_words(Some(unable)), "T-9 was not found.");
        assert_eq!(refusal_words(None), "It could not be done.");
    }

    #[test]
    fn arguments_are_shown_in_words_and_in_a_forms_order() {
        let shown = |text: &str| {
            let all = particulars(Some(text));
            all.into_iter().map(|one| format!("{}={}", one.name, one.value)).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(
                r#"{"body":"b\n\u202Ec","id":"T-1","priority":"high","title":"t","colour":"red","limit":3}"#
            ),
            ["Title=t", "Text=b c", "Priority=high", "At most=3", "colour=red"]
        );
        assert_eq!(shown(r#"{"resolution":null,"nested":{"a":1}}"#), Vec::<String>::new());
        assert_eq!(shown("not JSON"), Vec::<String>::new());
    }

    #[test]
    fn the_ticket_is_named_by_the_arguments_or_by_the_answer() {
        assert_eq!(ticket(Some(r#"{"id":"T-5"}"#), None).as_deref(), Some("T-5"));
        assert_eq!(ticket(Some(r#"{"title":"t"}"#), Some("Opened T-201: t")).as_deref(), Some("T-201"));
        for (arguments, answer) in [(r#"{"id":"<b>"}"#, None), ("{}", Some("Opened <b>: x")), ("{}", None)] {
            assert_eq!(ticket(Some(arguments), answer), None, "{arguments}");
        }
    }
}
