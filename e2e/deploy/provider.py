"""What mock-oauth2-server of deploy/compose.yaml says and does, as far as a sign-in goes: its metadata, its page that asks
for a name, its tokens. The image itself needs an engine."""

import base64
import hashlib
import http.server
import json
import re
import secrets
import threading
import time
import urllib.parse
from pathlib import Path

from house import say

PAGE = '<form method="post"><input name="username"><textarea name="claims"></textarea></form>'


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Provider:
    """Listens on a `port` of loopback, signs in whoever says a name; `configuration` is deploy/compose/provider.json."""

    def __init__(self, folder: Path, configuration: dict) -> None:
        [self.callback] = configuration["tokenCallbacks"]
        self.key = folder / "provider.pem"
        say("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.key))
        self.codes: dict[str, dict[str, str]] = {}
        # Who signed in with which client.
        self.seen: list[tuple[str, str]] = []
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                provider.post(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_) -> None:
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.listener.server_port
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def end(self) -> None:
        self.listener.shutdown()
        self.listener.server_close()

    def issuer(self, request) -> str:
        """Of the request, as a proxy tells of it: the host without its port, and the port that is forwarded."""
        host = request.headers["Host"].partition(":")[0]
        proto, port = (request.headers[f"X-Forwarded-{name}"] for name in ("Proto", "Port"))
        return f"{proto}://{host}:{port}/{self.callback['issuerId']}"

    def get(self, request) -> None:
        path = urllib.parse.urlsplit(request.path).path.removeprefix(f"/{self.callback['issuerId']}")
        if path == "/.well-known/openid-configuration":
            issuer = self.issuer(request)
            named = ("authorize", "endsession", "revoke", "token", "userinfo", "introspect")
            fields = ("authorization", "end_session", "revocation", "token", "userinfo", "introspection")
            metadata = {f"{field}_endpoint": f"{issuer}/{name}" for field, name in zip(fields, named)}
            answer(request, 200, metadata | {
                "issuer": issuer,
                "jwks_uri": f"{issuer}/jwks",
                "response_types_supported": ["code", "none", "id_token", "token"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256"],
                "code_challenge_methods_supported": ["plain", "S256"],
            })
        elif path == "/jwks":
            said = say("openssl", "rsa", "-in", str(self.key), "-modulus", "-noout")
            modulus = bytes.fromhex(re.search("Modulus=([0-9A-F]+)", said)[1])
            key = {"kty": "RSA", "use": "sig", "kid": "company", "e": "AQAB", "n": encoded(modulus)}
            answer(request, 200, {"keys": [key]})
        elif path == "/authorize":
            answer(request, 200, PAGE)
        else:
            answer(request, 404, {})

    def post(self, request, body: str) -> None:
        url = urllib.parse.urlsplit(request.path)
        form = dict(urllib.parse.parse_qsl(body))
        if url.path.endswith("/authorize"):
            asked = dict(urllib.parse.parse_qsl(url.query))
            assert "openid" in asked["scope"].split(), asked
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked | {"username": form["username"]}
            back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
            answer(request, 302, "", Location=f"{asked['redirect_uri']}?{back}")
        elif url.path.endswith("/token"):
            answer(request, 200, self.tokens(request, form))
        else:
            answer(request, 404, {})

    def tokens(self, request, form: dict[str, str]) -> dict:
        asked = self.codes.pop(form["code"])
        assert encoded(hashlib.sha256(form["code_verifier"].encode()).digest()) == asked["code_challenge"]
        basic = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        client, secret = map(urllib.parse.unquote_plus, basic.split(":"))
        assert secret, "a client without a secret"
        self.seen.append((asked["username"], client))
        now = int(time.time())
        claims = {"sub": asked["username"], "aud": [client], "iss": self.issuer(request), "nonce": asked["nonce"]}
        claims |= {"iat": now, "nbf": now, "exp": now + self.callback["tokenExpiry"], "jti": secrets.token_hex(16)}
        for mapping in self.callback["requestMappings"]:
            if mapping["match"] == "*" and mapping["requestParam"] in form:
                claims |= mapping["claims"]
        token = self.signed(claims)
        return {"token_type": "Bearer", "id_token": token, "access_token": token, "expires_in": 3600}

    def signed(self, claims: dict) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": "company"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        message, signature = self.key.with_suffix(".message"), self.key.with_suffix(".signature")
        message.write_text(text)
        say("openssl", "dgst", "-sha256", "-sign", str(self.key), "-out", str(signature), str(message))
        return f"{text}.{encoded(signature.read_bytes())}"


def answer(request, status: int, body: dict | str, **headers: str) -> None:
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    request.send_response(status)
    kind = "text/html" if isinstance(body, str) else "application/json"
    for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(raw)
