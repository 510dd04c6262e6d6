"""What other tools say of the files that they know best."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from house import BINARY, DEPLOY, ROOT, free_port, program, say


class Files(unittest.TestCase):
    def test_the_dockerfile_passes_its_linter(self) -> None:
        say(program("hadolint"), "--failure-threshold", "style", str(DEPLOY / "Dockerfile"))

    def test_the_image_can_say_where_its_sources_are(self) -> None:
        text = (DEPLOY / "Dockerfile").read_text()
        self.assertIn('org.opencontainers.image.source="${SOURCE}"', text)
        self.assertIn("\nARG SOURCE=", text.split("FROM scratch")[1])

    def test_every_base_image_is_pinned(self) -> None:
        bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        outside = [base for base in bases if "/" in base]
        self.assertEqual(len(outside), 1)
        self.assertRegex(outside[0], r":\d+\.\d+\.\d+-slim-\w+$")

    def test_the_build_is_given_all_that_it_copies_and_little_else(self) -> None:
        given = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
        lines = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        self.assertEqual({path for line in lines for path in line.split()}, given)

    def test_scripts_have_no_traps(self) -> None:
        scripts = [DEPLOY / "image.sh", DEPLOY / "compose/secrets.sh", ROOT / "e2e/run"]
        say(program("shellcheck"), *map(str, scripts))

    def test_the_unit_tells_the_allocator_what_the_image_does(self) -> None:
        told = re.findall(r"MALLOC_\w+=\d+", (DEPLOY / "Dockerfile").read_text())
        self.assertEqual(told, re.findall(r"MALLOC_\w+=\d+", (DEPLOY / "systemd/mandate.service").read_text()))
        self.assertEqual(len(told), 1)

    def test_the_doctor_has_no_warning_for_an_example(self) -> None:
        examples = sorted((DEPLOY / "examples").glob("*.toml"))
        self.assertGreaterEqual(len(examples), 3)
        for example in examples:
            with self.subTest(example.name), tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "secrets").mkdir()
                for name in re.findall(r'"secrets/(\w+)"', example.read_text()):
                    (Path(folder) / "secrets" / name).write_text("a-secret-of-more-than-thirty-two-characters\n")
                # It is still https, and where nobody answers.
                said = subprocess.run(
                    [str(BINARY), "doctor", "--json", "--config", str(example)],
                    env={"MANDATE_PUBLIC_URL": f"https://127.0.0.1:{free_port()}"}, cwd=folder, capture_output=True, text=True,
                )
                found = {(each["level"], each["id"]) for each in json.loads(said.stdout)["findings"] if "id" in each}
                self.assertIn(("note", "sqlite-in-production"), found)
                self.assertEqual({each for each in found if each[0] != "note"}, {("fault", "unreachable")})

    def test_the_unit_leaves_every_key_to_the_file_and_tells_of_a_program_that_cannot_be_run(self) -> None:
        unit = (DEPLOY / "systemd/mandate.service").read_text()
        self.assertNotRegex(unit, r"(?m)^Environment=.*MANDATE_")
        self.assertRegex(unit, r"(?m)^Type=exec$")

    def test_beside_the_unit_the_file_says_where_the_database_is(self) -> None:
        unit = (DEPLOY / "systemd/mandate.service").read_text()
        book = (ROOT / "docs/src/operate/install.md").read_text()
        production = re.search(r"^```toml\n(.*?)^```", book[book.index("## In production"):], re.MULTILINE | re.DOTALL)[1]
        self.assertIn('database_url = "postgres://', production)
        self.assertIn("WorkingDirectory=%S/mandate\n", unit)
        for text, database in ((production, "PostgreSQL, database/mandate,"), ("", "SQLite, ./data/mandate.db")):
            with self.subTest(database), tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "mandate.toml").write_text(text)
                told = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit.replace("%S", folder), re.MULTILINE))
                checked = subprocess.run(
                    [str(BINARY), "config", "check", "--config", f"{folder}/mandate.toml"],
                    env=told, cwd=folder, capture_output=True, text=True,
                )
                self.assertEqual(checked.returncode, 0, checked.stderr)
                self.assertIn(database, checked.stdout)

    def test_systemd_knows_every_line_of_the_unit_and_thinks_well_of_it(self) -> None:
        unit = (DEPLOY / "systemd/mandate.service").read_text()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mandate.service"
            # It looks whether the program is there.
            path.write_text(unit.replace("/usr/local/bin/mandate", "/bin/true"))
            said = say("systemd-analyze", "verify", str(path))
            self.assertNotRegex(said, "Unknown|Failed|ignoring")
            said = say("systemd-analyze", "security", "--offline=yes", "--threshold=20", str(path))
        exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", said)[1])
        self.assertLessEqual(exposure, 2.0)


if __name__ == "__main__":
    unittest.main()
