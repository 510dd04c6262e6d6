"""The book and the README keep what they promise: every command runs, every configuration is taken, every link leads
somewhere, every test that a page names is there.

    python3 -m unittest -v test_docs                      all of it
    python3 -m unittest -v test_docs.Pages.test_quick_start   one page"""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from pages import README, ROOT, SOURCE, SUMMARY, Page, listed, present, read
from scene import BINARY, PORT, Scene, answers, leave_the_network
from unrun import faults_of_json, faults_of_prose, faults_of_shell, help_of

BOOK = ROOT / "docs"
TESTS = ROOT / "e2e"
PAGES = {path: read(path) for path in [README, *present()]}
# What was not run, and why.
LEFT_OUT: dict[str, list[str]] = {}
# How many were.
RUN = {"commands": 0, "configurations": 0, "links to other sites, not followed": 0}


def setUpModule() -> None:
    assert BINARY.exists(), f"{BINARY} is not there: cargo build"
    if not leave_the_network():
        print("The system gives no network of one's own: the pages run on this machine's.", file=sys.stderr)
        assert not answers(PORT), f"the pages need port {PORT}, and something listens there"


def tearDownModule() -> None:
    print("\n" + ", ".join(f"{count} {what}" for what, count in RUN.items()), file=sys.stderr)
    for reason, places in sorted(LEFT_OUT.items()):
        print(f"not run, {reason} ({len(places)}): {' '.join(places)}", file=sys.stderr)


def none_of(test: unittest.TestCase, faults: list[str]) -> None:
    if faults:
        test.fail("\n" + "\n".join(faults))


class Book(unittest.TestCase):
    """What is true of all pages together."""

    def test_every_page_that_is_listed_is_there_and_every_page_that_is_there_is_listed(self) -> None:
        faults = [f"SUMMARY.md lists {path.relative_to(SOURCE)}: not there" for path in listed() if not path.exists()]
        faults += [f"{path.relative_to(SOURCE)}: not in SUMMARY.md" for path in present() if path not in listed()]
        none_of(self, faults)

    def test_every_fence_says_what_it_is(self) -> None:
        none_of(self, [fault for page in PAGES.values() for fence in page.fences for fault in fence.faults()])

    def test_every_link_leads_somewhere(self) -> None:
        faults = []
        for page in [*PAGES.values(), read(SUMMARY)]:
            for line, target in page.links:
                if fault := broken(page, target):
                    faults.append(f"{page}:{line}: {target}: {fault}")
        none_of(self, faults)

    def test_every_command_in_a_sentence_is_there_and_stands_on_one_line(self) -> None:
        none_of(self, [fault for page in PAGES.values() for fault in faults_of_prose(page)])

    def test_every_test_that_is_named_is_there(self) -> None:
        faults, named = [], 0
        for page in [*PAGES.values(), read(TESTS / "README.md")]:
            for line, text in page.code:
                if names_a_test(text):
                    named += 1
                    if not is_test(text):
                        faults.append(f"{page}:{line}: there is no test {text}")
        none_of(self, faults)
        self.assertGreater(named, 0)

    def test_the_architecture_names_every_part_of_the_house(self) -> None:
        house = (SOURCE / "build/architecture.md").read_text()
        parts = re.findall(r"^pub mod (\w+);", (ROOT / "src/lib.rs").read_text(), re.MULTILINE)
        self.assertGreater(len(parts), 10)
        none_of(self, [f"architecture.md does not name {part}" for part in parts if not re.search(rf"\b{part}\b", house)])

    def test_it_is_built_without_a_warning(self) -> None:
        program = shutil.which("mdbook")
        assert program, "mdbook is not installed: e2e/run book"
        made = subprocess.run([program, "build", BOOK], capture_output=True, text=True, timeout=120)
        said = made.stdout + made.stderr
        self.assertEqual(made.returncode, 0, said)
        self.assertNotRegex(said, r"(?i)\b(warn|warning|error)\b")
        built = ROOT / "target/book"
        for path in listed():
            self.assertTrue((built / path.relative_to(SOURCE)).with_suffix(".html").exists(), path)
        # The addresses within pages are as they are thought to be here.
        for page in PAGES.values():
            if page.path in listed():
                html = (built / page.path.relative_to(SOURCE)).with_suffix(".html").read_text()
                for anchor in page.anchors:
                    self.assertIn(f'id="{anchor}"', html, page)


