"""The programs of "Your own program" with the official SDKs: what the page leaves to the reader is here, all else is run as
it stands there."""

import os
import re
import unittest
from pathlib import Path

from pages import ROOT, SOURCE, Fence, read
from scene import Scene

PAGE = SOURCE / "clients/your-own.md"
PYTHON = os.environ.get("MANDATE_PYTHON")
NODE_MODULES = ROOT / "e2e/browser/node_modules"
SERVER = "http://localhost:8080"

READERS_PYTHON = '''
import http.server, urllib.parse
from mcp.client.auth import AuthorizationCodeResult

class TokensOnDisk:
    tokens = information = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return self.information
    async def set_client_info(self, information): self.information = information

async def wait():
    came = []
    class Once(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            came.append(dict(urllib.parse.parse_qsl(self.path.partition("?")[2])))
            self.send_response(200)
            self.end_headers()
        def log_message(self, *args): pass
    http.server.HTTPServer(("127.0.0.1", 53682), Once).handle_request()
    return AuthorizationCodeResult(code=came[0]["code"], state=came[0]["state"], iss=came[0]["iss"])
'''

READERS_JS = '''
import http from 'node:http';
import { execFileSync } from 'node:child_process';
const redirect = 'http://127.0.0.1:53682/callback';
const held = {};
const authProvider = {
  redirectUrl: redirect,
  clientMetadata: { client_name: 'Field notes', redirect_uris: [redirect], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] },
  state: () => 'f1e2d3c4b5a69788',
  clientInformation: () => held.information, saveClientInformation: (it) => { held.information = it; },
  tokens: () => held.tokens, saveTokens: (it) => { held.tokens = it; },
  codeVerifier: () => held.verifier, saveCodeVerifier: (it) => { held.verifier = it; },
  discoveryState: () => held.discovery, saveDiscoveryState: (it) => { held.discovery = it; },
  redirectToAuthorization: (url) => { execFileSync('xdg-open', [url.href]); },
};
const waitForCallback = () => new Promise((resolve) => {
  const server = http.createServer((asked, answer) => {
    answer.end('Done.');
    server.close();
    resolve(new URL(asked.url, redirect).searchParams);
  }).listen(53682, '127.0.0.1');
});
'''


def program(language: str) -> str:
    """The page's one program in this language, for the server of the scene."""
    (only,) = [fence for fence in read(PAGE).fences if fence.language == language]
    return re.sub(r"https://tickets\.example\.com", SERVER, only.text)


class Programs(unittest.TestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.addCleanup(self.scene.close)

    def run_there(self, name: str, text: str, command: str) -> None:
        Path(self.scene.root, name).write_text(text)
        self.scene.set_up("demo")
        block = Fence(read(PAGE), 0, "sh", [], f"{command} | tee said\ngrep -q T-187 said\n")
        self.scene.run(block)

    @unittest.skipUnless(PYTHON, "MANDATE_PYTHON names no Python with the SDK: e2e/run book")
    def test_the_one_in_python_calls_a_tool(self) -> None:
        name = self.scene.root / "program.py"
        self.run_there(name.name, READERS_PYTHON + program("python"), f"{PYTHON} {name}")

    @unittest.skipUnless(NODE_MODULES.exists(), "the SDK is not installed: e2e/run book")
    def test_the_one_in_typescript_calls_a_tool(self) -> None:
        name = self.scene.root / "program.mjs"
        (self.scene.root / "node_modules").symlink_to(NODE_MODULES)
        text = re.sub(r"^(import .*?\n)", lambda found: found[1] + READERS_JS, program("js"), count=1)
        self.run_there(name.name, text + "process.exit(0);\n", f"node {name}")
