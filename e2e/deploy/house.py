"""What runs beside a check: PostgreSQL, Redis, the binary and Prometheus, each in a folder of its own and ended with this
process, in whatever way that ends."""

import base64
import contextlib
import glob
import hashlib
import http.client
import http.server
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BINARY = ROOT / os.environ.get("MANDATE_BIN", "target/debug/mandate")
KEEPER = ROOT / "e2e/support/services/keeper.sh"
START_LIMIT_S = 60

sys.path.append(str(ROOT / "e2e/clients/python"))
from person import Person  # noqa: E402


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(what: str, true, limit: float = START_LIMIT_S):
    """Asks until it is so; what it was at last."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        try:
            if found := true():
                return found
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise AssertionError(f"not within {limit} s: {what}")


def get(url: str) -> tuple[int, str]:
    """The status and the body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


class Kept:
    """A server under the keeper of the tests."""

    def __init__(self, name: str, end: str = "TERM", path: str = "", **environment: str) -> None:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("MANDATE_", "OTEL_"))}
        keep |= {"PATH": f"{path}:{os.environ['PATH']}", "LC_ALL": "C", **environment}
        command = ["sh", "-c", KEEPER.read_text(), "keeper", f"mandate-deploy-{name}", end]
        pipe = subprocess.PIPE
        # A group of its own, so that a signal to this process's group does not end what ends the server.
        self._keeper = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=keep, start_new_session=True
        )
        self.folder = Path(self._keeper.stdout.readline().strip())

    def say(self, line: str) -> str:
        self._keeper.stdin.write(line + "\n")
        return self._keeper.stdout.readline().strip()

    def run(self, command: str) -> None:
        assert self.say(f"run {command}") == "0", f"{command}:\n{self.log()}"

    def start(self, command: str, ready) -> None:
        self.say(f"start {command}")
        try:
            eventually(command, ready)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log()[-4000:]}") from None

    def halt(self) -> None:
        self.say("halt KILL")

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> None:
        self._keeper.stdin.close()
        self._keeper.wait(60)
        self._keeper.stdout.close()