def broken(page: Page, target: str) -> str | None:
    """Why a link leads nowhere."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        RUN["links to other sites, not followed"] += 1
        return None if target.startswith(("https://", "http://localhost", "mailto:")) else "https, please"
    if target.startswith("/"):
        return "relative links alone work in the book and on a disk"
    path, _, anchor = target.partition("#")
    there = (page.path.parent / path).resolve() if path else page.path
    if there.is_relative_to(SOURCE):
        # A page that is listed and not there is told once, by another test.
        if not there.exists():
            return None if there in listed() else "not there"
    elif page.path.is_relative_to(SOURCE):
        return "leads out of the book; name the file instead"
    elif not there.exists():
        return "not there"
    if anchor and there.suffix == ".md":
        known = PAGES.get(there) or read(there)
        return None if anchor in known.anchors else f"no heading is called so; there are {' '.join(known.anchors)}"
    return None


def names_a_test(text: str) -> bool:
    """Whether a text in `…` is the name of a test: `authz/token::rule`, `binary::rule`, `browser/dance.test.mjs`."""
    name = re.fullmatch(r"([\w./-]+)::([a-z0-9_]+)", text)
    # A rule has more words than a function of a library.
    return text.endswith(".test.mjs") or bool(name and ("/" in name[1] or name[2].count("_") > 2))


def is_test(name: str) -> bool:
    """Whether a test is there: `authz/token::rule` is in e2e/authz/token.rs, `src/keys/ring.rs::rule` as written,
    `browser/dance.test.mjs` is a file."""
    file, _, rule = name.partition("::")
    where = ROOT / file if file.startswith("src/") else TESTS / file
    if not rule:
        return where.exists()
    for path in (where, where.with_suffix(".rs"), where.with_suffix(".py"), where / "mod.rs", where / "main.rs"):
        if path.is_file() and re.search(rf"\b(fn|def) {rule}\b|\b{rule}!?\(", path.read_text()):
            return True
    return False


class Pages(unittest.TestCase):
    """Each page is a scenario: its blocks run from top to bottom."""

    def walk(self, page: Page) -> None:
        scene = Scene()
        try:
            for fence in page.fences:
                if fence.is_config:
                    self.check(scene, fence)
                elif fence.language == "sh" and fence.not_run:
                    none_of(self, faults_of_shell(fence))
                    LEFT_OUT.setdefault(fence.not_run, []).append(str(fence))
                elif fence.language == "json":
                    none_of(self, faults_of_json(fence))
                elif fence.language == "sh":
                    scene.run(fence)
                    RUN["commands"] += 1
        finally:
            scene.close()

    def check(self, scene: Scene, fence) -> None:
        if help_of("config", "check") is None:
            LEFT_OUT.setdefault("`mandate config check` is not there", []).append(str(fence))
            return
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(fence.text)
            file.flush()
            # What the page exported would go before the file.
            scene.do(f"(unset ${{!MANDATE_@}}; mandate config check --config {file.name})\n")
        RUN["configurations"] += 1


def _test_of(page: Page):
    return lambda self: self.walk(page)


for _path, _page in PAGES.items():
    _name = _path.relative_to(SOURCE if _path.is_relative_to(SOURCE) else ROOT).with_suffix("")
    setattr(Pages, "test_" + re.sub(r"\W", "_", str(_name)).lower(), _test_of(_page))
