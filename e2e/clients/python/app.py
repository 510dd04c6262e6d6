"""One installed MCP client on the official Python SDK: its OAuth provider and its transport do everything but the
person's part."""

from contextlib import asynccontextmanager

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

# Both eras of the protocol, as the SDK names them.
ERAS = {"2026-07-28": "auto", "2025-11-25": "legacy"}
CALLBACK = "http://127.0.0.1:53682/callback"
NAME = "Python Notebook"


class Storage:
    """The SDK's `TokenStorage`, kept in memory."""

    def __init__(self, information: OAuthClientInformationFull | None = None) -> None:
        self.information = information
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.information

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.information = client_info


class App:
    """What the SDK is told, and what it was seen to do."""

    def __init__(self, server, person, *, information=None, document_url=None) -> None:
        self.server = server
        self.person = person
        self.storage = Storage(information)
        # Each request to the server: method, path, status and, where there is one, the challenge.
        self.wire: list[tuple[str, str, int, str]] = []
        # Each time the person was sent to the browser.
        self.travels: list[str] = []
        self.provider = OAuthClientProvider(
            server_url=server.mcp_url,
            client_metadata=OAuthClientMetadata(
                client_name=NAME,
                redirect_uris=[CALLBACK],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none" if information is None else "client_secret_post",
            ),
            storage=self.storage,
            redirect_handler=self._send_person,
            callback_handler=self._wait_for_person,
            client_metadata_url=document_url,
        )

    async def _send_person(self, url: str) -> None:
        self.travels.append(url)

    async def _wait_for_person(self) -> AuthorizationCodeResult:
        came_back = self.person.decide(self.travels[-1])
        return AuthorizationCodeResult(code=came_back["code"], state=came_back["state"], iss=came_back["iss"])

    async def _note(self, response: httpx2.Response) -> None:
        request = response.request
        challenge = response.headers.get("www-authenticate", "")
        self.wire.append((request.method, request.url.path, response.status_code, challenge))

    @property
    def scopes(self) -> set[str]:
        """What the tokens that are held reach."""
        return set(self.storage.tokens.scope.split())

    def answered(self, path: str) -> list[int]:
        """The statuses with which a path was answered."""
        return [status for _, asked, status, _ in self.wire if asked == path]

    @asynccontextmanager
    async def connect(self, mode: str, **options):
        """Connects; with the whole dance where no tokens are held."""
        http = httpx2.AsyncClient(auth=self.provider, event_hooks={"response": [self._note]}, timeout=30)
        transport = streamable_http_client(self.server.mcp_url, http_client=http)
        async with http, Client(transport, mode=mode, **options) as client:
            yield client
