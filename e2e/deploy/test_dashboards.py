"""The dashboard as operators see it: two replicas serve under a load in which everything happens, a real Prometheus scrapes
them, and each panel is drawn from what it holds. The pictures are in target/screenshots."""

import http.client
import os
import random
import re
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

from house import BINARY, ROOT, Client, Collector, Mandate, Person, eventually, postgres, program, redis
from test_watch import Prometheus, panels

PICTURES = Path(os.environ.get("MANDATE_SCREENSHOTS", ROOT / "target/screenshots"))
LASTS_S = 60
# How long the collector is away.
AWAY_S = 5
TOOLS = ("search_tickets", "search_tickets", "get_ticket", "get_ticket", "create_ticket", "comment_ticket", "close_ticket")


class FromAnotherAddress(urllib.request.HTTPHandler):
    """Before the one that urllib brings."""

    handler_order = 400

    def http_open(self, request):
        def connection(host, **more):
            return http.client.HTTPConnection(host, source_address=("127.0.0.2", 0), **more)

        return self.do_open(connection, request)


class Elsewhere(Person):
    """A person at another address: whoever tries passwords makes everybody behind theirs wait."""

    def __init__(self, server, name: str) -> None:
        super().__init__(server, name)
        self._opener.add_handler(FromAnotherAddress())


class Load:
    """Callers of all kinds, until the time is over."""

    def __init__(self, replicas: list[Mandate], store, collector: Collector) -> None:
        self.replicas, self.store, self.collector = replicas, store, collector
        self.began = time.monotonic()
        self.faults: list[BaseException] = []
        # All are alice, and one at a time signs in: whoever tries often at once is made to wait.
        self.door = threading.Lock()

    def run(self) -> None:
        kinds = [self.assistant] * 4 + [self.greedy, self.muddled, self.stranger, self.newcomer, self.keeper, self.listener]
        callers = [threading.Thread(target=self.guarded, args=(kind, number)) for number, kind in enumerate(kinds)]
        for caller in callers:
            caller.start()
        self.goes_on(LASTS_S * 0.2)
        self.collector.halt()
        self.goes_on(AWAY_S)
        self.collector.again()
        time.sleep(max(0, self.began + LASTS_S * 0.6 - time.monotonic()))
        self.store.halt()
        time.sleep(2)
        self.store.again()
        for caller in callers:
            caller.join()
        if self.faults:
            raise self.faults[0]

    def client(self, replica: Mandate, client_id: str = "") -> Client:
        with self.door:
            return Client(replica, client_id=client_id)

    def guarded(self, kind, number: int) -> None:
        try:
            kind(self.replicas[number % 2], random.Random(number))
        except BaseException as fault:
            self.faults.append(fault)

    def goes_on(self, pause: float) -> bool:
        time.sleep(pause)
        return time.monotonic() < self.began + LASTS_S

    def assistant(self, replica: Mandate, dice: random.Random) -> None:
        """Reads and writes, and tries a write again now and then."""
        client = self.client(replica)
        while self.goes_on(dice.uniform(0.05, 0.25)):
            tool, ticket = dice.choice(TOOLS), f"T-{dice.randint(1, 220)}"
            arguments = {
                "search_tickets": {"query": dice.choice(("printer", "vpn", "password"))},
                "get_ticket": {"id": ticket},
                "create_ticket": {"title": "Printer", "body": "It prints nothing.", "idempotency_key": str(time.time())},
                "comment_ticket": {"id": ticket, "body": "It prints again."},
                "close_ticket": {"id": ticket},
            }[tool]
            client.call(tool, **arguments)
            if tool == "create_ticket" and dice.random() < 0.5:
                client.call(tool, **arguments)

    def greedy(self, replica: Mandate, _: random.Random) -> None:
        """Waits for nobody."""
        client = self.client(replica, "reports")
        while self.goes_on(0.01):
            client.call("search_tickets", query="printer")

    def muddled(self, replica: Mandate, dice: random.Random) -> None:
        """A model that does not understand the tools."""
        client = self.client(replica)
        while self.goes_on(dice.uniform(0.2, 0.6)):
            if dice.random() < 0.5:
                client.call("get_ticket", id="the printer")
            else:
                client.call("create_ticket", title=7)

    def stranger(self, replica: Mandate, dice: random.Random) -> None:
        """Tries tokens, secrets and passwords."""
        json = {"Content-Type": "application/json"}
        form = {"grant_type": "refresh_token", "refresh_token": "no", "client_id": "billing", "client_secret": "no"}
        guess = Mandate.__new__(Mandate)
        guess.__dict__ = replica.__dict__ | {"password": lambda _: "not the one"}
        while self.goes_on(dice.uniform(0.2, 0.5)):
            told = dice.choice(({}, {"Authorization": "Bearer not.a.token"}))
            Client.send(replica.url + "/mcp", "{}", json | told)
            if dice.random() < 0.4:
                Client.send(replica.url + "/token", urllib.parse.urlencode(form))
            if dice.random() < 0.1:
                try:
                    Elsewhere(guess, "mallory").decide(f"/authorize?{Client.query('reports')[0]}")
                except AssertionError:
                    """As it should be."""

    def newcomer(self, replica: Mandate, dice: random.Random) -> None:
        """People who connect clients, or decide not to."""
        while self.goes_on(dice.uniform(1, 3)):
            try:
                if dice.random() < 0.3:
                    with self.door:
                        Person(replica, "alice").decide(f"/authorize?{Client.query('reports')[0]}", "deny")
                else:
                    self.client(replica)
            except (AssertionError, OSError):
                assert time.monotonic() > self.began + LASTS_S * 0.5, "only the outage may end this"

    def keeper(self, replica: Mandate, dice: random.Random) -> None:
        """A client that keeps refresh tokens badly: at once again is forgiven, later it is not."""
        while self.goes_on(1):
            try:
                client = self.client(replica)
                form = {"grant_type": "refresh_token", "refresh_token": client.tokens["refresh_token"]}
                client.token(form)
                client.token(form)
                if dice.random() < 0.3:
                    time.sleep(1.5)
                    client.token(form)
            except (AssertionError, OSError, KeyError):
                assert time.monotonic() > self.began + LASTS_S * 0.5, "only the outage may end this"

    def listener(self, replica: Mandate, _: random.Random) -> None:
        """Streams that stay open."""
        streams = [self.client(replica).stream() for _ in range(3)]
        while self.goes_on(0.5):
            pass
        for stream in streams:
            stream.close()


