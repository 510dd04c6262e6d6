"""Dashboards and rules ask only for what the binary really exposes: a real Prometheus scrapes a real run, and each query
is put to it.

Prometheus and promtool are Debian's, which may be of version 2 while deploy/compose.yaml has version 3: no registry that
the checks use has the newer one. So what means another thing in version 3 is not asked for, which is a test too."""

import http.server
import json
import re
import tempfile
import threading
import time
import unittest
import urllib.parse

import promql_parser
import yaml

from house import DEPLOY, ROOT, Client, Kept, Mandate, Person, eventually, free_port, get, postgres, program, redis, say

RULES = DEPLOY / "watch/rules.yaml"
DASHBOARD = DEPLOY / "watch/mandate.json"
# Where the rules say that the book is read, and the pages that tell operators of them.
BOOK = "https://book.mandate.example"
RUNBOOK = ROOT / "docs/src/operate/runbook.md"
BOOK_WATCH = ROOT / "docs/src/operate/watch.md"
# Another service that is scraped as well, and whose libraries give their metrics the same names.
FOREIGN = "billing"
FOREIGN_METRICS = """\
http_server_request_duration_seconds_count{http_route="/pay",http_response_status_code="299"} %(count)d
http_server_request_duration_seconds_bucket{http_route="/pay",http_response_status_code="299",le="+Inf"} %(count)d
db_client_operation_duration_seconds_count{db_system_name="redis",db_operation_name="PAY"} %(count)d
db_client_operation_duration_seconds_bucket{db_system_name="redis",db_operation_name="PAY",le="+Inf"} %(count)d
db_client_connection_count{db_client_connection_pool_name="payments",db_client_connection_state="used"} %(count)d
"""
FOREIGN_WORDS = {"299", "/pay", "PAY", "payments", FOREIGN}
# Of a server that does TLS itself, which this one leaves to a proxy.
ELSEWHERE = {"mandate_tls_certificate_expiry_seconds"}
# Told to whoever wants to know, and asked for by no panel and no rule.
UNASKED = {"mandate_build_info"}
# The seed of the dashboard: a panel that is gone is missed by its words.
WANTED = [
    r"histogram_quantile\(0\.95.*gen_ai_tool_name.*mcp_server_operation_duration_seconds_bucket",
    r"sum by \(gen_ai_tool_name\).*error_type!=\"\".*/ sum by \(gen_ai_tool_name\)",
    r"sum by \(client, limit\).*mandate_rate_limit_refusals_total",
    r"sum by \(credential, reason\).*mandate_authentication_failures_total",
    r"mandate_tool_invalid_arguments_total",
    r"mandate_refresh_reuse_total",
    r"db_client_operation_duration_seconds_bucket.*db_system_name=\"redis\"",
    r"db_client_connection_wait_time_seconds_bucket",
    r"db_client_connection_count",
]


def panels() -> list[dict]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def panel_queries(jobs: str = "mandate") -> list[str]:
    """What Grafana would ask, with these jobs chosen."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [query.replace("$__rate_interval", "20s").replace("$job", jobs) for query in found]


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """Every series selector in a query."""
    found, left = [], [promql_parser.parse(query)]
    while left:
        node = left.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
            continue
        for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
            if (child := getattr(node, name, None)) is not None:
                left.append(child)
        left.extend(getattr(node, "args", None) or [])
    return found


class Foreign:
    """A service that counts, at its `metrics_port`."""

    def __init__(self) -> None:
        class Metrics(http.server.BaseHTTPRequestHandler):
            count = 0

            def do_GET(self) -> None:
                Metrics.count += 1000
                body = (FOREIGN_METRICS % {"count": Metrics.count}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
        self.metrics_port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus(Kept):
    """Debian's, with our rules, on these servers and another service."""

    def __init__(self, *servers: Mandate, foreign: Foreign | None = None) -> None:
        super().__init__("prometheus")

        def scraped(name: str, servers: tuple) -> dict:
            targets = [f"127.0.0.1:{server.metrics_port}" for server in servers]
            return {"job_name": name, "static_configs": [{"targets": targets}]}

        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [scraped("mandate", servers)] + ([scraped(FOREIGN, (foreign,))] if foreign else []),
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        address = self.url.removeprefix("http://")
        command = f"{program('prometheus')} --config.file=prometheus.yml --storage.tsdb.path=data"
        self.start(f"{command} --web.listen-address={address}", lambda: get(f"{self.url}/-/ready")[0] == 200)

    def all_jobs(self) -> str:
        """What "All" means on the dashboard: its own word for it, or else every job of the list that it offers."""
        [variable] = [each for each in json.loads(DASHBOARD.read_text())["templating"]["list"] if each["name"] == "job"]
        if own := variable.get("allValue"):
            return own
        series = re.fullmatch(r"label_values\((\w+), job\)", variable["query"]["query"])[1]
        _, body = get(f"{self.url}/api/v1/label/job/values?{urllib.parse.urlencode({'match[]': series})}")
        return "|".join(json.loads(body)["data"])

    def ask(self, query: str) -> list:
        _, body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        answer = json.loads(body)
        assert answer["status"] == "success", f"{query}\n{answer}"
        return answer["data"]["result"]


