"""Two MCP servers of others that trust Mandate, one by its published keys and one by introspection, beside Mandate's own
resource and with Mandate as the authorization server alone. The client is the official Python SDK's."""

import logging
import os
import socket
import subprocess
import sys
import unittest
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt

from app import NAME, App
from person import Person
from server import Server

FOLDER = Path(__file__).resolve().parent
SECRET = "notes-0123456789abcdef0123456789abcdef"
SETTINGS = """
resource_server = "{own}"

[resources.weather]
uri = "{weather}"
title = "Weather"

[resources.weather.scopes]
"weather:read" = "See the weather where you are"

[resources.notes]
uri = "{notes}"
title = "Notes"
secret_file = "{secret_file}"

[resources.notes.scopes]
"notes:read" = "Read your notes"
"Notes.Write" = "Write notes as you"
"""


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://localhost:{probe.getsockname()[1]}/mcp"


class ThirdParty:
    """A server of somebody else, as a process of its own."""

    def __init__(self, url: str, *command: str) -> None:
        self.mcp_url = url
        self._process = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline().strip() == url, f"{command} did not start"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Scene:
    """Mandate and both of them."""

    def __init__(self, own: str) -> None:
        weather, notes = free_url(), free_url()
        settings = SETTINGS.format(own=own, weather=weather, notes=notes, secret_file="notes.secret")
        self.mandate = Server(settings, files={"notes.secret": SECRET})
        secret_file = self.mandate.folder / "notes.secret"
        node = os.environ.get("NODE", "node")
        self.weather = ThirdParty(weather, node, "jwks_server.mjs", self.mandate.url, weather)
        self.notes = ThirdParty(
            notes, sys.executable, "introspection_server.py", self.mandate.url, notes, str(secret_file)
        )

    def stop(self) -> None:
        self.weather.stop()
        self.notes.stop()
        self.mandate.stop()


def setUpModule() -> None:
    global scenes
    # The event loop of the tests tells of every step that takes a tenth of a second.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    scenes = {own: Scene(own) for own in ("on", "off")}


def tearDownModule() -> None:
    for scene in scenes.values():
        scene.stop()


def status_at(url: str, token: str) -> int:
    """What a token is answered with."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
    return httpx2.post(url, json=message, headers=headers).status_code


class ResourceServers(unittest.IsolatedAsyncioTestCase):
    async def dance(self, scene: Scene, party: ThirdParty, scopes: set[str]) -> App:
        """From a bare 401 to a call of its tool."""
        app = App(party, Person(scene.mandate, "alice"))
        async with app.connect("auto") as client:
            self.assertEqual((app.wire[0][1], app.wire[0][2]), ("/mcp", 401))
            self.assertEqual(app.answered("/.well-known/oauth-protected-resource/mcp"), [200])
            said = (await client.call_tool("whoami", {})).content[0].text
        self.assertEqual(len(app.travels), 1)
        self.assertTrue(app.travels[0].startswith(f"{scene.mandate.url}/authorize?"))
        self.assertEqual(parse_qs(urlsplit(app.travels[0]).query)["resource"], [party.mcp_url])
        self.assertLessEqual(set(app.person.asked), scopes)
        claims = jwt.decode(app.storage.tokens.access_token, options={"verify_signature": False})
        self.assertEqual((claims["aud"], claims["iss"]), (party.mcp_url, scene.mandate.url))
        self.assertIn(f"{claims['sub']} by {claims['client_id']}", said)
        return app

    async def test_a_client_is_led_to_mandate_and_its_token_is_good_for_one_server_until_it_is_taken_back(self) -> None:
        for own, scene in scenes.items():
            with self.subTest(resource_server=own):
                weather = await self.dance(scene, scene.weather, {"weather:read"})
                notes = await self.dance(scene, scene.notes, {"notes:read", "Notes.Write"})
                of_weather, of_notes = (app.storage.tokens.access_token for app in (weather, notes))
                for url, token, status in [
                    (scene.weather.mcp_url, of_weather, 200),
                    (scene.notes.mcp_url, of_notes, 200),
                    (scene.weather.mcp_url, of_notes, 401),
                    (scene.notes.mcp_url, of_weather, 401),
                    (scene.mandate.mcp_url, of_weather, 401 if own == "on" else 404),
                    (scene.mandate.mcp_url, of_notes, 401 if own == "on" else 404),
                ]:
                    self.assertEqual(status_at(url, token), status, url)
                # The newest is first on the page: the notes.
                notes.person.take_back(NAME)
                self.assertEqual(status_at(scene.notes.mcp_url, of_notes), 401, "it asks each time")
                self.assertEqual(status_at(scene.weather.mcp_url, of_weather), 200)
                # Whoever goes by the keys alone hears of it when the token ends and cannot be renewed.
                weather.person.take_back(NAME)
                self.assertEqual(status_at(scene.weather.mcp_url, of_weather), 200)
                async with notes.connect("auto") as client:
                    await client.call_tool("whoami", {})
                self.assertEqual(len(notes.travels), 2, "the person was asked again")
                notes.person.take_back(NAME)

    async def test_a_token_of_ours_is_refused_by_both(self) -> None:
        scene = scenes["on"]
        app = App(scene.mandate, Person(scene.mandate, "bob"))
        async with app.connect("auto") as client:
            await client.call_tool("search_tickets", {"query": "printer"})
        token = app.storage.tokens.access_token
        self.assertEqual(status_at(scene.mandate.mcp_url, token), 200)
        for party in (scene.weather, scene.notes):
            self.assertEqual(status_at(party.mcp_url, token), 401)
            self.assertEqual(status_at(party.mcp_url, app.storage.tokens.refresh_token), 401)

    async def test_mandate_alone_has_no_resource_and_offers_the_others(self) -> None:
        for own, scene in scenes.items():
            with self.subTest(resource_server=own):
                base = f"{scene.mandate.url}/.well-known"
                metadata = httpx2.get(f"{base}/oauth-authorization-server").json()
                resources, scopes = set(metadata["protected_resources"]), set(metadata["scopes_supported"])
                others = {scene.weather.mcp_url, scene.notes.mcp_url}
                ours = {scene.mandate.mcp_url} if own == "on" else set()
                self.assertEqual(resources, others | ours)
                self.assertLessEqual({"weather:read", "notes:read", "Notes.Write"}, scopes)
                self.assertEqual("tickets:read" in scopes, own == "on")
                found = httpx2.get(f"{base}/oauth-protected-resource/mcp").status_code
                self.assertEqual(found, 200 if own == "on" else 404)


if __name__ == "__main__":
    unittest.main()
