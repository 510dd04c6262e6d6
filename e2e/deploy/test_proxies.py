"""The configurations of proxies that the book shows, as it shows them, each before two replicas: only addresses, names and
files are others."""

import json
import os
import re
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from house import DEPLOY, ROOT, Client, Kept, Mandate, free_port, get, postgres, program, redis, say, told_of_a_change
from house import trusting

PAGE = ROOT / "docs/src/operate/replicas.md"
SHARED = {}


def shown(name: str) -> str:
    """The configuration below a heading."""
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]
    return re.search(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1]


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} is not in\n{text}"
        text = text.replace(old, new)
    return text


def setUpModule() -> None:
    folder = tempfile.TemporaryDirectory(prefix="mandate-deploy-proxies-")
    unittest.addModuleCleanup(folder.cleanup)
    secrets = Path(folder.name) / "secrets"
    say(str(DEPLOY / "compose/secrets.sh"), str(secrets))
    (secrets / "both.pem").write_text((secrets / "tls.crt").read_text() + (secrets / "tls.key").read_text())
    unittest.enterModuleContext(trusting(secrets))
    stores = postgres(), redis()
    for store in stores:
        unittest.addModuleCleanup(store.end)
    SHARED.update(secrets=secrets, database=stores[0].url, redis=stores[1].url)


class Before:
    """What each of them has to do."""

    end_by = "TERM"

    @classmethod
    def setUpClass(cls) -> None:
        cls.port = free_port()
        cls.url = f"https://tickets.localhost:{cls.port}"
        settings = {
            "MANDATE_DATABASE_URL": SHARED["database"],
            "MANDATE_REDIS_URL": SHARED["redis"],
            "MANDATE_REDIS_PREFIX": cls.__name__.lower(),
            "MANDATE_SECRET_KEY_FILE": str(SHARED["secrets"] / "mandate.key"),
            "MANDATE_PUBLIC_URL": cls.url,
            "MANDATE_TRUSTED_PROXIES": "127.0.0.1/32",
            "MANDATE_DRAIN_DELAY": "3s",
            "MANDATE_LIMITS__REGISTRATIONS_PER_HOUR": "20",
            "MANDATE_MCP__READS_PER_MINUTE": "100000",
        }
        cls.replicas = []
        for _ in range(2):
            replica = Mandate(**settings)
            cls.addClassCleanup(lambda replica=replica: replica.end() if replica in cls.replicas else None)
            replica.url = cls.url
            # An empty database is filled once; whoever looks for the passwords finds them where they were made.
            if "alice" in SHARED:
                replica.password = lambda user: SHARED[user]
            else:
                SHARED["alice"] = replica.password("alice")
            cls.replicas.append(replica)
        proxy = Kept("proxy", cls.end_by, XDG_DATA_HOME="/nonexistent", XDG_CONFIG_HOME="/nonexistent")
        cls.addClassCleanup(proxy.end)
        addresses = {
            f"10.0.0.1{number}:8080": f"127.0.0.1:{replica.port}" for number, replica in enumerate(cls.replicas, 1)
        }
        command = cls.command(proxy.folder, lambda name, changes: replaced(shown(name), addresses | changes))
        proxy.start(command, lambda: get(f"{cls.url}/.well-known/oauth-protected-resource")[0] == 200)
        cls.client = Client(cls.replicas[0])

    def test_challenges_pass(self) -> None:
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{self.url}/mcp", b"{}")
        with refused.exception as answer:
            self.assertEqual(answer.code, 401)
            self.assertIn(f'resource_metadata="{self.url}/', answer.headers["WWW-Authenticate"])

    def test_nobody_outside_asks_the_probes(self) -> None:
        for path in ("/ready", "/live"):
            self.assertEqual(get(f"{self.url}{path}")[0], 404, path)
            for replica in self.replicas:
                self.assertEqual(get(f"http://127.0.0.1:{replica.port}{path}")[0], 200, path)

    def test_refusals_pass_however_much_was_sent(self) -> None:
        told = {"Authorization": "Bearer stale", "Content-Type": "application/json"}
        for length in (25_000, 60_000, 200_000, 900_000):
            statuses = []
            for _ in range(50):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(urllib.request.Request(f"{self.url}/mcp", b"x" * length, told))
                with refused.exception as answer:
                    statuses.append(answer.code)
            self.assertEqual(statuses, [401] * 50, f"{length} bytes")

    def test_events_pass_as_they_come(self) -> None:
        self.assertTrue(told_of_a_change(self.client), "the stream ended")

    def test_nobody_chooses_their_address(self) -> None:
        body = json.dumps({"redirect_uris": [Client.REDIRECT_URI], "token_endpoint_auth_method": "none"})
        for number in range(1, 41):
            told = {"Content-Type": "application/json", "X-Forwarded-For": f"203.0.113.{number}"}
            status, said = self.client.post("/register", body, told)
            if status == 429:
                return
            self.assertEqual(status, 201, said)
        self.fail("each made-up address had a limit of its own")

    def test_the_proxy_does_not_pass_for_a_stranger(self) -> None:
        for replica in self.replicas:
            self.assertNotIn("trusted_proxies", replica.log())

    def test_when_a_replica_stops_no_call_fails(self) -> None:
        leaving = self.replicas.pop()
        stop = threading.Thread(target=leaving.end)
        stop.start()
        calls = 0
        while stop.is_alive() or calls < 30:
            status, body = self.client.call("search_tickets", query="printer")
            self.assertEqual(status, 200, f"call {calls}: {body}")
            calls += 1
        stop.join()


