"""The steps of deploy/Dockerfile with plain tools: its lines are carried out in a new folder, and what they make runs as an
unprivileged user in a root of its own that cannot be written. Needs root, for mounts."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from house import DEPLOY, ROOT, Client, Mandate, eventually, postgres, redis, say

MOST_BYTES = 40_000_000
USER = 65532
# From <linux/prctl.h>, which Python does not have.
PRCTL = {"drop_from_bounding_set": 24, "no_new_privileges": 38}
# What deployments allow a replica, and how long it is pressed for.
LIMIT_BYTES = 256 * 1024 * 1024
PRESSED_S = 20
# As an engine starts it: its own mounts, the root without writing, one volume, a user, no privileges and none to gain.
ENTER = """set -eu
{group}
mount --bind {root} {root}
mount -o remount,bind,ro {root}
mount --bind {volume} {root}/var/lib/mandate
mount --bind /dev {root}/dev
mount --bind /proc {root}/proc
echo $$ >{volume}/pid
exec python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chroot(sys.argv[1])
os.chdir("/var/lib/mandate")
os.setgroups([])
os.setgid({user})
for capability in range(64):
    libc.prctl({drop_from_bounding_set}, capability, 0, 0, 0)
os.setuid({user})
assert libc.prctl({no_new_privileges}, 1, 0, 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
' {root} /usr/bin/mandate "$@"
"""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, one word and the rest of its line at a time."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


class Stages:
    """Carries out COPY and RUN, each stage in a folder of its own below one that is new."""

    def __init__(self, folder: Path) -> None:
        built = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        # What is said of the image itself.
        self.rest: dict[str, str] = {}
        steps = {"FROM": self.begin, "COPY": self.copy, "RUN": self.run}
        for word, line in instructions():
            if word in steps:
                if not built:
                    steps[word](line)
            else:
                self.rest[word] = line

    def begin(self, line: str) -> None:
        base, _, name = line.partition(" AS ")
        self.stage = self.folder / (name or "final")
        parent = self.folder / base
        if parent.is_dir():
            shutil.copytree(parent, self.stage, symlinks=True)
        self.stage.mkdir(exist_ok=True)

    def copy(self, line: str) -> None:
        *sources, target = line.split()
        if not sources[0].startswith("--from="):
            for source in sources:
                into = self.stage / target / (Path(source).name if target.endswith("/") else "")
                take = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
                into.parent.mkdir(parents=True, exist_ok=True)
                take(ROOT / source, into)
            return
        source = self.folder / sources[0].removeprefix("--from=") / sources[1].lstrip("/")
        into = self.stage / target.lstrip("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        # Owners and modes are part of what is copied.
        say("cp", "--archive", f"{source}/." if source.is_dir() else str(source), str(into))

    def run(self, line: str, fresh: Path | None = None) -> None:
        """With a `fresh` folder nothing that was compiled before is seen: it lies over the target folder, for paths are part
        of what is compiled."""
        # Absolute paths are those of the stage; of its base image nothing but the toolchain is used.
        line = re.sub(r"(?<= )/(?=image|sbom)", f"{self.stage}/", line)
        target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
        command = ["sh", "-euc", line]
        if fresh:
            over = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
            command = ["unshare", "--mount", "sh", "-euc", over, "fresh", str(fresh), target, *command]
        subprocess.run(command, cwd=self.stage, env=os.environ | {"CARGO_TARGET_DIR": target}, check=True)


class Limit:
    """A control group with so much memory and no swap, of the first or the second kind."""

    KINDS = {
        "/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        "/sys/fs/cgroup": ("memory.max", "memory.peak"),
    }

    def __init__(self) -> None:
        for above, names in self.KINDS.items():
            self.folder = Path(above) / f"mandate-deploy-{os.getpid()}"
            try:
                self.folder.mkdir()
                self.limit, self.peak = (self.folder / name for name in names)
                self.limit.write_text(str(LIMIT_BYTES))
                return
            except OSError:
                if self.folder.exists():
                    self.folder.rmdir()
        raise unittest.SkipTest("no control group can be made here")

    def end(self) -> None:
        eventually("nobody in the control group", lambda: not (self.folder / "cgroup.procs").read_text())
        self.folder.rmdir()


class NameServer:
    """Knows these names, and says of all others that there are none."""

    # Of loopback, where nobody else is.
    ADDRESS = "127.0.0.253"

    def __init__(self, names: dict[str, str]) -> None:
        self.names, self.asked = names, set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.ADDRESS, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with self.socket:
            while True:
                query, peer = self.socket.recvfrom(512)
                if not query:
                    return
                self.socket.sendto(self.answer(query), peer)

    def answer(self, query: bytes) -> bytes:
        at, labels = 12, []
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name, question = ".".join(labels).lower(), query[12 : at + 5]
        self.asked.add(name)
        record = b""
        if name in self.names and question[-4:-2] == b"\x00\x01":
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(self.names[name])
        flags = b"\x81\x80" if name in self.names else b"\x81\x83"
        counts = b"\x00\x01" + (b"\x00\x01" if record else b"\x00\x00") + bytes(4)
        return query[:2] + flags + counts + question + record

    def end(self) -> None:
        # An empty message ends the thread.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as farewell:
            farewell.sendto(b"", (self.ADDRESS, 53))


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if os.getuid() != 0:
            raise unittest.SkipTest("mounts need root")
        folder = tempfile.TemporaryDirectory(prefix="mandate-deploy-image-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.folder.chmod(0o755)
        # Whoever works on these tests names a folder that outlives them, and waits for the build once.
        cls.image = Stages(Path(os.environ.get("MANDATE_IMAGE", cls.folder / "stages")))
        cls.root = cls.image.folder / "final"

    def enter(self, root: Path | None = None, limit: Limit | None = None) -> str:
        """A command that starts the image's program in a volume of its own."""
        volume = Path(tempfile.mkdtemp(dir=self.folder))
        os.chown(volume, USER, USER)
        root = root or self.changed("etc/hosts", "127.0.0.1 localhost\n")
        script = volume.with_suffix(".sh")
        group = f"echo $$ >{limit.folder}/cgroup.procs" if limit else ""
        script.write_text(ENTER.format(root=root, volume=volume, user=USER, group=group, **PRCTL))
        self.volume = volume
        return f"unshare --mount sh {script}"

    def changed(self, path: str, text: str) -> Path:
        """Another root, with what an engine puts into one, or an operator."""
        root = Path(tempfile.mkdtemp(dir=self.folder)) / "root"
        say("cp", "--archive", str(self.root), str(root))
        for name in ("dev", "proc"):
            (root / name).mkdir()
        with open(root / path, "a") as file:
            file.write(text)
        return root

    def serve(self, command: str, **settings: str) -> Mandate:
        named = dict(pair.split("=", 1) for pair in self.image.rest["ENV"].split())
        image = {name: value for name, value in named.items() if not name.startswith("MANDATE_")}
        server = Mandate(command, **image | settings)
        self.addCleanup(server.end)
        return server

    def test_it_is_small_and_holds_nothing_that_nobody_named(self) -> None:
        files = {str(path.relative_to(self.root)): path for path in self.root.rglob("*") if path.is_file()}
        wanted = {"usr/bin/mandate", "etc/ssl/certs/ca-certificates.crt", "etc/passwd", "etc/group", "etc/nsswitch.conf"}
        self.assertEqual(set(files), wanted | {"usr/share/doc/mandate/sbom.cdx.json"})
        size = sum(path.stat().st_size for path in files.values())
        binary = files["usr/bin/mandate"].stat().st_size
        print(f"\nimage: {size / 1e6:.1f} MB, of which the binary {binary / 1e6:.1f} MB")
        self.assertLess(size, MOST_BYTES)
        for path in self.root.rglob("*"):
            told = path.stat()
            volume = path == self.root / "var/lib/mandate"
            self.assertEqual(told.st_uid, USER if volume else 0, path)
            self.assertFalse(told.st_mode & (0o7000 if volume else 0o7022), path)

    def test_the_binary_needs_no_library(self) -> None:
        self.assertIn("statically linked", say("ldd", str(self.root / "usr/bin/mandate")))

    def test_the_sbom_names_what_went_into_it_and_no_time(self) -> None:
        bill = json.loads((self.root / "usr/share/doc/mandate/sbom.cdx.json").read_text())
        names = {component["name"] for component in bill["components"]}
        self.assertLessEqual({"aws-lc-rs", "axum", "rmcp", "sqlx", "tokio"}, names)
        self.assertNotIn("proptest", names, "what only tests need is not in the binary")
        self.assertNotIn("serialNumber", bill)
        self.assertNotIn(str(self.image.folder), json.dumps(bill))

    def test_the_same_sources_make_the_same_binary_where_nothing_was_compiled_before(self) -> None:
        self.image.stage = self.image.folder / "build"
        empty = self.folder / "target"
        empty.mkdir()
        self.image.run("deploy/image.sh binary && deploy/image.sh root /image-again", fresh=empty)
        self.assertTrue(any(empty.glob("*/dist/mandate")), "it was compiled elsewhere")
        made = (self.root, self.image.stage / "image-again")
        digests = {hashlib.sha256((root / "usr/bin/mandate").read_bytes()).hexdigest() for root in made}
        self.assertEqual(len(digests), 1)

    def test_it_says_who_it_runs_as_and_how_it_is_asked(self) -> None:
        rest = self.image.rest
        self.assertEqual(rest["USER"], f"{USER}:{USER}")
        self.assertEqual(json.loads(rest["ENTRYPOINT"]), ["/usr/bin/mandate"])
        self.assertEqual(json.loads(rest["VOLUME"]), [rest["WORKDIR"]])
        self.assertIn('CMD ["/usr/bin/mandate", "healthcheck"]', rest["HEALTHCHECK"])

    def test_it_serves_as_nobody_in_a_root_that_cannot_be_written(self) -> None:
        server = self.serve(self.enter())
        print(f"\nready after {server.took:.2f} s, an empty SQLite database and the demo included")
        pid = (self.volume / "pid").read_text().strip()
        status = Path(f"/proc/{pid}/status").read_text()
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.assertEqual(set(told["Uid"].split()), {str(USER)})
        self.assertEqual((told["NoNewPrivs"], int(told["CapEff"], 16), int(told["CapBnd"], 16)), ("1", 0, 0))
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        options = {mount[4]: mount[5].split(",") for mount in mounts}
        self.assertIn("ro", options["/"])
        self.assertIn("rw", options["/var/lib/mandate"])
        client = Client(server)
        status, body = client.call("create_ticket", title="Printer", body="It prints nothing.")
        self.assertEqual(status, 200, body)
        memory = {name: int(told[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")}
        self.assertLess(memory["VmHWM"], 256, memory)

    def test_256_mib_are_enough_under_load(self) -> None:
        stores = postgres(), redis()
        for store in stores:
            self.addCleanup(store.end)
        limit = Limit()
        self.addCleanup(limit.end)
        server = self.serve(
            self.enter(limit=limit),
            MANDATE_DATABASE_URL=stores[0].url,
            MANDATE_REDIS_URL=stores[1].url,
            MANDATE_MCP__READS_PER_MINUTE="1000000",
            MANDATE_MCP__WRITES_PER_MINUTE="1000000",
            MANDATE_LIMITS__AUTHORIZATIONS_PER_MINUTE="100000",
            MANDATE_LIMITS__TOKEN_REQUESTS_PER_MINUTE="100000",
            MANDATE_LIMITS__REGISTRATIONS_PER_HOUR="100000",
        )
        pid = (self.volume / "pid").read_text().strip()
        at_rest = self.resident(pid)
        calls = self.press(server)
        self.assertTrue(server.ready())
        self.assertEqual((self.volume / "pid").read_text().strip(), pid)
        peak = int(limit.peak.read_text())
        print(
            f"\non PostgreSQL and Redis: ready after {server.took:.2f} s, {at_rest / 2**20:.0f} MiB at rest; {calls} calls in "
            f"{PRESSED_S} s, {self.resident(pid) / 2**20:.0f} MiB after them, {peak / 2**20:.0f} MiB at most"
        )
        self.assertLess(peak, LIMIT_BYTES)

    @staticmethod
    def resident(pid: str) -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024

    def press(self, server: Mandate) -> int:
        """Calls of many clients with long texts, streams that stay open, connections that say nothing, and people who sign
        in; how many calls were answered."""
        clients = [Client(server) for _ in range(8)]
        streams = [client.stream() for client in clients for _ in range(16)]
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
        until, calls = time.monotonic() + PRESSED_S, []
        long = "It prints nothing. " * 1000

        def call(number: int) -> None:
            client = clients[number % len(clients)]
            tool = {"query": "printer nothing"} if number % 4 else {"title": "Printer", "body": long}
            while time.monotonic() < until:
                try:
                    calls.append(client.call("search_tickets" if number % 4 else "create_ticket", **tool)[0])
                except OSError as gone:
                    calls.append(gone)
                    return

        def come() -> None:
            while time.monotonic() < until:
                # More than can be hashed for at once are told to come back.
                with contextlib.suppress(AssertionError, OSError):
                    Client(server)

        callers = [threading.Thread(target=call, args=(number,)) for number in range(48)]
        callers += [threading.Thread(target=come) for _ in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        for each in streams + silent:
            each.close()
        self.assertEqual(set(calls), {200})
        return len(calls)

    def test_it_finds_its_stores_by_name_in_its_file_and_at_its_name_server(self) -> None:
        names = NameServer({"redis.house.test": "127.0.0.1"})
        self.addCleanup(names.end)
        root = self.changed("etc/hosts", "127.0.0.1 localhost database.house.test\n")
        (root / "etc/resolv.conf").write_text(f"nameserver {NameServer.ADDRESS}\n")
        stores = postgres(), redis()
        for store in stores:
            self.addCleanup(store.end)
        server = self.serve(
            self.enter(root),
            MANDATE_DATABASE_URL=stores[0].url.replace("127.0.0.1", "database.house.test"),
            MANDATE_REDIS_URL=stores[1].url.replace("127.0.0.1", "redis.house.test"),
        )
        self.assertEqual(Client(server).call("search_tickets", query="printer")[0], 200)
        self.assertIn("redis.house.test", names.asked)

    def test_it_trusts_the_certificates_of_the_image_and_no_others(self) -> None:
        say(str(DEPLOY / "compose/secrets.sh"), str(self.folder / "secrets"))
        authority = (self.folder / "secrets/ca.crt").read_text()
        for trusted in (True, False):
            port, asked = self.collector()
            root = self.changed("etc/hosts", "127.0.0.1 localhost tickets.localhost\n")
            if trusted:
                with open(root / "etc/ssl/certs/ca-certificates.crt", "a") as bundle:
                    bundle.write(authority)
            server = self.serve(
                self.enter(root),
                OTEL_EXPORTER_OTLP_ENDPOINT=f"https://tickets.localhost:{port}",
                OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                OTEL_BSP_SCHEDULE_DELAY="100",
            )
            if trusted:
                eventually("spans at the collector", asked.is_set, 30)
            else:
                lost = r'mandate_telemetry_dropped_total\{signal="(traces|logs)",reason="not_delivered"\} [1-9]'
                eventually("spans that were not delivered", lambda: re.search(lost, server.scrape()), 60)
                self.assertFalse(asked.is_set())

    def collector(self) -> tuple[int, threading.Event]:
        """Something behind the certificate of the house; its port, and whether anybody asked it."""
        asked = threading.Event()

        class Collector(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.set()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            def handle_error(self, *_) -> None:
                """Whoever does not trust it hangs up."""

        listener = Listener(("127.0.0.1", 0), Collector)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / "secrets/tls.crt", self.folder / "secrets/tls.key")
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        self.addCleanup(listener.server_close)
        self.addCleanup(listener.shutdown)
        return listener.server_port, asked

    def test_its_healthcheck_says_whether_it_is_ready(self) -> None:
        line = self.image.rest["HEALTHCHECK"]
        program, *rest = json.loads(line[line.index("CMD ") + 4 :])
        self.assertEqual(program, "/usr/bin/mandate")
        asked = shlex.split(f"{self.enter()} {shlex.join(rest)}")
        server = self.serve(self.enter())
        here = {name: value for name, value in os.environ.items() if not name.startswith("MANDATE_")}
        here |= {"MANDATE_LISTEN": f"127.0.0.1:{server.port}"}
        self.assertEqual(subprocess.run(asked, env=here).returncode, 0)
        server.halt()
        refused = subprocess.run(asked, env=here, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("is not ready", refused.stderr)


if __name__ == "__main__":
    unittest.main()