class Secured(Mandate):
    """One that speaks TLS, with a certificate that lies in `folder` and lives for a month."""

    def __init__(self, folder: str) -> None:
        files = {"certificate_file": f"{folder}/tls.crt", "key_file": f"{folder}/tls.key"}
        kind = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
        say(
            program("openssl"), *kind, "-subj", "/CN=localhost", "-keyout", files["key_file"], "-out", files["certificate_file"]
        )
        tls = {f"MANDATE_TLS__{name.upper()}": path for name, path in files.items()}
        super().__init__(MANDATE_PUBLIC_URL="https://localhost", **tls)

    def ready(self) -> bool:
        return "mandate_tls_certificate_expiry_seconds" in self.scrape()


def everything_happens(server: Mandate, redis: Kept) -> None:
    """What moves each metric."""
    guess = Person(server, "alice")
    server.password = lambda user: "not the one"
    try:
        guess.decide(f"/authorize?{Client.query(Client.register(server.url))[0]}")
    except AssertionError as refused:
        assert "do not match" in str(refused), refused
    finally:
        del server.password
    client = Client(server)
    client.post("/mcp", "{}", {"Content-Type": "application/json"})
    client.post("/mcp", "{}", {"Content-Type": "application/json", "Authorization": "Bearer not.a.token"})
    client.call("search_tickets", query="printer")
    client.call("get_ticket", id="not one")
    client.call("get_ticket", id="T-999999")
    for _ in range(2):
        client.call("create_ticket", title="Printer", body="It prints nothing.", idempotency_key="one")
    while client.call("search_tickets", query="printer")[0] != 429:
        pass
    refresh = {"grant_type": "refresh_token", "refresh_token": client.tokens["refresh_token"]}
    client.token(refresh)
    client.token(refresh)
    time.sleep(1.2)
    assert client.token(refresh)["error"] == "invalid_grant"
    client = Client(server)
    client.call("search_tickets", query="printer")
    redis.halt()
    assert client.call("search_tickets", query="printer")[0] == 503
    redis.again()
    eventually("ready once Redis is back", server.ready)


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        stores = postgres(), redis()
        for store in stores:
            cls.addClassCleanup(store.end)
        cls.server = Mandate(
            MANDATE_DATABASE_URL=stores[0].url,
            MANDATE_REDIS_URL=stores[1].url,
            MANDATE_MCP__READS_BURST="5",
            MANDATE_TOKENS__REFRESH_GRACE="1s",
            # Nobody listens there: exemplars are of traces that were to be sent, and these are dropped.
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        )
        cls.addClassCleanup(cls.server.end)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        secured = Secured(folder.name)
        cls.addClassCleanup(secured.end)
        foreign = Foreign()
        cls.addClassCleanup(foreign.end)
        cls.prometheus = Prometheus(cls.server, secured, foreign=foreign)
        cls.addClassCleanup(cls.prometheus.end)
        stream = Client(cls.server).stream()
        cls.addClassCleanup(stream.close)
        # Twice: a rate needs a series that is there already.
        for _ in range(2):
            everything_happens(cls.server, stores[1])
            scraped = time.time()
            eventually("a scrape afterwards", lambda: cls.scraped_since(scraped))

    @classmethod
    def scraped_since(cls, moment: float) -> bool:
        found = cls.prometheus.ask('min(timestamp(up{job="mandate"}))')
        return bool(found) and float(found[0]["value"][1]) > moment + 0.5

    def test_every_panel_shows_something(self) -> None:
        for query in panel_queries(self.prometheus.all_jobs()):
            with self.subTest(query):
                self.assertTrue(self.prometheus.ask(query), "no series: nothing would be shown")

    def test_services_that_are_scraped_beside_it_are_in_no_panel(self) -> None:
        self.assertTrue(self.prometheus.ask(f'http_server_request_duration_seconds_count{{job="{FOREIGN}"}}'))
        self.assertEqual(self.prometheus.all_jobs(), "mandate")
        for query in panel_queries(self.prometheus.all_jobs()):
            with self.subTest(query):
                shown = {value for series in self.prometheus.ask(query) for value in series["metric"].values()}
                self.assertFalse(shown & FOREIGN_WORDS)

    def test_every_selector_finds_series_of_a_real_run(self) -> None:
        recorded = {rule["record"] for rule in rules() if "record" in rule}
        queries = panel_queries() + [rule["expr"] for rule in rules()]
        self.assertGreater(len(queries), 40)
        for query in queries:
            for selector in selectors(query):
                if selector.name in recorded | ELSEWHERE:
                    continue
                asked = re.sub(r" offset .*", "", selector.prettify())
                with self.subTest(query=query, selector=asked):
                    self.assertTrue(self.prometheus.ask(asked), "the binary exposes no such series")

    def test_every_label_that_a_legend_or_an_annotation_names_exists(self) -> None:
        known = set()
        for line in self.server.scrape().splitlines():
            if not line.startswith("#"):
                known |= set(re.findall(r"(\w+)=\"", line))
        known |= {"instance", "job"}
        texts = [target["legendFormat"] for panel in panels() for target in panel["targets"]]
        named = {label for text in texts for label in re.findall(r"{{(\w+)}}", text)}
        for rule in rules():
            for text in rule.get("annotations", {}).values():
                named |= set(re.findall(r"\$labels\.(\w+)", text))
        self.assertGreater(len(named), 10)
        self.assertLessEqual(named, known)

    def test_of_all_that_a_few_seconds_do_only_a_reused_token_is_told_at_once(self) -> None:
        _, body = get(f"{self.prometheus.url}/api/v1/alerts")
        alerts = json.loads(body)["data"]["alerts"]
        firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
        self.assertEqual(firing, {"MandateRefreshReuse"})

    def test_exemplars_lead_from_calls_to_traces(self) -> None:
        exemplar = r'mcp_server_operation_duration_seconds_bucket\{.* # \{trace_id="\w{32}"}'
        self.assertTrue(re.search(exemplar, self.server.scrape()), "no exemplar")


