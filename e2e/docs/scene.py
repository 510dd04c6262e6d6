"""One page's scene: an empty folder, a home, and what its blocks start. All of it ends with the page."""

import ctypes
import fcntl
import functools
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import ROOT, Fence

sys.path.append(str(ROOT / "e2e/deploy"))
from house import BINARY, Kept, eventually, postgres, redis  # noqa: E402

LIMIT_S = 60
READY_LIMIT_S = 30
ENDED = "--- the block ended"
BROWSER = Path(__file__).with_name("at_the_browser.py")
PORT = 8080


@functools.cache
def leave_the_network() -> bool:
    """Moves this process where nothing but a loopback of its own is: no port is taken, and nobody can be asked.
    Whether the system lets us."""
    library, user, network = ctypes.CDLL(None, use_errno=True), 0x10000000, 0x40000000
    uid, gid = os.getuid(), os.getgid()
    if library.unshare(network if uid == 0 else user | network) != 0:
        return False
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    set_flags, up_and_running = 0x8914, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up_and_running))
    return True


class Failed(AssertionError):
    """A block did not do what its page says."""


class Background:
    """A block that runs beside the next ones, in a group that ends with this process, in whatever way that ends."""

    # Whatever the block started is in its group, and may need a moment to stop.
    KEEPER = """
set -m
env -i bash --norc -euo pipefail "$1" >"$2" 2>&1 </dev/null &
group=$!
set +m
trap '' HUP INT TERM
cat >/dev/null
kill -TERM -- "-$group"
for _ in {1..100}; do kill -0 -- "-$group" || exit 0; sleep 0.1; done
kill -KILL -- "-$group"
"""

    def __init__(self, script: Path, log: Path) -> None:
        self._log = log
        log.touch()
        words = ["bash", "-c", self.KEEPER, "keeper", script, log]
        self._keeper = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def is_ready(self) -> bool:
        assert ENDED not in self.log(), "it ended"
        return "is ready" in self.log()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """Asks it to stop, and waits."""
        self._keeper.stdin.close()
        self._keeper.wait(30)


class Scene:
    """Where the blocks of one page are run, from top to bottom."""

    def __init__(self) -> None:
        leave_the_network()
        self.until = time.monotonic() + LIMIT_S
        self.root = Path(tempfile.mkdtemp(prefix="mandate-docs-"))
        self._background: list[Background] = []
        self._groups: list[int] = []
        self._stores: dict[str, Kept] = {}
        self._count = 0
        work, programs = self.root / "work", self.root / "bin"
        work.mkdir()
        programs.mkdir()
        (programs / "mandate").symlink_to(BINARY)
        browser = programs / "xdg-open"
        words = [sys.executable, str(BROWSER), str(self.root)]
        browser.write_text(f'#!/bin/sh\n{shlex.join(words)} "$1" >>"{self.root}/browser.log" 2>&1 </dev/null &\n')
        browser.chmod(0o755)
        self._cwd, self._state = self.root / "cwd", self.root / "state"
        self._cwd.write_text(str(work))
        settings = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": self.root,
            "TMPDIR": tempfile.gettempdir(),
            "LC_ALL": "C.UTF-8",
            "BROWSER": browser,
            **{f"XDG_{name}_HOME": self.root / name.lower() for name in ("CONFIG", "DATA", "STATE", "CACHE")},
        }
        self._state.write_text("".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in settings.items()))

    def run(self, fence: Fence) -> None:
        """Runs a block, or starts it; `Failed` with its place and what it printed."""
        try:
            for name in fence.setups:
                self.set_up(name)
            if fence.is_background:
                self.start(fence.text)
            else:
                self.do(fence.text)
        except AssertionError as failure:
            browser = self.root / "browser.log"
            seen = f"\nat the browser:\n{browser.read_text()[-2000:]}" if browser.exists() else ""
            raise Failed(f"{fence}: {failure}{seen}") from None

    def set_up(self, name: str) -> None:
        if name == "demo":
            assert not answers(PORT), f"something listens on port {PORT} already"
            self.start("mandate serve --demo\n")
        elif name not in self._stores:
            self._stores[name] = {"postgres": postgres, "redis": redis}[name]()
            variable = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}[name]
            with self._state.open("a") as state:
                state.write(f"export {variable}={shlex.quote(self._stores[name].url)}\n")

    def _script(self, text: str, ends: str) -> Path:
        """The block as a file of its own, between what the block before left and what the next one finds."""
        self._count += 1
        path = self.root / f"block-{self._count}.sh"
        path.write_text(f'. {self._state}\ncd "$(cat {self._cwd})"\n{ends}\n{text}')
        return path

    def start(self, text: str) -> None:
        started = Background(self._script(text, f"trap 'echo \"{ENDED}\"' EXIT"), self.root / f"greeting-{self._count}")
        self._background.append(started)
        try:
            eventually("it is ready", started.is_ready, min(READY_LIMIT_S, max(0.0, self.until - time.monotonic())))
        except AssertionError as late:
            raise AssertionError(f"{late}\n{text}--- printed:\n{started.log()[-6000:]}") from None

    def do(self, text: str) -> None:
        script = self._script(text, f"trap 'export -p >{self._state}; pwd >{self._cwd}' EXIT")
        log = self.root / "log"
        log.unlink(missing_ok=True)
        # Appended to, because a block may open it again as /dev/stderr.
        with log.open("a") as printed:
            block = subprocess.Popen(
                ["env", "-i", "bash", "--norc", "-euo", "pipefail", script],
                stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._groups.append(block.pid)
        try:
            status = block.wait(max(0.0, self.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _end(block.pid, signal.SIGKILL)
            block.wait()
            status = f"not done within the {LIMIT_S} s of its page"
        said = log.read_text(errors="replace")[-6000:]
        assert status == 0, f"{status}\n{text}--- printed:\n{said}"

    def close(self) -> None:
        """Ends what was started, the last first."""
        for started in reversed(self._background):
            started.end()
        for group in reversed(self._groups):
            _end(group, signal.SIGKILL)
        for store in self._stores.values():
            store.end()
        shutil.rmtree(self.root)


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(group: int, with_signal: int) -> None:
    try:
        os.killpg(group, with_signal)
    except ProcessLookupError:
        pass
