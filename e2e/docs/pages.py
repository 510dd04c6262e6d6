"""The pages of docs/ and the README as text: their fences with what steers them, their headings, their links."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs/src"
SUMMARY = SOURCE / "SUMMARY.md"
README = ROOT / "README.md"

# Why a command is not run. Nothing else counts.
REASONS = (
    "needs a cluster",
    "needs a container engine",
    "needs a program that cannot be had here",
    "needs the internet",
    "runs until stopped",
    "runs this check, too",
)
SETUPS = ("demo", "postgres", "redis")
# Spellings of a shell that a reader would run and the harness would not.
OTHER_SHELLS = ("bash", "shell", "console", "shell-session", "zsh", "terminal", "powershell", "cmd", "bat")

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([^`]*)$")
_COMMENT = re.compile(r"^\s*<!--\s*(.*?)\s*-->\s*$")
_CODE = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$")


@dataclass
class Fence:
    """One block of a page. `steers` are the comments directly before it."""

    page: "Page"
    line: int
    language: str
    steers: list[str]
    text: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_background(self) -> bool:
        return "background" in self.steers

    @property
    def is_config(self) -> bool:
        return self.language == "toml" and "config" in self.steers

    @property
    def setups(self) -> list[str]:
        return [steer.removeprefix("setup:").strip() for steer in self.steers if steer.startswith("setup:")]

    @property
    def not_run(self) -> str | None:
        """Why it is not run; nothing when it is."""
        for steer in self.steers:
            if steer.startswith("not run:"):
                return steer.removeprefix("not run:").strip()
        return None

    def faults(self) -> list[str]:
        """What keeps the harness from knowing what to do with it."""
        if not self.language:
            return [f"{self}: the fence has no language; ```text for what is none"]
        if self.language in OTHER_SHELLS:
            return [f"{self}: ```{self.language} is not run; commands are in ```sh"]
        found = []
        for steer in self.steers:
            known = self.language == "sh" and (
                steer == "background"
                or (steer.startswith("setup:") and all(name in SETUPS for name in self.setups))
                or (steer.startswith("not run:") and self.not_run in REASONS)
            )
            if not known and not (self.is_config and steer == "config"):
                found.append(f"{self}: <!-- {steer} --> means nothing before ```{self.language}")
        if self.not_run and len(self.steers) > 1:
            found.append(f"{self}: what is not run has neither setup nor background")
        return found


@dataclass
class Page:
    """A file of Markdown."""

    path: Path
    fences: list[Fence] = field(default_factory=list)
    # Where each anchor is.
    anchors: dict[str, int] = field(default_factory=dict)
    # Line and target.
    links: list[tuple[int, str]] = field(default_factory=list)
    # Line and text of what is written in `…`.
    code: list[tuple[int, str]] = field(default_factory=list)
    # Lines at whose end a `…` is still open, or was at their start.
    torn: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


def read(path: Path) -> Page:
    """The page at `path`."""
    page, steers, fence, end, body = Page(path), [], None, "", []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if fence:
            if line.strip().startswith(end) and not line.strip().strip(end[0]):
                fence.text = "\n".join(_outdent(body, indent)) + "\n"
                fence, body = None, []
            else:
                body.append(line)
        elif opening := _FENCE.match(line):
            indent, end, language = opening.groups()
            fence = Fence(page, number, language.split(",")[0].split(" ")[0].strip(), steers)
            page.fences.append(fence)
            steers = []
        elif comment := _COMMENT.match(line):
            steers = [*steers, comment[1]]
        else:
            steers = []
            _look(page, number, line)
    assert fence is None, f"{page}: the fence of line {fence.line} has no end"
    return page


def _outdent(lines: list[str], indent: str) -> list[str]:
    return [line.removeprefix(indent) for line in lines]


def _look(page: Page, number: int, line: str) -> None:
    if heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
        name = anchor(heading[1])
        nth = sum(known == name or re.fullmatch(rf"{re.escape(name)}-\d+", known) is not None for known in page.anchors)
        page.anchors[f"{name}-{nth}" if nth else name] = number
    page.code += [(number, found[2]) for found in _CODE.finditer(line)]
    page.anchors |= {found: number for found in re.findall(r"<a id=\"([^\"]+)\"", line)}
    if "`" in _CODE.sub("", line):
        page.torn.append(number)
    without = _CODE.sub(lambda found: "`" * len(found[0]), line)
    page.links += [(number, found[1]) for found in _LINK.finditer(without)]
    if reference := _REFERENCE.match(without):
        page.links.append((number, reference[1]))


def anchor(heading: str) -> str:
    """What mdBook and GitHub call a heading in addresses."""
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    kept = "".join("-" if character.isspace() else character for character in heading.strip().lower())
    return re.sub(r"[^\w-]", "", kept)


def listed() -> list[Path]:
    """The pages that SUMMARY.md names, in its order."""
    return [SOURCE / target for _, target in read(SUMMARY).links]


def present() -> list[Path]:
    """Every page there is, the summary aside."""
    return sorted(path for path in SOURCE.rglob("*.md") if path != SUMMARY)
