"""What can be told of a block without running it."""

import json
import os
import re
import shlex
import subprocess

from pages import Fence, Page
from scene import BINARY

_OPERATOR = re.compile(r"[|&;()<>{}]+")
_HELP: dict[tuple[str, ...], str | None] = {}


def help_of(*words: str) -> str | None:
    """What `mandate WORDS --help` prints; nothing where there is no such command."""
    if words not in _HELP:
        asked = subprocess.run([BINARY, *words, "--help"], capture_output=True, text=True, timeout=20)
        _HELP[words] = asked.stdout if asked.returncode == 0 else None
    return _HELP[words]


def faults_of_shell(fence: Fence) -> list[str]:
    """Whether it is bash, and calls `mandate` as it is."""
    parsed = subprocess.run(["bash", "-n"], input=fence.text, capture_output=True, text=True, timeout=20)
    if parsed.returncode != 0:
        return [f"{fence}: {parsed.stderr.strip()}"]
    found = []
    for line in fence.text.replace("\\\n", " ").splitlines():
        words = _words(line)
        for at, word in enumerate(words):
            if os.path.basename(word) == "mandate":
                found += _call(fence, words[at + 1 :], words[at - 1] if at else "|")
            elif word == "--" and words[:at][:2] == ["cargo", "run"]:
                found += _call(fence, words[at + 1 :], "|")
    return found


def faults_of_json(fence: Fence) -> list[str]:
    """Whether it is JSON, and starts `mandate` as it is."""
    try:
        content = json.loads(fence.text)
    except ValueError as error:
        return [f"{fence}: {error}; ```text for what is no JSON"]
    return [fault for call in _calls(content) for fault in _call(fence, call, "|")]


def faults_of_prose(page: Page) -> list[str]:
    """Whether what is written in `…` stands on one line, so that it can be copied, and calls `mandate` as it is."""
    found = [f"{page}:{line}: a `…` goes over two lines" for line in page.torn]
    for line, text in page.code:
        words = _words(text)
        if words[:1] == ["mandate"]:
            found += _call(f"{page}:{line}", words[1:], "|")
    return found


def _calls(content) -> list[list[str]]:
    """The arguments of each `mandate` that a client is told to start."""
    if isinstance(content, list):
        return [call for each in content for call in _calls(each)]
    if not isinstance(content, dict):
        return []
    command, own = content.get("command"), []
    if isinstance(command, str) and os.path.basename(command) == "mandate":
        own = [content.get("args", [])]
    return own + [call for each in content.values() for call in _calls(each)]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>{}")
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        # A quotation that goes over several lines.
        return line.split()


def _call(fence: Fence | str, words: list[str], before: str) -> list[str]:
    names, options = [], []
    for word in words:
        if _OPERATOR.fullmatch(word):
            break
        if word.startswith("--") and len(word) > 2:
            options.append(word.split("=")[0])
        elif not options and len(names) < 2 and "Commands:" in (help_of(*names) or ""):
            names.append(word)
    is_command = before in ("--", "sudo", "exec", "env") or _OPERATOR.fullmatch(before) or "=" in before
    if not names or (not is_command and help_of(names[0]) is None):
        # A name that happens to be ours, such as a namespace or an image.
        return []
    text = help_of(*names)
    if text is None:
        return [f"{fence}: there is no command `mandate {' '.join(names)}`"]
    return [f"{fence}: `mandate {' '.join(names)}` has no option {option}" for option in options if option not in text]
