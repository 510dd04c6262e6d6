//! Tickets as MCP resources: `ticket://{id}`, the whole ticket as JSON.

use rmcp::model::{ErrorData, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use super::context::scopes_meta;
use super::principal::Principal;
use super::tools::page::{Page, Which};
use super::tools::view;
use crate::app::App;
use crate::oauth::scope::TICKETS_READ;
use crate::storage::StorageError;
use crate::tickets::query::Query;
use crate::tickets::search::{Search, search};
use crate::tickets::{Sight, Ticket, TicketId, store};

const MIME_TYPE: &str = "application/json";
const SCHEME: &str = "ticket://";
/// The template by which every ticket can be read.
pub(super) const TEMPLATE: &str = "ticket://{id}";
/// What the template leaves open: the id of a ticket.
pub(super) const VARIABLE: &str = "id";
/// How many characters of an address that is none of ours are repeated.
const REPEATED: usize = 200;
/// How many tickets are listed: what a person might pick from. `search_tickets` finds all others, so there is
/// no second page, which eager clients would follow through every ticket there is.
const LISTED: usize = 20;

/// The URI of a ticket.
pub(super) fn uri(id: TicketId) -> String {
    format!("{SCHEME}{id}")
}

/// The ticket that a URI names, whether or not there is one.
pub(super) fn ticket_of(uri: &str) -> Option<TicketId> {
    uri.strip_prefix(SCHEME).and_then(|id| TicketId::parse(id).ok())
}

/// The template by which every ticket can be read.
pub(super) fn template() -> ResourceTemplate {
    ResourceTemplate::new(TEMPLATE, "ticket")
        .with_title("Ticket")
        .with_description("One ticket as JSON with its last comments in full, at most 50; id is a ticket's id such as T-42. The \
             tool get_ticket reads earlier comments.")
        .with_mime_type(MIME_TYPE)
        .with_meta(scopes_meta(&[TICKETS_READ]))
}

/// A ticket as far as it was read, without its comments.
pub(super) fn excerpt(ticket: &Ticket) -> ResourceContents {
    let text = view::ticket(ticket).to_string();
    ResourceContents::text(text, uri(ticket.id)).with_mime_type(MIME_TYPE)
}

/// The newest tickets that the principal may see.
pub(super) async fn list(app: &App, principal: &Principal) -> Result<Vec<Resource>, StorageError> {
    let sight = Sight::of(principal.role, &principal.user_id);
    let newest = Search {
        sight: &sight,
        query: &Query::Everything,
        status: None,
        after: None,
        limit: LISTED,
        excerpt: 1,
    };
    let page = search(&app.store, newest).await?;
    let resource = |ticket: &Ticket| {
        Resource::new(uri(ticket.id), ticket.id.to_string())
            .with_title(ticket.title.clone())
            .with_description(format!(
                "{}, {} priority, by {}",
                ticket.status.as_str(),
                ticket.priority.as_str(),
                ticket.reporter
            ))
            .with_mime_type(MIME_TYPE)
    };
    Ok(page.tickets.iter().map(resource).collect())
}

/// The contents of a ticket. `None` when there is no such ticket in sight.
pub(super) async fn read(
    app: &App,
    principal: &Principal,
    uri: &str,
) -> Result<Option<ResourceContents>, StorageError> {
    let Some(id) = ticket_of(uri) else { return Ok(None) };
    let sight = Sight::of(principal.role, &principal.user_id);
    let Some(ticket) = store::find(&app.store, &sight, id).await? else { return Ok(None) };
    let page = Page::read(&app.store, ticket, Which::Resource).await?;
    Ok(Some(ResourceContents::text(page.data().to_string(), uri).with_mime_type(MIME_TYPE)))
}

/// Says that there is no such resource. The MCP library gives it the code that each revision wants: −32602
/// since 2026-07-28, −32002 before.
pub(super) fn not_found(uri: &str) -> ErrorData {
    let uri: String = uri.chars().take(REPEATED).collect();
    ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })))
}
