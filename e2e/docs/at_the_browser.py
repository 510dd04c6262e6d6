"""Alice at her browser, for blocks that open one: signs in, allows what is asked, and goes where she is sent.

    at_the_browser.py FOLDER URL

She takes longer than the programs wait for other programs. FOLDER is the scene's. The passwords are read where the server printed them."""

import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "e2e/clients/python"))
from person import Person  # noqa: E402


class Server:
    """The one of the page."""

    def __init__(self, base: str, told: str) -> None:
        self.url = base
        self._told = told

    def password(self, user: str) -> str:
        return re.search(rf"^ +{user} +password (\S+)", self._told, re.MULTILINE).group(1)


PERSON_S = 7


def main() -> None:
    folder, url = Path(sys.argv[1]), urllib.parse.urlsplit(sys.argv[2])
    told = "".join(path.read_text() for path in folder.glob("greeting-*"))
    time.sleep(PERSON_S)
    asked = dict(urllib.parse.parse_qsl(url.query))
    back = Person(Server(f"{url.scheme}://{url.netloc}", told), "alice").decide(url.geturl())
    there = f"{asked['redirect_uri']}?{urllib.parse.urlencode(back)}"
    # The program may begin to listen only after it opened the browser.
    for _ in range(100):
        try:
            with urllib.request.urlopen(there, timeout=10) as answer:
                print(answer.status, there.split("?")[0])
            return
        except urllib.error.HTTPError as answer:
            print(answer.code, there.split("?")[0])
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nobody listens at {there.split('?')[0]}")


main()
