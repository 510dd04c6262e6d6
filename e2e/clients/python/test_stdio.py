"""`mandate stdio` as a subprocess of the official Python SDK, in both eras of the protocol."""

import logging
import unittest

from mcp import Client, MCPError, StdioServerParameters

from app import ERAS
from server import BINARY, Server


def setUpModule() -> None:
    global server
    # The event loop of the tests tells of every step that takes a tenth of a second.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    server = Server()


def tearDownModule() -> None:
    server.stop()


def program(*options: str) -> StdioServerParameters:
    """The program, on the store of the running server."""
    arguments = ["stdio", "--user", "alice", *options]
    return StdioServerParameters(command=str(BINARY), args=arguments, env=server.environment)


class Stdio(unittest.IsolatedAsyncioTestCase):
    async def test_a_client_reads_and_is_told_how_to_write(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                async with Client(program(), mode=mode) as client:
                    self.assertEqual(client.protocol_version, era)
                    self.assertEqual(len((await client.list_tools()).tools), 5)
                    found = await client.call_tool("search_tickets", {"query": "printer"})
                    ticket_id = found.structured_content["tickets"][0]["id"]
                    await client.read_resource(f"ticket://{ticket_id}")
                    with self.assertRaises(MCPError) as refused:
                        await client.call_tool("create_ticket", {"title": "Never", "body": "Opened."})
                    self.assertIn("--scope tickets:write", str(refused.exception))

    async def test_a_client_writes_once(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                draft = {"title": "No paper", "body": "None.", "idempotency_key": f"paper-{era}"}
                async with Client(program("--write"), mode=mode) as client:
                    first = await client.call_tool("create_ticket", draft)
                    again = await client.call_tool("create_ticket", draft)
                    self.assertEqual(first.structured_content, again.structured_content)
        done = [event for event in server.audited("tool_call") if event["outcome"] == "done"]
        self.assertEqual([event["idempotency_key"] for event in done], [f"paper-{era}" for era in ERAS])
        ended = server.audited("grant_revoked")
        self.assertEqual(len(ended), len(server.audited("grant_given")), "each grant ended with its program")


if __name__ == "__main__":
    unittest.main()
