//! What can be found on the way to the MCP endpoint and at it.

use super::{Finding, Level, findings};

findings! {
    UNREACHABLE Fault "unreachable"
    "Nobody answers at the address."
    "Check the name in DNS, that the proxy and the server run, and that the firewall lets the port through."

    GATEWAY_FAILS Fault "gateway-fails"
    "A proxy answers, and does not reach the server behind it."
    "See that the server runs (`mandate healthcheck` on its machine), that the proxy passes to its address and port, and, for a Unix socket, that the proxy's user may open it."

    HTTPS_ONLY Fault "https-only"
    "Only https is spoken here."
    "Write https://: in public_url, in what clients are given, and in what doctor is given."

    NO_ANSWER Fault "no-answer"
    "Somebody takes the question and says nothing for 10 seconds. What follows from it is not told; after three such questions no more is asked."
    "See whether the server answers on its own machine (`mandate healthcheck`); then look at the way in between: the proxy's limit of connections to the server, and firewalls that drop what they do not like."

    UNFINISHED Fault "unfinished"
    "After 90 seconds not everything had been asked."
    "Mend what is slow, then run doctor again."

    TLS_UNTRUSTED Fault "tls-untrusted"
    "The certificate's chain leads to no authority that is trusted here."
    "Let the proxy send the whole chain (fullchain.pem, not cert.pem); for an authority of your own give doctor --ca-file, and know that hosted clients will refuse it."

    TLS_IS_AUTHORITY Fault "tls-is-authority"
    "The certificate is one of an authority, which must not stand for a server."
    "Make one for the server: of your own with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`, or signed by that authority."

    TLS_NAME Fault "tls-name"
    "The certificate is for another name."
    "Get a certificate that names this host, and see that the proxy picks it for this name (SNI)."

    TLS_EXPIRED Fault "tls-expired"
    "The certificate has expired, or is not valid yet."
    "Renew it and reload the proxy; check that the renewal runs by itself, and this machine's clock."

    TLS_EXPIRES_SOON Warning "tls-expires-soon"
    "The certificate expires within 14 days, or has for so short a life less than a third of it left."
    "Check that the renewal runs by itself and that the proxy is reloaded after it."

    PLAIN_HTTP Fault "plain-http"
    "The address is plain http: tokens cross the network for everybody to read, and clients refuse it."
    "Put TLS in front and give clients the https URL."

    THIS_MACHINE_ONLY Note "this-machine-only"
    "The address is on this machine's loopback: only clients on this machine reach it."
    "Nothing, for trying it out; for others set public_url to the https address that they use."

    HTTP_ANSWERS Warning "http-answers"
    "The same host answers the MCP endpoint over plain http instead of sending callers to https."
    "Let port 80 answer with 308 to https and nothing else, or close it."

    HTTP_LOSES_POST Note "http-loses-post"
    "Plain http redirects with a status that turns a POST into a GET: a client that was given the http URL fails without a reason."
    "Redirect with 308 (nginx: `return 308 https://$host$request_uri;`), and give clients the https URL."

    HTTP_1_ONLY Note "http-1-only"
    "The address speaks HTTP/1.1 alone: each open stream takes a connection of its own."
    "Switch HTTP/2 on in the proxy (nginx: `http2 on;`)."

    CLOCK_DIFFERS Warning "clock-differs"
    "The server's Date header differs from this machine's clock by more than a minute: tokens seem expired, or not yet valid."
    "Let both machines keep time with NTP; where only the header is old, stop the proxy from caching or overwriting it."

    SLOW Warning "slow"
    "An answer took more than a second."
    "Look at the server's own times (`mandate_` metrics) and at the way in between; clients give up after a few seconds."

    ENDPOINT_MISSING Fault "endpoint-missing"
    "There is nothing at the MCP endpoint: 404."
    "Give the URL with its path, and pass that path through the proxy unchanged."

    POST_REDIRECTS Fault "post-redirects"
    "A POST is answered with a redirect: clients lose the token, the body or the method on the way."
    "Pass the path through as it is; nginx: `location /` with a `proxy_pass` without a path; take rewrites and trailing-slash rules away."

    SLASH_REDIRECTS Fault "slash-redirects"
    "The MCP endpoint with or without a slash at its end is redirected to the other form; clients lose the token on the way."
    "Serve both forms: take the proxy's trailing-slash rule away for this path (nginx: no `location /mcp/` with a slash; Traefik: no redirectRegex)."

    SLASH_DIFFERS Warning "slash-differs"
    "The MCP endpoint with or without a slash at its end answers differently: clients that add or drop the slash fail."
    "Serve both forms alike."

    NO_CHALLENGE Fault "no-challenge"
    "The MCP endpoint answers without a token: clients conclude that no sign-in is needed."
    "See that the proxy sends this path to the server and not to a page, and that nothing answers in its place."

    CHALLENGE_STATUS Fault "challenge-status"
    "Without a token the MCP endpoint answers neither 401 nor with success."
    "Look at the server's and the proxy's log for this request; a bot rule or a second login in front of the server gives 403."

    HOST_REFUSED Fault "host-refused"
    "The server does not take the Host that reaches it for its own name."
    "Pass the Host header through (nginx: `proxy_set_header Host $http_host;`; Apache: `ProxyPreserveHost On`), and set public_url to the address that clients use."

    CHALLENGE_STRIPPED Fault "challenge-stripped"
    "The 401 carries no WWW-Authenticate: clients do not learn where to sign in."
    "Let the proxy pass it on (nginx: no `proxy_hide_header WWW-Authenticate` and no `proxy_intercept_errors` for 401; Traefik: no `errors` middleware and no empty `customResponseHeaders` for it; AWS gateways rename it: map x-amzn-remapped-www-authenticate back)."

    CHALLENGE_INCOMPLETE Fault "challenge-incomplete"
    "The challenge is no Bearer challenge with resource_metadata."
    "See that no login of the proxy's own (basic auth, forward auth) stands before the MCP endpoint."

    CHALLENGE_ERROR Warning "challenge-error"
    "The challenge names an error though no token was sent: some clients take it for a broken token."
    "See that the proxy adds no Authorization header of its own; else this is the server's to mend."

    ERAS_DIFFER Fault "eras-differ"
    "Clients of one protocol era are asked for a token and those of the other are not."
    "Pass every POST to the server alike, whatever its MCP headers are."

    AUTHORIZATION_STRIPPED Fault "authorization-stripped"
    "A wrong token was sent and the challenge does not call it invalid_token: the Authorization header does not arrive."
    "Let the proxy pass it on (nginx: no `proxy_set_header Authorization \"\"`; Apache: `CGIPassAuth On`; Traefik: basicAuth and forwardAuth with `removeHeader` off)."

    ANSWERS_KEPT Fault "answers-kept"
    "Somebody on the way keeps answers of the MCP endpoint, and gives one caller what another was told."
    "Switch caching off for the MCP endpoint, /token and /register (nginx: no `proxy_cache` with `proxy_cache_methods POST`; CDN: bypass)."

    GET_ANSWERS Warning "get-answers"
    "A GET of the MCP endpoint is answered with something other than 401, 405 or a stream; clients loop or give up."
    "Pass GET to the server, too; it answers 405 to who has no session."

    BODY_LIMIT Fault "body-limit"
    "A message of 200 KiB does not pass."
    "Raise the proxy's limit to at least 1 MiB (nginx: `client_max_body_size 1m;`; Traefik: buffering maxRequestBodyBytes; check the firewall's inspection limit)."

    BODY_LIMIT_LOW Note "body-limit-low"
    "A message of 900 KiB does not pass, though this server takes 1 MiB."
    "Raise the proxy's limit to 2 MiB if messages are to be that long (nginx: `client_max_body_size 2m;`)."

    ERRORS_ARE_PAGES Fault "errors-are-pages"
    "Errors that clients must read as JSON arrive as an HTML page."
    "Let the proxy pass the server's errors on (nginx: `proxy_intercept_errors off;`; Traefik: no `errors` middleware; CDN: no custom error pages) for /mcp, /token, /register and /.well-known/."
}
