"""A server of the Python SDK with sessions, and the SDK's own authorization server before it. Prints its URL."""

import secrets
import socket
import time

import uvicorn
from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.auth import OAuthToken
from pydantic import BaseModel

LIFETIME_S = 3600


class Provider:
    """Lets everybody in, for as long as it runs. Access tokens end at their first use after `end`."""

    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client_info):
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client, params):
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32), client_id=client.client_id, scopes=params.scopes or [],
            expires_at=time.time() + 60, **params.model_dump(exclude={"state", "scopes"}),
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client, authorization_code):
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client, authorization_code):
        del self.codes[authorization_code.code]
        return self.issue(client, authorization_code.scopes, authorization_code.resource)

    async def load_refresh_token(self, client, refresh_token):
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        del self.refresh[refresh_token.token]
        return self.issue(client, scopes, refresh_token.resource)

    async def load_access_token(self, token):
        return self.access.get(token)

    async def revoke_token(self, token):
        self.access.clear()
        self.refresh.clear()

    def issue(self, client, scopes, resource):
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        shared = {"client_id": client.client_id, "scopes": scopes, "resource": resource}
        self.access[access] = AccessToken(token=access, expires_at=int(time.time()) + LIFETIME_S, **shared)
        self.refresh[refresh] = RefreshToken(token=refresh, **shared)
        return OAuthToken(
            access_token=access, refresh_token=refresh, expires_in=LIFETIME_S, scope=" ".join(scopes)
        )


class Colour(BaseModel):
    colour: str


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    provider = Provider()
    scopes = ["user"]
    auth = AuthSettings(
        issuer_url=url, resource_server_url=f"{url}/mcp", required_scopes=scopes, validate_token_resource=True,
        client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=scopes),
        revocation_options=RevocationOptions(enabled=True),
    )
    server = MCPServer("python", auth_server_provider=provider, auth=auth, log_level="WARNING")

    @server.tool()
    async def ask(context: Context) -> str:
        """Asks the person something."""
        answer = await context.elicit("Which colour?", Colour)
        return f"{answer.action} {answer.data.colour}"

    @server.tool()
    async def end() -> str:
        """Makes every access token end."""
        provider.access.clear()
        return "ended"

    print(f"{url}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])


main()
