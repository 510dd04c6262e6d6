"""A person at a browser, as far as the server can tell: cookies and forms. No script runs, no redirect is followed
unseen. Everything between the client and the server is the SDK's own code; this is the person's part alone."""

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args, **_more):
        return None


class Person:
    """Signs in, decides, takes back."""

    def __init__(self, server, name: str) -> None:
        self.server = server
        self.name = name
        # The scopes that the last consent page asked for.
        self.asked: list[str] = []
        self._opener = urllib.request.build_opener(
            _Stay(), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def decide(self, url: str, decision: str = "allow", without: tuple[str, ...] = ()) -> dict[str, str]:
        """Follows an authorization request to its end; the parameters that go back to the client."""
        status, location, body = self._open(url)
        if location.startswith("/login"):
            _, _, body = self._open(location)
            form = {"csrf": _hidden(body, "csrf"), "flow": _hidden(body, "flow")}
            form |= {"username": self.name, "password": self.server.password(self.name)}
            status, location, body = self._open("/login", form)
        assert location.startswith("/consent/"), f"{status} {location} {body}"
        consent = location
        _, _, body = self._open(consent)
        self.asked = re.findall(r'name="scope" value="([^"]+)"', body)
        form = [("csrf", _hidden(body, "csrf")), ("decision", decision)]
        form += [("scope", scope) for scope in self.asked if scope not in without]
        status, location, body = self._open(consent, form)
        assert status == 303 and "?" in location, f"{status} {location} {body}"
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))

    def take_back(self, client_name: str) -> None:
        """Revokes the one app of this name."""
        _, _, body = self._open("/account")
        assert body.count(client_name) >= 1, body
        form = {"csrf": _hidden(body, "csrf"), "grant_id": _hidden(body, "grant_id")}
        status, location, body = self._open("/account/revoke", form)
        assert status == 303 and location != "/account?revoked=", f"{status} {location} {body}"

    def _open(self, url: str, form=None) -> tuple[int, str, str]:
        url = urllib.parse.urljoin(self.server.url, url)
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(url, data)
        if data is not None:
            request.add_header("Sec-Fetch-Site", "same-origin")
        try:
            with self._opener.open(request) as answer:
                return answer.status, "", answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.headers.get("location", ""), answer.read().decode()


def _hidden(body: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', body)
    assert found, f"no field {name} in {body}"
    return found.group(1)
