//! What can be found in the metadata, in the sign-in and in calls.

use super::{Finding, Level, findings};

findings! {
    RESOURCE_METADATA_MISSING Fault "resource-metadata-missing"
    "The protected resource metadata is not where the challenge or RFC 9728 says."
    "Pass all of /.well-known/ to the server, with what follows it; no file server and no ACME rule may take more than /.well-known/acme-challenge/."

    RESOURCE_METADATA_ROOT Warning "resource-metadata-root"
    "There is no protected resource metadata at the root form, which some clients ask alone."
    "Pass /.well-known/oauth-protected-resource to the server."

    RESOURCE_DIFFERS Fault "resource-differs"
    "The metadata is about another resource than the URL that was asked; clients refuse it."
    "Set public_url to exactly the address that clients use (scheme, host and port), and let the proxy change no answers."

    HTTP_BEHIND_HTTPS Fault "http-behind-https"
    "The server names itself with http although it is asked by https."
    "Set public_url to the https address; a server that looks at X-Forwarded-Proto needs the proxy to send it."

    WELL_KNOWN_PAGE Fault "well-known-page"
    "What does not exist below /.well-known/ is answered with success: clients take a page for metadata."
    "Take /.well-known/ out of the proxy's catch-all (single-page app, `try_files`), and pass it to the server."

    SERVER_METADATA_MISSING Fault "server-metadata-missing"
    "The authorization server that the resource names has no metadata where clients look."
    "Pass /.well-known/oauth-authorization-server to the server, without a login before it."

    ISSUER_DIFFERS Fault "issuer-differs"
    "The issuer in the authorization server's metadata is not byte for byte the one that the resource names."
    "Let one public_url be the source of both, and let the proxy change no answers; a slash more is a difference."

    ENDPOINT_ELSEWHERE Fault "endpoint-elsewhere"
    "An endpoint in the authorization server's metadata is not https on the issuer's origin."
    "Set public_url to the public address; a server that looks at Host or X-Forwarded-Host needs the proxy to pass it on."

    FORMS_DIFFER Fault "forms-differ"
    "The metadata says one thing in one of its places and another in the next: which a client believes is chance."
    "Empty the proxy's cache, let it cache none of /.well-known/, and see that all replicas run with one configuration."

    PKCE_NOT_ADVERTISED Fault "pkce-not-advertised"
    "The metadata does not offer PKCE with S256; MCP clients go no further."
    "The server must say code_challenge_methods_supported: [\"S256\"]; Mandate does, so see who answers in its place."

    KEYS_MISSING Warning "keys-missing"
    "The keys that tokens are signed with cannot be read at jwks_uri."
    "Pass /jwks to the server."

    NO_WAY_TO_REGISTER Warning "no-way-to-register"
    "Clients can neither register themselves nor be known by their metadata document."
    "Switch clients.dynamic_registration or clients.metadata_documents on, or register each client by hand (`mandate client add`)."

    NO_DOCUMENTS Note "no-documents"
    "Client metadata documents are not taken: each installation of a client registers anew."
    "Switch clients.metadata_documents on."

    METADATA_COMPRESSED Warning "metadata-compressed"
    "The metadata arrives compressed, which some clients do not understand."
    "Leave /.well-known/ out of compression (nginx: `gzip off;` in its location; no application/json in gzip_types)."

    METADATA_KEPT Warning "metadata-kept"
    "The metadata may be kept for more than a day: a changed setting is not seen for as long."
    "Let the proxy or CDN pass the server's own Cache-Control on."

    PREFLIGHT_REFUSED Fault "preflight-refused"
    "The question that a browser asks first (OPTIONS) is refused: clients in a browser cannot connect."
    "Pass OPTIONS to the server without a login (nginx: no `limit_except` without OPTIONS; API gateways: no CORS answers of their own)."

    CORS_MISSING Fault "cors-missing"
    "Answers carry no Access-Control-Allow-Origin: clients in a browser cannot read them."
    "Let the proxy pass the Access-Control headers on, and set none itself."

    CORS_TWICE Fault "cors-twice"
    "Answers carry Access-Control-Allow-Origin twice: browsers then let no page read them."
    "Let the proxy set no Access-Control headers of its own (nginx: no `add_header Access-Control-Allow-Origin`)."

    CORS_HEADERS Fault "cors-headers"
    "The preflight does not allow a header that clients send; a wildcard never covers Authorization."
    "Let the server answer the preflight; where the proxy answers it, let it name the headers one by one."

    CORS_HIDDEN Fault "cors-hidden"
    "A page cannot read WWW-Authenticate or Mcp-Session-Id: it never learns where to sign in, or loses its session."
    "Let the proxy pass Access-Control-Expose-Headers on."

    REGISTRATION_FAILS Fault "registration-fails"
    "The registration endpoint is offered and does not register a client."
    "Look at the server's log; pass POST /register to the server without a login and without a bot rule."

    CLIENT_LEFT Note "client-left"
    "One client was registered to try it, and the server has no way to take that back."
    "Nothing: Mandate forgets it after a day. Elsewhere remove it by hand; --no-registration leaves this step out."

    AUTHORIZE_FAILS Fault "authorize-fails"
    "An authorization request with PKCE does not reach a page to sign in."
    "Pass /authorize, /login and /consent to the server, with their query and cookies."

    SIGN_IN_ELSEWHERE Note "sign-in-elsewhere"
    "People are sent to another origin to sign in."
    "Nothing, if that is your company's identity provider."

    COOKIE_INSECURE Fault "cookie-insecure"
    "A cookie of the sign-in page is not marked Secure."
    "Set public_url to the https address, and let the proxy change no cookies."

    FRAMING_ALLOWED Warning "framing-allowed"
    "The sign-in page may be shown inside another site's page."
    "Let the proxy pass Content-Security-Policy on (frame-ancestors 'none')."

    OPEN_REDIRECT Fault "open-redirect"
    "An authorization request with a redirect URI that nobody registered sends the browser there."
    "The server must answer with a page; Mandate does, so see who answers in its place."

    TOKEN_NOT_JSON Fault "token-not-json"
    "The token endpoint does not answer with a JSON error."
    "Pass POST /token to the server, and its errors back."

    TOKEN_KEPT Fault "token-kept"
    "The token endpoint's answers lack Cache-Control: no-store: a proxy may hand one user's tokens to another."
    "Let the proxy pass Cache-Control on and cache nothing of /token (nginx: no `expires`, no `proxy_ignore_headers Cache-Control`)."

    TOKEN_COMPRESSED Warning "token-compressed"
    "The token endpoint's answers arrive compressed: some clients do not understand it, and lengths tell about secrets."
    "Leave /token out of compression."

    METRICS_EXPOSED Fault "metrics-exposed"
    "Anybody can read /metrics at the public address."
    "Serve metrics on metrics_listen alone, and let the proxy answer 404 to /metrics."

    READINESS_EXPOSED Note "readiness-exposed"
    "Anybody can read at /ready which of the stores is away."
    "Let the proxy answer 404 to /ready; probes ask the listener itself."

    TOKEN_REFUSED Fault "token-refused"
    "The token that was given is not taken."
    "Give one for this resource that has not expired (`mandate token mint`)."

    CALL_FAILS Fault "call-fails"
    "A call with a good token fails."
    "Look at the server's and the proxy's log for this request."

    SESSION_HIDDEN Fault "session-hidden"
    "The server keeps sessions and the Mcp-Session-Id header does not pass in one of the directions."
    "Let the proxy pass Mcp-Session-Id on, both ways."

    MCP_HEADERS_STRIPPED Fault "mcp-headers-stripped"
    "MCP-Protocol-Version, Mcp-Method or Mcp-Name do not arrive: clients of the 2026-07-28 era are refused."
    "Let the proxy pass every header that begins with Mcp- on (nginx: `ignore_invalid_headers` is not to blame; API gateways: add them to the list)."

    STREAM_HELD Fault "stream-held"
    "An open stream delivers nothing until it ends: something on the way keeps it back."
    "Switch buffering off for the MCP endpoint (nginx: `proxy_buffering off;` and do not ignore X-Accel-Buffering; CDN: no buffering of text/event-stream)."

    STREAM_COMPRESSED Fault "stream-compressed"
    "A stream arrives compressed: compression keeps events back until there are enough of them."
    "Leave text/event-stream out of compression."
}