class Dashboards(unittest.TestCase):
    def test_every_panel_is_drawn_from_a_run_in_which_everything_happens(self) -> None:
        stores = postgres(), redis()
        for store in stores:
            self.addCleanup(store.end)
        collector = Collector()
        self.addCleanup(collector.end)
        folder = tempfile.TemporaryDirectory(prefix="mandate-deploy-dashboards-")
        self.addCleanup(folder.cleanup)
        settings = {
            "MANDATE_DATABASE_URL": stores[0].url,
            "MANDATE_REDIS_URL": stores[1].url,
            "MANDATE_SECRET_KEY_FILE": f"{folder.name}/mandate.key",
            "MANDATE_MCP__READS_PER_MINUTE": "600",
            "MANDATE_MCP__READS_BURST": "20",
            "MANDATE_MCP__WRITES_PER_MINUTE": "600",
            "MANDATE_TOKENS__REFRESH_GRACE": "1s",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
            "OTEL_BLRP_SCHEDULE_DELAY": "1000",
        }
        first = Mandate(**settings)
        self.addCleanup(first.end)
        word = first.password("alice")
        second = Mandate(**settings | {"MANDATE_PUBLIC_URL": first.url})
        self.addCleanup(second.end)
        first.password = second.password = lambda _: word
        for name, how in (("reports", "none"), ("billing", "client_secret_post")):
            added = [str(BINARY), "client", "add", "--name", name.title(), "--client-id", name, "--auth-method", how]
            known = {key: value for key, value in settings.items() if key.startswith("MANDATE_")}
            subprocess.run(
                [*added, "--redirect-uri", Client.REDIRECT_URI], env=known, cwd=folder.name, check=True, capture_output=True
            )
        prometheus = Prometheus(first, second)
        self.addCleanup(prometheus.end)
        began = time.time()
        Load([first, second], stores[1], collector).run()
        ended = time.time()
        eventually("the last scrape", lambda: self.scraped(prometheus, ended))
        self.assertGreater(collector.taken, 10)
        # Before the collector went away, when it was there again, and at the end.
        away, back = began + LASTS_S * 0.2, began + LASTS_S * 0.2 + AWAY_S + 5
        before, then, last = (self.dropped(prometheus, moment) for moment in (away, back, ended))
        self.assertEqual(before, 0)
        self.assertGreater(then, 0)
        self.assertEqual(last, then, "telemetry is dropped while nothing is wrong")
        drawn = subprocess.run(
            ["node", "shoot.mjs", prometheus.url, str(int(began) + 5), str(int(ended) - 1), "5s", str(PICTURES)],
            cwd=Path(__file__).parent / "dashboards", capture_output=True, text=True, timeout=120,
        )
        print(f"\n{drawn.stdout}{drawn.stderr}")
        self.assertEqual(drawn.returncode, 0, "a panel shows nothing, or cannot be drawn")
        self.assertEqual(len(re.findall(r"^.+: .+$", drawn.stdout, re.MULTILINE)), len(panels()))
        print(f"{PICTURES}/dashboards.png")

    @staticmethod
    def dropped(prometheus: Prometheus, moment: float) -> float:
        [found] = prometheus.ask(f"sum(mandate_telemetry_dropped_total @ {moment})")
        return float(found["value"][1])

    @staticmethod
    def scraped(prometheus: Prometheus, moment: float) -> bool:
        found = prometheus.ask('timestamp(up{job="mandate"})')
        return len(found) == 2 and all(float(each["value"][1]) > moment for each in found)


if __name__ == "__main__":
    program("node")
    unittest.main()
