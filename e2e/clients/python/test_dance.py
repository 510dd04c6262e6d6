"""The whole dance with the official Python SDK, from a bare 401 to a write, in both eras of the protocol."""

import logging
import re
import unittest
from urllib.parse import parse_qs, urlsplit

from mcp import MCPError
from mcp.shared.auth import OAuthClientInformationFull

from app import CALLBACK, ERAS, App
from person import Person
from server import DOCUMENT_URL, Server


def setUpModule() -> None:
    global server
    # The event loop of the tests tells of every step that takes a tenth of a second.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    server = Server()


def tearDownModule() -> None:
    server.stop()


def registered_by_hand() -> OAuthClientInformationFull:
    """A confidential client; its secret is shown this once."""
    said = server.command("client", "add", "--name", "Python Notebook", "--redirect-uri", "http://127.0.0.1/callback")

    def read(name: str) -> str:
        return re.search(rf"^{name}: (\S+)", said, re.MULTILINE).group(1)

    return OAuthClientInformationFull(
        client_id=read("client_id"),
        client_secret=read("client_secret"),
        redirect_uris=[CALLBACK],
        token_endpoint_auth_method="client_secret_post",
        issuer=server.url,
    )


WAYS = {
    "document": lambda: {"document_url": DOCUMENT_URL},
    "dynamic": lambda: {},
    "by hand": lambda: {"information": registered_by_hand()},
}


def first_ticket(result) -> str:
    assert not result.is_error, result
    return result.structured_content["tickets"][0]["id"]


class Dance(unittest.IsolatedAsyncioTestCase):
    async def test_a_client_reads_and_then_writes(self) -> None:
        for era, mode in ERAS.items():
            for way, registration in WAYS.items():
                with self.subTest(era=era, way=way):
                    app = App(server, Person(server, "alice"), **registration())
                    async with app.connect(mode) as client:
                        self.check_discovery(app, way)
                        self.assertEqual(client.protocol_version, era)
                        self.assertIn("tickets:read", app.scopes)
                        self.assertNotIn("tickets:write", app.scopes)
                        tools = {tool.name for tool in (await client.list_tools()).tools}
                        self.assertLessEqual({"search_tickets", "get_ticket", "create_ticket"}, tools)
                        found = await client.call_tool("search_tickets", {"query": "printer"})
                        ticket_id = first_ticket(found)
                        ticket = await client.call_tool("get_ticket", {"id": ticket_id})
                        self.assertEqual(ticket.structured_content["id"], ticket_id)
                        await self.check_step_up(app, client)

    def check_discovery(self, app: App, way: str) -> None:
        method, path, status, challenge = app.wire[0]
        self.assertEqual((method, path, status), ("POST", "/mcp", 401))
        self.assertNotIn("error=", challenge)
        self.assertEqual(app.answered("/.well-known/oauth-protected-resource/mcp"), [200])
        self.assertEqual(app.answered("/.well-known/oauth-authorization-server"), [200])
        self.assertEqual(app.answered("/register"), [201] if way == "dynamic" else [])
        self.assertEqual(app.answered("/token"), [200])
        self.assertEqual(len(app.travels), 1)
        sent = parse_qs(urlsplit(app.travels[0]).query)
        self.assertEqual(sent["resource"], [server.mcp_url])
        self.assertEqual(sent["code_challenge_method"], ["S256"])

    async def check_step_up(self, app: App, client) -> None:
        """The refused call is made again by the SDK itself once the person has allowed more."""
        draft = {"title": "The lift plays the wrong song", "body": "It should play none."}
        created = await client.call_tool("create_ticket", draft)
        self.assertFalse(created.is_error, created)
        self.assertRegex(created.structured_content["id"], r"^T-\d+$")
        refusal = next(challenge for *_, status, challenge in app.wire if status == 403)
        self.assertIn('error="insufficient_scope"', refusal)
        self.assertEqual(sorted(app.person.asked), ["tickets:read", "tickets:write"])
        self.assertLessEqual({"tickets:read", "tickets:write"}, app.scopes)
        self.assertEqual(len(app.travels), 2)

    async def test_an_expired_token_is_refreshed_without_the_person(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                app = App(server, Person(server, "alice"))
                async with app.connect(mode) as client:
                    before = app.storage.tokens
                    app.provider.context.token_expiry_time = 1
                    first_ticket(await client.call_tool("search_tickets", {"query": "printer"}))
                    after = app.storage.tokens
                    self.assertNotEqual(after.access_token, before.access_token)
                    self.assertNotEqual(after.refresh_token, before.refresh_token)
                    self.assertEqual(len(app.travels), 1)

    async def test_access_that_was_taken_back_is_asked_for_again(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                app = App(server, Person(server, "bob"))
                async with app.connect(mode) as client:
                    await client.call_tool("search_tickets", {"query": "printer"})
                    app.person.take_back("Python Notebook")
                    again = await client.call_tool("search_tickets", {"query": "printer"})
                    self.assertFalse(again.is_error, again)
                    self.assertEqual(len(app.travels), 2)
                    refusals = [challenge for *_, status, challenge in app.wire if status == 401]
                    self.assertIn('error="invalid_token"', refusals[-1])
                app.person.take_back("Python Notebook")

    async def test_a_person_who_allows_less_is_asked_once_more_and_not_again_and_again(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                person = Person(server, "alice")
                app = App(server, person)
                async with app.connect(mode) as client:
                    decide = person.decide
                    person.decide = lambda url: decide(url, without=("tickets:write",))
                    with self.assertRaises(MCPError):
                        await client.call_tool("create_ticket", {"title": "Never", "body": "Opened."})
                    self.assertEqual(len(app.travels), 2)
                    first_ticket(await client.call_tool("search_tickets", {"query": "printer"}))


if __name__ == "__main__":
    unittest.main()
