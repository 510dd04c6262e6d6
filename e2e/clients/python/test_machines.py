"""Machines with the official Python SDK's provider for client credentials: no person is asked, in both eras."""

import logging
import re
import unittest

import httpx2
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from app import ERAS, Storage
from server import Server


def setUpModule() -> None:
    global server
    # The event loop of the tests tells of every step that takes a tenth of a second.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    server = Server()


def tearDownModule() -> None:
    server.stop()


def registered(method: str) -> dict[str, str]:
    """A machine as an operator registers it; its secret is shown this once."""
    options = ["--name", "Python report", "--role", "agent", "--scope", "tickets:read", "--auth-method", method]
    said = server.command("client", "add", "--machine", *options)

    def read(name: str) -> str:
        return re.search(rf"^{name}: (\S+)", said, re.MULTILINE).group(1)

    return {"client_id": read("client_id"), "client_secret": read("client_secret")}


class Machines(unittest.IsolatedAsyncioTestCase):
    async def test_a_machine_gets_a_token_and_calls_a_tool(self) -> None:
        for era, mode in ERAS.items():
            for method in ("client_secret_basic", "client_secret_post"):
                with self.subTest(era=era, method=method):
                    storage = Storage()
                    provider = ClientCredentialsOAuthProvider(
                        server_url=server.mcp_url,
                        storage=storage,
                        token_endpoint_auth_method=method,
                        issuer=server.url,
                        **registered(method),
                    )
                    http = httpx2.AsyncClient(auth=provider, timeout=30)
                    transport = streamable_http_client(server.mcp_url, http_client=http)
                    async with http, Client(transport, mode=mode) as client:
                        self.assertEqual(client.protocol_version, era)
                        found = await client.call_tool("search_tickets", {"query": "printer"})
                        self.assertFalse(found.is_error, found)
                    self.assertEqual(storage.tokens.scope, "tickets:read")
                    self.assertIsNone(storage.tokens.refresh_token)


if __name__ == "__main__":
    unittest.main()
