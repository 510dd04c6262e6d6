"""The harness itself: what is wrong in a page is found."""

import tempfile
import unittest
from pathlib import Path

import pages
from scene import Failed, Scene
from unrun import faults_of_json, faults_of_prose, faults_of_shell


def page(text: str) -> pages.Page:
    with tempfile.NamedTemporaryFile("w", suffix=".md", dir=pages.ROOT / "target") as file:
        file.write(text)
        file.flush()
        return pages.read(Path(file.name))


def fence(text: str, language: str = "sh", *steers: str) -> pages.Fence:
    return page("\n".join([*(f"<!-- {steer} -->" for steer in steers), f"```{language}", text, "```"])).fences[0]


class Blocks(unittest.TestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.addCleanup(self.scene.close)

    def test_a_command_that_fails_fails_its_page_wherever_it_stands(self) -> None:
        for text in ("false\ntrue", "false | true", "echo $unset", "no-such-program"):
            with self.assertRaises(Failed, msg=text):
                self.scene.run(fence(text))

    def test_folder_and_exported_variables_are_carried_on_and_nothing_else_is(self) -> None:
        self.scene.run(fence("mkdir there && cd there\nexport carried='a b'\nleft=1"))
        self.scene.run(fence('test "$(basename "$PWD")" = there\ntest "$carried" = "a b"\ntest -z "${left:-}"'))

    def test_what_runs_in_the_background_must_get_ready_and_ends_with_the_page(self) -> None:
        with self.assertRaises(Failed):
            self.scene.run(fence("echo it ends before it is", "sh", "background"))
        with tempfile.TemporaryDirectory() as folder:
            page, seen = Scene(), Path(folder, "seen")
            text = f"trap 'rm {seen}; exit' TERM\ntouch {seen}\necho it is ready\nsleep 60 & wait"
            page.run(fence(text, "sh", "background"))
            self.assertTrue(seen.exists())
            page.close()
            self.assertFalse(seen.exists())

    def test_a_page_has_its_time_and_no_more(self) -> None:
        self.scene.until = 0
        with self.assertRaises(Failed):
            self.scene.run(fence("sleep 60"))


class Text(unittest.TestCase):
    def test_nothing_to_run_hides(self) -> None:
        for found in (
            fence("ls", "bash"),
            fence("ls", ""),
            fence("ls", "sh", "notrun: needs a cluster"),
            fence("ls", "sh", "not run: because"),
            fence("ls", "sh", "setup: oracle"),
            fence("ls", "sh", "not run: needs a cluster", "background"),
            fence("a = 1", "toml", "background"),
        ):
            self.assertTrue(found.faults(), found)
        for found in (fence("ls"), fence("ls", "sh", "setup: demo", "background"), fence("a = 1", "toml", "config")):
            self.assertEqual(found.faults(), [])

    def test_what_is_not_run_calls_mandate_as_it_is(self) -> None:
        for wrong in (
            "if",
            "mandate sevre",
            "mandate serve --dmeo",
            "cargo run --release -- sevre --demo",
            "kubectl exec pod -- mandate keys roll",
            "docker run --rm mandate serve --dmeo",
        ):
            self.assertTrue(faults_of_shell(fence(wrong)), wrong)
        for right in (
            "mandate serve --demo",
            "cargo run --release -- serve --demo",
            "kubectl --namespace mandate create secret",
            "docker run --rm mandate \\\n  serve --demo",
        ):
            self.assertEqual(faults_of_shell(fence(right)), [], right)

    def test_a_command_in_a_sentence_is_there_and_can_be_copied(self) -> None:
        for wrong in ("Call `mandate sevre`.", "Call `mandate serve --dmeo`.", "Call `mandate\nserve`."):
            self.assertTrue(faults_of_prose(page(wrong)), wrong)
        for right in ("Call `mandate serve --demo`.", "Call `mandate` or `a mandate`.", "```text\n`\n```"):
            self.assertEqual(faults_of_prose(page(right)), [], right)

    def test_what_clients_start_is_there(self) -> None:
        start = '{"mcpServers": {"tickets": {"command": "mandate", "args": [%s]}}}'
        self.assertTrue(faults_of_json(fence('{"a": }', "json")))
        self.assertTrue(faults_of_json(fence(start % '"stdio", "--usr", "alice"', "json")))
        self.assertEqual(faults_of_json(fence(start % '"stdio", "--user", "alice"', "json")), [])

    def test_headings_have_the_anchors_that_mdbook_gives_them(self) -> None:
        found = page("# What `verify` proves, and [not](x.md)\n\n## Twice\n\n## Twice\n")
        self.assertEqual(list(found.anchors), ["what-verify-proves-and-not", "twice", "twice-1"])

    def test_links_are_read_outside_of_code_alone(self) -> None:
        found = page("[a](b.md#c) `[no](no.md)` ![d](e.png)\n\n```text\n[no](no.md)\n```\n\n[ref]: f.md\n")
        self.assertEqual([target for _, target in found.links], ["b.md#c", "e.png", "f.md"])
