"""What else the official Python SDK makes of the server: prompts, completion, resources, and being told of changes."""

import asyncio
import json
import logging
import unittest

from mcp.types import PromptReference, ResourceTemplateReference, ResourceUpdatedNotification

from app import ERAS, App
from person import Person
from server import Server

PATIENCE_S = 15


def setUpModule() -> None:
    global server
    # The event loop of the tests tells of every step that takes a tenth of a second.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    server = Server()


def tearDownModule() -> None:
    server.stop()


class Surface(unittest.IsolatedAsyncioTestCase):
    async def test_prompts_completion_and_resources(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                app = App(server, Person(server, "alice"))
                async with app.connect(mode) as client:
                    prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
                    self.assertEqual(prompts, {"summarize_ticket", "triage_open_tickets"})
                    templates = (await client.list_resource_templates()).resource_templates
                    self.assertEqual([template.uri_template for template in templates], ["ticket://{id}"])
                    self.assertTrue((await client.list_resources()).resources)
                    prompt = PromptReference(type="ref/prompt", name="summarize_ticket")
                    ids = (await client.complete(prompt, {"name": "id", "value": "T-1"})).completion.values
                    template = ResourceTemplateReference(type="ref/resource", uri="ticket://{id}")
                    again = (await client.complete(template, {"name": "id", "value": "T-1"})).completion.values
                    self.assertEqual(ids, again)
                    self.assertTrue(ids and all(ticket_id.startswith("T-1") for ticket_id in ids))
                    summary = await client.get_prompt("summarize_ticket", {"id": ids[0]})
                    self.assertIn(ids[0], summary.model_dump_json())
                    read = await client.read_resource(f"ticket://{ids[0]}")
                    self.assertEqual(json.loads(read.contents[0].text)["id"], ids[0])

    async def test_a_client_hears_that_a_ticket_changed(self) -> None:
        for era, mode in ERAS.items():
            with self.subTest(era=era):
                app = App(server, Person(server, "alice"))
                heard: asyncio.Queue[str] = asyncio.Queue()

                async def hear(message) -> None:
                    if isinstance(message, ResourceUpdatedNotification):
                        heard.put_nowait(str(message.params.uri))

                async with app.connect(mode, message_handler=hear) as client:
                    draft = {"title": "No paper", "body": "None."}
                    ticket_id = (await client.call_tool("create_ticket", draft)).structured_content["id"]
                    uri = f"ticket://{ticket_id}"
                    comment = {"id": ticket_id, "body": "Still none."}
                    if mode == "legacy":
                        await client.subscribe_resource(uri)
                        await client.call_tool("comment_ticket", comment)
                        self.assertEqual(await asyncio.wait_for(heard.get(), PATIENCE_S), uri)
                        continue
                    async with client.listen(resource_subscriptions=[uri]) as subscription:
                        await client.call_tool("comment_ticket", comment)
                        event = await asyncio.wait_for(anext(subscription), PATIENCE_S)
                        self.assertEqual(event.uri, uri)


if __name__ == "__main__":
    unittest.main()
