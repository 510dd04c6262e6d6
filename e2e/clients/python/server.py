"""The real binary on a free port with the demo users, and the commands of an operator beside it."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = ROOT / os.environ.get("MANDATE_BIN", "target/debug/mandate")
START_LIMIT_S = 30
STOP_LIMIT_S = 20

# A metadata document that the server knows without fetching it.
DOCUMENT_URL = "https://notebook.example/client.json"
# One document serves every install, so it cannot know the port (RFC 8252 section 7.3).
DOCUMENT = {
    "client_id": DOCUMENT_URL,
    "client_name": "Python Notebook",
    "redirect_uris": ["http://127.0.0.1/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


class Server:
    """One running `mandate serve --demo`, with these settings and with these files in its folder."""

    def __init__(self, settings: str = "", files: dict[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mandate-python-")
        self.folder = folder = Path(self._folder.name)
        for name, text in {"mandate.toml": settings, **(files or {})}.items():
            (folder / name).write_text(text)
        documents = folder / "documents"
        documents.mkdir()
        (documents / "notebook.json").write_text(json.dumps(DOCUMENT))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self.mcp_url = f"{self.url}/mcp"
        self.environment = {
            "PATH": os.environ["PATH"],
            "MANDATE_LISTEN": f"127.0.0.1:{port}",
            "MANDATE_PUBLIC_URL": self.url,
            "MANDATE_DATABASE_URL": f"sqlite://{folder / 'mandate.db'}",
            "MANDATE_CLIENTS__PRELOADED_DOCUMENTS": str(documents),
        }
        self._log = open(folder / "log.txt", "w+")
        self._process = subprocess.Popen(
            [BINARY, "serve", "--demo", "--config", "mandate.toml"],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.said = ""
        # What it says last in every case: the demo users.
        while not re.search(r"^ +bob +password \S+.*\n", self.said, re.MULTILINE):
            line = self._process.stdout.readline()
            assert line, f"the server ended at its start:\n{self.said}{self.log()}"
            self.said += line
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            try:
                with urllib.request.urlopen(f"{self.url}/ready") as answer:
                    if answer.status == 200:
                        return
            except urllib.error.URLError:
                time.sleep(0.05)
        raise AssertionError(f"GET /ready was not 200 within {START_LIMIT_S} s:\n{self.log()}")

    def log(self) -> str:
        """What the server logged so far."""
        return Path(self._log.name).read_text()

    def password(self, user: str) -> str:
        """The password of a demo user, as the start printed it."""
        return re.search(rf"^ +{user} +password (\S+)", self.said, re.MULTILINE).group(1)

    def command(self, *words: str) -> str:
        """Runs another command of the binary on the same store."""
        done = subprocess.run(
            [BINARY, *words], cwd=self._folder.name, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"mandate {' '.join(words)}: {done.stderr}"
        return done.stdout

    def audited(self, event: str) -> list[dict]:
        """The events of this kind, oldest first."""
        events = [json.loads(line) for line in self.command("audit", "export").splitlines()]
        return [found for found in events if found["event"] == event]

    def stop(self) -> None:
        """Asks it to stop; a server that was asked exits with 0."""
        self._process.terminate()
        try:
            code = self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        said = self.log()[-4000:]
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()
        assert code == 0, f"SIGTERM must drain and exit 0, not {code}:\n{said}"
