"""The house of deploy/compose.yaml: it is well formed, and its proxy, its secrets and its settings are tried with the real
binary behind the real proxy."""

import json
import os
import re
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from house import BINARY, DEPLOY, Client, Kept, Mandate, Person, free_port, get, postgres, program, redis
from house import say, told_of_a_change, trusting
from provider import Provider

FILE = DEPLOY / "compose.yaml"
HOUSE = yaml.safe_load(FILE.read_text())
SERVICES = HOUSE["services"]


def configured() -> dict:
    """As Docker Compose itself reads the file: merged, every name resolved."""
    return json.loads(say(program("docker-compose"), "--file", str(FILE), "config", "--format", "json"))["services"]


def folder_of_secrets(test) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="mandate-deploy-secrets-")
    test.addClassCleanup(folder.cleanup)
    say(str(DEPLOY / "compose/secrets.sh"), folder.name)
    return Path(folder.name)


class Files(unittest.TestCase):
    def test_docker_compose_takes_it_and_warns_of_nothing(self) -> None:
        said = say(program("docker-compose"), "--file", str(FILE), "config", "--quiet")
        self.assertEqual(said, "")
        self.assertEqual(set(configured()), set(SERVICES))
        say(program("compose-lint"), "check", str(FILE))

    def test_docker_compose_would_find_a_misspelled_key_and_a_name_that_leads_nowhere(self) -> None:
        text = FILE.read_text()
        spoiled = {"read_only: true": "readonly: true", "    secrets: [grafana-password]": "    secrets: [grafana]"}
        for right, wrong in spoiled.items():
            with self.subTest(wrong), tempfile.TemporaryDirectory() as folder:
                self.assertIn(right, text)
                (Path(folder) / "compose.yaml").write_text(text.replace(right, wrong))
                with self.assertRaises(AssertionError):
                    say(program("docker-compose"), "--file", f"{folder}/compose.yaml", "config", "--quiet")

    def test_the_schema_is_brought_up_to_date_once_before_replicas_start(self) -> None:
        services = configured()
        self.assertEqual(services["migrate"]["command"][-1], "migrate")
        self.assertEqual(services["migrate"]["depends_on"]["postgres"]["condition"], "service_healthy")
        for name in ("mandate-1", "mandate-2"):
            self.assertEqual(services[name]["depends_on"]["migrate"]["condition"], "service_completed_successfully")
            self.assertEqual(services[name]["environment"], services["migrate"]["environment"])

    def test_one_service_makes_the_image_and_the_others_wait_for_it(self) -> None:
        services = configured()
        makers = [name for name, service in services.items() if "build" in service]
        self.assertEqual(makers, ["migrate"])
        for name in ("mandate-1", "mandate-2"):
            self.assertEqual(services[name]["image"], services["migrate"]["image"])
            # Else it would be looked for where nobody has put it.
            self.assertEqual(services[name]["pull_policy"], "never")
            self.assertIn("migrate", services[name]["depends_on"])

    def test_every_image_is_pinned_by_its_version(self) -> None:
        for name, service in SERVICES.items():
            self.assertRegex(service["image"], r":v?\d+\.\d+(\.\d+)?(-\w+)?$", name)

    def test_every_command_of_a_replica_reads_the_same_settings(self) -> None:
        for name in ("migrate", "mandate-1", "mandate-2"):
            self.assertEqual(SERVICES[name]["command"][:2], ["--config", "/run/secrets/mandate.toml"], name)
        asked = SERVICES["mandate-1"]["healthcheck"]["test"]
        self.assertEqual(asked[1:], ["/usr/bin/mandate", *SERVICES["mandate-1"]["command"][:2], "healthcheck"])

    def test_every_container_is_confined(self) -> None:
        for name, service in SERVICES.items():
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
        for name in ("migrate", "mandate-1", "mandate-2"):
            self.assertIs(SERVICES[name]["read_only"], True)

    def test_nothing_listens_beyond_this_machine(self) -> None:
        ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
        self.assertEqual(len(ports), 2)
        for port in ports:
            self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_no_secret_is_written_in_it(self) -> None:
        for name, service in SERVICES.items():
            for key, value in service.get("environment", {}).items():
                if re.search("PASSWORD|SECRET|KEY", key):
                    self.assertTrue(value.startswith("/run/secrets/"), f"{name}: {key}")

    def test_every_file_that_it_mounts_is_there(self) -> None:
        for service in SERVICES.values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DEPLOY / source).is_file(), source)

    def test_the_script_makes_every_secret_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = []
            for _ in range(2):
                say(str(DEPLOY / "compose/secrets.sh"), folder)
                made.append({path.name: path.read_bytes() for path in Path(folder).iterdir()})
            self.assertEqual(*made)
            self.assertEqual(set(made[0]), set(HOUSE["secrets"]))
            say("openssl", "verify", "-CAfile", f"{folder}/ca.crt", f"{folder}/tls.crt")

    def test_a_tool_that_fails_leaves_no_secret_that_is_not_whole(self) -> None:
        openssl = program("openssl")
        fails = {f"openssl {verb}": f'[ "$1" = {verb} ] && exit 1; exec {openssl} "$@"' for verb in ("rand", "base64", "req", "x509")}
        fails |= {f"openssl {verb}, silently": f'[ "$1" = {verb} ] && exit 0; exec {openssl} "$@"' for verb in ("rand", "base64")}
        fails |= {tool: "exit 1" for tool in ("tr", "cat", "mv", "mktemp")} | {"tr, silently": "exit 0"}
        for what, does in fails.items():
            with self.subTest(what), tempfile.TemporaryDirectory() as folder:
                tool = Path(folder) / re.match(r"\w+", what)[0]
                tool.write_text(f"#!/bin/sh\n{does}\n")
                tool.chmod(0o755)
                made = Path(folder) / "secrets"
                script = [str(DEPLOY / "compose/secrets.sh"), str(made)]
                broken = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
                failed = subprocess.run(script, env=broken, capture_output=True, text=True)
                self.assertNotEqual(failed.returncode, 0, failed.stderr)
                for path in made.iterdir():
                    self.assertIn(path.name, HOUSE["secrets"], "what was begun is thrown away")
                    self.assertGreater(path.stat().st_size, 40, path.name)
                before = {path.name: path.read_bytes() for path in made.iterdir()}
                say(*script)
                after = {path.name: path.read_bytes() for path in made.iterdir()}
                self.assertEqual(set(after), set(HOUSE["secrets"]))
                self.assertEqual(len(after["mandate.key"]), 43)
                say("openssl", "verify", "-CAfile", str(made / "ca.crt"), str(made / "tls.crt"))
                for name in set(before) - {"ca.crt", "tls.key"}:
                    self.assertEqual(after[name], before[name])

    def test_prometheus_finds_every_replica_and_its_rules(self) -> None:
        say(program("promtool"), "check", "config", "--syntax-only", str(DEPLOY / "compose/prometheus.yaml"))
        config = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text())
        port = SERVICES["mandate-1"]["environment"]["MANDATE_METRICS_LISTEN"].rpartition(":")[2]
        replicas = [name for name in SERVICES if name.startswith("mandate-")]
        [job] = config["scrape_configs"]
        self.assertEqual(job["job_name"], "mandate")
        self.assertEqual(job["static_configs"][0]["targets"], [f"{name}:{port}" for name in replicas])
        self.assertIn(f"./watch/rules.yaml:/etc/prometheus/{config['rule_files'][0]}:ro", SERVICES["prometheus"]["volumes"])

    def test_each_pipeline_of_the_collector_has_parts_that_exist(self) -> None:
        config = yaml.safe_load((DEPLOY / "compose/collector.yaml").read_text())
        for name, pipeline in config["service"]["pipelines"].items():
            for kind, parts in pipeline.items():
                self.assertLessEqual(set(parts), set(config[kind]), name)
        sent = SERVICES["mandate-1"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        received = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
        self.assertEqual(sent.rpartition(":")[2], received.rpartition(":")[2])

    def test_only_the_proxys_own_address_is_trusted(self) -> None:
        address = SERVICES["proxy"]["networks"]["inside"]["ipv4_address"]
        self.assertEqual(SERVICES["mandate-1"]["environment"]["MANDATE_TRUSTED_PROXIES"], f"{address}/32")


class Employee(Person):
    """Somebody whom the company knows."""

    def sign_in(self) -> None:
        status, location, body = self._open("/account")
        _, _, body = self._open(location)
        self.assert_there(body, 'action="/login/company"')
        form = {name: re.search(rf'name="{name}" value="([^"]*)"', body)[1] for name in ("csrf",)}
        status, location, body = self._open("/login/company", form)
        assert status == 303 and location.startswith("https://login.localhost:"), f"{status} {location} {body}"
        _, _, page = self._open(location)
        self.assert_there(page, 'name="username"')
        status, location, body = self._open(location, {"username": self.name, "claims": ""})
        status, location, body = self._open(location)
        assert status == 303, f"{status} {location} {body}"
        status, _, body = self._open("/account")
        assert status == 200, f"{status} {body}"

    @staticmethod
    def assert_there(body: str, text: str) -> None:
        assert text in body, body


class Behind(unittest.TestCase):
    """Two replicas with the settings of the house, behind Caddy with its file; only addresses are others."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.secrets = secrets = folder_of_secrets(cls)
        cls.enterClassContext(trusting(secrets))
        stores = postgres(), redis()
        for store in stores:
            cls.addClassCleanup(store.end)
        port = free_port()
        cls.url = f"https://tickets.localhost:{port}"
        services = configured()
        cls.settings = {
            name: value.replace("/run/secrets/", f"{secrets}/").replace(":8443", f":{port}")
            for name, value in services["mandate-1"]["environment"].items()
        }
        # What depends on where the containers are.
        cls.settings |= {
            "MANDATE_DATABASE_URL": stores[0].url,
            "MANDATE_REDIS_URL": stores[1].url,
            "MANDATE_TRUSTED_PROXIES": "127.0.0.1/32",
            "MANDATE_DRAIN_DELAY": "0s",
            "MANDATE_LOG_FORMAT": "text",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        }
        # In the house the names are the proxy's; here it is on loopback.
        (secrets / "hosts").write_text("127.0.0.1 localhost tickets.localhost login.localhost\n")
        (secrets / "enter").write_text(f'mount --bind {secrets}/hosts /etc/hosts\nexec {BINARY} "$@"\n')
        inside = "unshare --mount" if os.getuid() == 0 else "unshare --mount --map-root-user"
        command = f"{inside} sh -e {secrets}/enter --config {secrets}/mandate.toml"
        migrate = Kept("migrate", **cls.settings)
        cls.addClassCleanup(migrate.end)
        migrate.run(f"{command} {services['migrate']['command'][-1]}")
        cls.replicas = []
        for _ in range(2):
            ports = {"MANDATE_LISTEN": f"127.0.0.1:{free_port()}", "MANDATE_METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
            replica = Mandate(command, **cls.settings | ports)
            cls.addClassCleanup(replica.end)
            replica.url = cls.url
            cls.replicas.append(replica)
        cls.provider = Provider(secrets, json.loads((DEPLOY / "compose/provider.json").read_text()))
        cls.addClassCleanup(cls.provider.end)
        proxy = Kept("proxy", XDG_DATA_HOME="/nonexistent", XDG_CONFIG_HOME="/nonexistent")
        cls.addClassCleanup(proxy.end)
        file = (DEPLOY / "compose/Caddyfile").read_text().replace("/run/secrets/", f"{secrets}/").replace("8443", str(port))
        file = file.replace("provider:8080", f"127.0.0.1:{cls.provider.port}")
        for number, replica in enumerate(cls.replicas, 1):
            file = file.replace(f"mandate-{number}:8080", f"127.0.0.1:{replica.port}")
        (proxy.folder / "Caddyfile").write_text(file)
        there = f"{cls.url}/.well-known/oauth-protected-resource"
        proxy.start(f"{program('caddy')} run --config Caddyfile", lambda: get(there)[0] == 200)
        cls.client = Client(cls.replicas[0])

    def test_challenges_and_tokens_pass(self) -> None:
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{self.url}/mcp", b"{}")
        with refused.exception as answer:
            self.assertEqual(answer.code, 401)
            self.assertIn(f'resource_metadata="{self.url}/', answer.headers["WWW-Authenticate"])
        status, body = self.client.call("search_tickets", query="printer")
        self.assertEqual(status, 200, body)

    def test_nobody_outside_asks_the_probes(self) -> None:
        for path in ("/ready", "/live"):
            self.assertEqual(get(f"{self.url}{path}")[0], 404, path)
            for replica in self.replicas:
                self.assertEqual(get(f"http://127.0.0.1:{replica.port}{path}")[0], 200, path)

    def test_events_pass_as_they_come_and_sessions_with_them(self) -> None:
        self.assertTrue(told_of_a_change(self.client), "the stream ended")

    def test_addresses_are_those_of_callers_and_cannot_be_chosen(self) -> None:
        self.client.post("/mcp", "{}", {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/json"})
        for replica in self.replicas:
            self.assertNotIn("trusted_proxies", replica.log())

    def test_people_sign_in_at_the_company_and_their_clients_may_call(self) -> None:
        dora = Employee(self.replicas[0], "dora")
        dora.sign_in()
        self.assertEqual(self.provider.seen[-1], ("dora", "mandate"))
        client = Client(self.replicas[0], person=dora)
        status, body = client.call("create_ticket", title="Printer", body="It prints nothing.")
        self.assertEqual((status, "isError\":true" in body), (200, False), body)
        *_, role = self.words_at_the_head()
        config = " ".join(role.split()[:2])
        self.assertRegex(self.run_beside(f"{config} user list"), r"(?m)^dora .*requester")
        self.run_beside(role)
        self.assertRegex(self.run_beside(f"{config} user list"), r"(?m)^dora .*agent")

    def words_at_the_head(self) -> list[str]:
        """What the file says to run in a replica, from its own `--config` on."""
        words = re.findall(r"^#     (--config /run/secrets/\S+ \w.*?)(?: </dev/null)?$", FILE.read_text(), re.MULTILINE)
        return [line.replace("/run/secrets", str(self.secrets)) for line in words]

    def run_beside(self, line: str, given: str = "", **settings: str) -> str:
        """As in the container of a replica that runs; what it printed."""
        replica = self.replicas[0]
        ports = {"MANDATE_LISTEN": replica.port, "MANDATE_METRICS_LISTEN": replica.metrics_port}
        there = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        done = subprocess.run(
            [str(BINARY), *line.split()], env=self.settings | there | settings, input=given, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, f"{line}: {done.stderr}")
        return done.stdout

    def test_the_words_at_the_head_of_the_file_fill_an_empty_database_with_people_and_tickets(self) -> None:
        fill, password, add, _ = self.words_at_the_head()
        config = " ".join(fill.split()[:2])

        def run(line: str, given: str = "") -> str:
            return self.run_beside(line, given, MANDATE_DATABASE_URL=f"sqlite://{self.secrets}/empty.db")

        run(fill)
        run(password, "correct horse battery staple\n")
        run(add, "correct horse battery staple\n")
        people = run(f"{config} user list")
        for name in ("alice", "carol"):
            self.assertRegex(people, rf"(?m)^{name} .*agent")
        search = {"name": "search_tickets", "arguments": {"query": "printer"}}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": search}
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "d", "version": "1"}}
        begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        lines = "".join(json.dumps(message) + "\n" for message in (begin, begun, call))
        self.assertRegex(run(fill.replace(" --demo", ""), lines), r"T-\d+")

    def test_the_healthcheck_of_the_house_says_whether_a_replica_is_ready(self) -> None:
        asked = configured()["mandate-1"]["healthcheck"]["test"]
        self.assertEqual(asked[1], "/usr/bin/mandate")
        for port, wanted in ((self.replicas[0].port, 0), (free_port(), 1)):
            environment = self.settings | {"MANDATE_LISTEN": f"127.0.0.1:{port}"}
            command = [str(BINARY), *(word.replace("/run/secrets", str(self.secrets)) for word in asked[2:])]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, wanted, done.stderr)

    def test_both_replicas_serve(self) -> None:
        for _ in range(40):
            self.client.call("search_tickets", query="printer")
        served = ["mcp_server_operation_duration_seconds_count" in replica.scrape() for replica in self.replicas]
        self.assertEqual(served, [True, True])


if __name__ == "__main__":
    unittest.main()