class Caddy(Before, unittest.TestCase):
    @classmethod
    def command(cls, folder: Path, text) -> str:
        secrets = SHARED["secrets"]
        site = f"https://tickets.localhost:{cls.port} {{\n\ttls {secrets}/tls.crt {secrets}/tls.key\n"
        (folder / "Caddyfile").write_text(
            "{\n\tadmin off\n\tauto_https off\n}\n" + text("Caddy", {"tickets.example.com {\n": site})
        )
        return f"{program('caddy')} run --config Caddyfile"


class Nginx(Before, unittest.TestCase):
    @classmethod
    def command(cls, folder: Path, text) -> str:
        secrets = SHARED["secrets"]
        changes = {
            "listen 443 ssl": f"listen 127.0.0.1:{cls.port} ssl",
            "tickets.example.com": "tickets.localhost",
            "/etc/ssl/tickets": f"{secrets}/tls",
        }
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        # Its workers keep long bodies in that folder, which is its owner's alone.
        owner = "user root;\n" if os.getuid() == 0 else ""
        head = f"{owner}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        http = f"http {{\naccess_log off;\n{paths}{text('nginx', changes)}}}\n"
        (folder / "nginx.conf").write_text(head + http)
        return f"{program('nginx')} -p {folder} -e stderr -c {folder}/nginx.conf"


class Haproxy(Before, unittest.TestCase):
    # It would wait for connections that are open.
    end_by = "KILL"

    @classmethod
    def command(cls, folder: Path, text) -> str:
        changes = {"bind :443": f"bind 127.0.0.1:{cls.port}", "/etc/haproxy/tickets.pem": f"{SHARED['secrets']}/both.pem"}
        (folder / "haproxy.cfg").write_text(text("HAProxy", changes))
        return f"{program('haproxy')} -db -f haproxy.cfg"


class Traefik(unittest.TestCase):
    def test_it_leads_to_both_replicas_and_asks_whether_they_are_ready(self) -> None:
        http = yaml.safe_load(shown("Traefik"))["http"]
        [router] = http["routers"].values()
        balancer = http["services"][router["service"]]["loadBalancer"]
        self.assertEqual([len(balancer["servers"]), balancer["healthCheck"]["path"]], [2, "/ready"])
        for path in ("/ready", "/live"):
            self.assertIn(f"&& !Path(`{path}`)", router["rule"])


if __name__ == "__main__":
    unittest.main()
