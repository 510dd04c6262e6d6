"""An MCP server of somebody else on the official Python SDK. Mandate issues its tokens; it asks Mandate about each one.
Started with the issuer, its own URL and its secret's file; says so when it listens."""

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

NAME = "notes"


class Introspection:
    """The SDK's `TokenVerifier`, by RFC 7662."""

    def __init__(self, endpoint: str, secret: str) -> None:
        self._endpoint = endpoint
        self._http = httpx2.AsyncClient(auth=(NAME, secret))

    async def verify_token(self, token: str) -> AccessToken | None:
        answer = await self._http.post(self._endpoint, data={"token": token})
        # That nobody can be asked says nothing about the token.
        answer.raise_for_status()
        told = answer.json()
        if not told["active"]:
            return None
        return AccessToken(
            token=token,
            client_id=told["client_id"],
            scopes=told["scope"].split(),
            expires_at=told["exp"],
            resource=told["aud"],
            subject=told["sub"],
            claims={"username": told["username"]},
        )


def main() -> None:
    issuer, url, secret_file = sys.argv[1:]
    metadata = httpx2.get(f"{issuer}/.well-known/oauth-authorization-server").raise_for_status().json()
    verifier = Introspection(metadata["introspection_endpoint"], Path(secret_file).read_text().strip())
    auth = AuthSettings(
        issuer_url=issuer, resource_server_url=url, required_scopes=["notes:read"], validate_token_resource=True
    )
    server = MCPServer(NAME, token_verifier=verifier, auth=auth, log_level="WARNING")

    @server.tool()
    async def whoami() -> str:
        """Says on whose behalf it is called."""
        token = get_access_token()
        return f"{token.subject} by {token.client_id}, {token.claims['username']}"

    listener = socket.create_server(("127.0.0.1", urlsplit(url).port))
    print(url, flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])


main()