def postgres() -> Kept:
    """PostgreSQL that flushes nothing; its `url`."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:]
    kept = Kept("postgres", "QUIT", *programs)
    user = ""
    if os.getuid() == 0:
        kept.run("chown postgres: .")
        user = "setpriv --reuid=postgres --regid=postgres --clear-groups "
    kept.run(f"{user}initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync")
    port = free_port()
    settings = "-c listen_addresses=127.0.0.1 -c fsync=off"
    kept.start(
        f"{user}postgres -D data -p {port} -k . {settings}",
        lambda: "ready to accept connections" in kept.log(),
    )
    kept.url = f"postgres://postgres@127.0.0.1:{port}/postgres"
    return kept


def redis() -> Kept:
    """Redis that keeps nothing; its `url`."""
    kept = Kept("redis", "KILL")
    port = free_port()
    kept.again = lambda: kept.start(
        f"redis-server --port {port} --bind 127.0.0.1 --appendonly no --maxmemory-policy noeviction",
        lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None,
    )
    kept.again()
    kept.url = f"redis://127.0.0.1:{port}"
    return kept


class Mandate(Kept):
    """`mandate serve --demo` on these stores."""

    def __init__(self, command: str = str(BINARY), **settings: str) -> None:
        self.port, self.metrics_port = (
            int(settings[name].rpartition(":")[2]) if name in settings else free_port()
            for name in ("MANDATE_LISTEN", "MANDATE_METRICS_LISTEN")
        )
        self.url = f"http://localhost:{self.port}"
        environment = {
            "MANDATE_LISTEN": f"127.0.0.1:{self.port}",
            "MANDATE_METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
            "MANDATE_PUBLIC_URL": self.url,
            "MANDATE_SECRET_KEY_FILE": "mandate.key",
        }
        super().__init__("server", **environment | settings)
        asked = time.monotonic()
        try:
            self.start(f"{command} serve --demo", self.ready)
        except AssertionError:
            self.end()
            raise
        self.took = time.monotonic() - asked

    def ready(self) -> bool:
        return get(f"http://127.0.0.1:{self.port}/ready")[0] == 200

    def password(self, user: str) -> str:
        return re.search(rf"^ +{user} +password (\S+)", self.log(), re.MULTILINE).group(1)

    def scrape(self) -> str:
        return get(f"http://127.0.0.1:{self.metrics_port}/metrics")[1]


class Collector:
    """Takes what is sent by OTLP over HTTP, and keeps nothing; its `url`. It can go away, and come `again`."""

    def __init__(self) -> None:
        self.taken = 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.again()

    def again(self) -> None:
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                collector.taken += 1
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                """Says nothing."""

        self._listener = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def halt(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    end = halt


class Client:
    """An MCP client that registered itself, unless it has an id; alice, or the person, allowed it everything. `base` is where
    it reaches the server."""

    REDIRECT_URI = "http://127.0.0.1:49152/callback"

    def __init__(self, server: Mandate, base: str = "", person: Person | None = None, client_id: str = "") -> None:
        self.base = base or server.url
        self.client_id = client_id or self.register(self.base)
        query, verifier = self.query(self.client_id)
        back = (person or Person(server, "alice")).decide(f"/authorize?{query}")
        form = {"grant_type": "authorization_code", "code": back["code"], "code_verifier": verifier}
        self.tokens = self.token(form | {"redirect_uri": self.REDIRECT_URI})
        assert "refresh_token" in self.tokens, self.tokens

    @classmethod
    def register(cls, base: str) -> str:
        """A new client's id."""
        metadata = {"client_name": "Deploy", "redirect_uris": [cls.REDIRECT_URI], "token_endpoint_auth_method": "none"}
        request = urllib.request.Request(f"{base}/register", json.dumps(metadata).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["client_id"]

    @classmethod
    def query(cls, client_id: str) -> tuple[str, str]:
        """An authorization request, and the verifier of its challenge."""
        verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": cls.REDIRECT_URI,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "scope": "tickets:read tickets:write offline_access",
        }
        return urllib.parse.urlencode(query), verifier

    def token(self, form: dict) -> dict:
        """What the token endpoint says."""
        return json.loads(self.post("/token", urllib.parse.urlencode(form | {"client_id": self.client_id}))[1])

    def post(self, path: str, body: str, headers: dict | None = None) -> tuple[int, str]:
        return self.send(self.base + path, body, headers)

    @staticmethod
    def send(url: str, body: str, headers: dict | None = None) -> tuple[int, str]:
        request = urllib.request.Request(url, body.encode(), headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.tokens['access_token']}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        }

    def call(self, tool: str, **arguments) -> tuple[int, str]:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return self.post("/mcp", json.dumps(message), self.headers())

    def stream(self) -> http.client.HTTPResponse:
        """Opens a session and its stream; the answer is open, its headers are there."""
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "d", "version": "1"}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
        request = urllib.request.Request(self.base + "/mcp", json.dumps(message).encode(), self.headers())
        with urllib.request.urlopen(request, timeout=20) as answer:
            session = answer.headers["Mcp-Session-Id"]
            answer.read()
        assert session, "initialize must answer with Mcp-Session-Id"
        told = self.headers() | {"Mcp-Session-Id": session}
        self.post("/mcp", json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), told)
        del told["Content-Type"]
        opened = urllib.request.urlopen(urllib.request.Request(self.base + "/mcp", headers=told), timeout=30)
        opened.session = session
        return opened


def told_of_a_change(client: Client) -> bool:
    """Whether a stream of its tells at once of a ticket that changes. What collects answers keeps it back until the time
    runs out."""
    with client.stream() as stream:
        ticket = re.search(r"T-\d+", client.call("search_tickets", query="printer")[1])[0]
        subscribe = {"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": f"ticket://{ticket}"}}
        status, body = client.post("/mcp", json.dumps(subscribe), client.headers() | {"Mcp-Session-Id": stream.session})
        assert status == 200, body
        client.call("comment_ticket", id=ticket, body="It prints again.")
        while line := stream.readline().decode():
            if "notifications/resources/updated" in line:
                return True
    return False


@contextlib.contextmanager
def trusting(secrets: Path):
    """Names below .localhost are this machine, and the authority of the house is trusted."""
    resolve = socket.getaddrinfo

    def here(host, *rest, **more):
        local = isinstance(host, str) and host.endswith(".localhost")
        return resolve("127.0.0.1" if local else host, *rest, **more)

    socket.getaddrinfo = here
    os.environ["SSL_CERT_FILE"] = str(secrets / "ca.crt")
    try:
        yield
    finally:
        socket.getaddrinfo = resolve
        del os.environ["SSL_CERT_FILE"]


def program(name: str) -> str:
    """A program of the checks' own environment, or of the system."""
    own = Path(sys.executable).with_name(name)
    found = str(own) if own.exists() else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is not installed: e2e/run tools"
    return found


def say(*command: str, **more) -> str:
    """Runs it; what it printed. A failure shows that."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
    return done.stdout + done.stderr