class Files(unittest.TestCase):
    def test_probes_are_neither_requests_nor_faults(self) -> None:
        [panel] = [panel for panel in panels() if "5xx" in panel["title"]]
        [alert] = [rule for rule in rules() if rule.get("alert") == "MandateServerErrors"]
        for query in (panel["targets"][0]["expr"], alert["expr"]):
            asked = [selector.prettify() for selector in selectors(query.replace("$__rate_interval", "5m"))]
            self.assertEqual(len(asked), 2)
            for selector in asked:
                self.assertIn('http_route!~"/live|/ready"', selector)

    def test_no_query_means_another_thing_in_version_3_of_prometheus(self) -> None:
        queries = panel_queries() + [rule["expr"] for rule in rules()]
        for query in queries:
            for selector in selectors(query):
                # There bounds are written as numbers with a point, whatever was scraped.
                self.assertNotRegex(selector.prettify(), r"[{,]\s*(le|quantile)[!=]", query)
            # It has another name there.
            self.assertNotIn("holt_winters", query)

    def test_the_rules_are_rules_and_each_does_what_it_says(self) -> None:
        say(program("promtool"), "check", "rules", str(RULES))
        say(program("promtool"), "test", "rules", str(ROOT / "e2e/deploy/rules.test.yaml"))

    def test_every_alert_is_tested_with_what_sets_it_off(self) -> None:
        tests = yaml.safe_load((ROOT / "e2e/deploy/rules.test.yaml").read_text())["tests"]
        tried = [alert for test in tests for alert in test["alert_rule_test"]]
        fired = {alert["alertname"] for alert in tried if alert.get("exp_alerts")}
        self.assertEqual(fired, {rule["alert"] for rule in rules() if "alert" in rule})

    def test_every_alert_says_what_it_means_and_what_to_do_and_leads_to_its_section(self) -> None:
        alerts = [rule for rule in rules() if "alert" in rule]
        for rule in alerts:
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"}, rule["alert"])
            self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
            page, _, anchor = rule["annotations"]["runbook_url"].removeprefix(BOOK).partition("#")
            self.assertEqual((page, anchor), ("/operate/runbook.html", rule["alert"].lower()))
        text = RUNBOOK.read_text()
        sections = dict(re.findall(r"^## (Mandate\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
        self.assertEqual(list(sections), [rule["alert"] for rule in alerts])
        for rule in alerts:
            for part in ("**Means.**", "**Look at.**", "**Do.**"):
                self.assertEqual(sections[rule["alert"]].count(part), 1, f"{rule['alert']}: {part}")
            self.assertIn(f"*{rule['labels']['severity']}*", sections[rule["alert"]].split("**Means.**")[0])

    def test_every_metric_that_the_book_and_the_runbook_name_is_in_the_dashboard_or_the_rules(self) -> None:
        asked = " ".join(panel_queries() + [rule["expr"] for rule in rules()])
        for page in (RUNBOOK, BOOK_WATCH):
            named = set(re.findall(r"`((?:mcp_server|mandate|http_server|db_client)_\w+)", page.read_text()))
            self.assertTrue(named, page.name)
            for name in named - UNASKED:
                self.assertTrue(re.search(rf"\b{name}(_count|_bucket)?\b", asked), f"{page.name}: {name}")

    def test_the_dashboard_has_what_operators_asked_for(self) -> None:
        queries = [target["expr"] for panel in panels() for target in panel["targets"]]
        for wanted in WANTED:
            self.assertTrue(any(re.search(wanted, query) for query in queries), wanted)

    def test_every_panel_says_what_it_shows(self) -> None:
        for panel in panels():
            self.assertGreater(len(panel["description"]), 10, panel["title"])

    def test_panels_have_an_id_of_their_own_and_lie_side_by_side(self) -> None:
        every = json.loads(DASHBOARD.read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        taken = set()
        for panel in every:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(taken & cells, f"{panel['title']} covers another")
            taken |= cells


if __name__ == "__main__":
    unittest.main()
