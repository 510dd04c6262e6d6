"""What goes to a cluster, as Kustomize and as Helm's own engine write it: it fits the schemas of Kubernetes, and both ways
promise the same."""

import copy
import itertools
import json
import re
import unittest
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

from house import DEPLOY, ROOT, program, say

CHART = DEPLOY / "helm/mandate"
# The oldest that the chart takes, and the newest with published schemas here.
VERSIONS = ("1.30", "1.37")
# No schema of these is in Kubernetes: Prometheus's operator brings them.
OPERATOR = "monitoring.coreos.com/v1"


def kustomized(folder: str) -> list[dict]:
    return list(yaml.safe_load_all(say(program("kubectl"), "kustomize", str(DEPLOY / "kubernetes" / folder))))


def charted(values: dict | None = None, name: str = "mandate") -> list[dict]:
    rendered = helm_python.Chart.load(CHART).render(values or {}, name=name, namespace="mandate")
    files = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [found for text in files for found in yaml.safe_load_all(text) if found]


def one(found: list[dict], kind: str) -> dict:
    fitting = [each for each in found if each["kind"] == kind]
    assert len(fitting) == 1, f"{len(fitting)} of {kind}"
    return fitting[0]


def pod(found: list[dict], kind: str = "Deployment") -> dict:
    return one(found, kind)["spec"]["template"]["spec"]


class Schemas(unittest.TestCase):
    def fits(self, found: list[dict]) -> None:
        for version, each in itertools.product(VERSIONS, found):
            if each["apiVersion"] != OPERATOR:
                # It takes its argument apart.
                kubernetes_validate.validate(copy.deepcopy(each), version, strict=True)
        operators = [each for each in found if each["apiVersion"] == OPERATOR]
        say(program("node"), "check.mjs", cwd=Path(__file__).with_name("operator"), input=json.dumps(operators))

    def test_every_object_fits_the_schemas_of_kubernetes(self) -> None:
        for folder in ("base", "production"):
            with self.subTest(folder):
                self.fits(kustomized(folder))

    def test_every_switch_of_the_chart_makes_objects_that_fit(self) -> None:
        off = {"enabled": False}
        cases = [
            {},
            {"autoscaling": off, "ingress": off, "networkPolicy": off, "migration": off},
            {"monitoring": {"enabled": False, "dashboard": False}},
            {"image": {"repository": "r.example/m", "digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "p"}]},
            {
                "env": {"MANDATE_MCP__WRITES": False, "MANDATE_MCP__READS_PER_MINUTE": 60},
                "envFromReferences": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "extraVolumes": [{"name": "more", "secret": {"secretName": "more"}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/run/secrets/more"}],
                "nodeSelector": {"a": "b"},
                "tolerations": [{"operator": "Exists"}],
                "affinity": {"nodeAffinity": {}},
            },
        ]
        for values in cases:
            with self.subTest(values):
                self.fits(charted(values))

    def test_a_misspelled_field_would_be_found(self) -> None:
        wrong = one(kustomized("base"), "Deployment")
        wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            self.fits([wrong])

    def test_a_wrong_object_for_the_operator_would_be_found(self) -> None:
        for kind, spoil in (
            ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(port=9090)),
            ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].pop("expr")),
        ):
            wrong = one(charted(), kind)
            self.fits([wrong])
            spoil(wrong["spec"])
            with self.subTest(kind), self.assertRaises(AssertionError):
                self.fits([wrong])

    def test_the_chart_passes_helms_lint_and_refuses_values_that_cannot_be(self) -> None:
        report = helm_python.lint(CHART, strict=True)
        bad = [message for message in report["messages"] if message["severity"] > 1] + report["errors"]
        self.assertFalse(bad)
        wrong = [
            {"publicUrl": "http://tickets.example.com"},
            {"publicUrl": "https://tickets.example.com/"},
            {"replicas": 3},
            {"image": {"repository": "r", "digest": "latest"}},
            {"env": {"mandate_log": "info"}},
        ]
        for values in wrong:
            with self.subTest(values), self.assertRaises(helm_python.HelmError):
                charted(values)


class Promises:
    """What both ways promise alike."""

    found: list[dict]

    def test_there_are_three_replicas_or_more(self) -> None:
        self.assertEqual(one(kustomized("base"), "Deployment")["spec"]["replicas"], 3)
        self.assertEqual(one(charted({"autoscaling": {"enabled": False}}), "Deployment")["spec"]["replicas"], 3)
        found = self.found
        # Each time it is applied a number here would undo what the autoscaler said.
        self.assertNotIn("replicas", one(found, "Deployment")["spec"])
        self.assertEqual(one(found, "HorizontalPodAutoscaler")["spec"]["minReplicas"], 3)

    def test_probes_and_resources(self) -> None:
        found = self.found
        container = pod(found)["containers"][0]
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/ready", "port": "http"})
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/live", "port": "http"})
        wanted = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
        self.assertEqual(container["resources"], wanted)

    def test_the_strictest_pod_security_standard_is_kept(self) -> None:
        found = self.found
        for kind in ("Deployment", "Job"):
            spec = pod(found, kind)
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertEqual({next(iter(set(volume) - {"name"})) for volume in spec["volumes"]}, {"secret"})
            for container in spec["containers"]:
                wanted = {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                self.assertEqual(container["securityContext"], wanted)

    def test_a_pod_has_the_time_that_its_drain_takes(self) -> None:
        found = self.found
        spec = pod(found)
        delay = self.configured(found)["MANDATE_DRAIN_DELAY"]
        self.assertGreater(spec["terminationGracePeriodSeconds"], int(delay.removesuffix("s")) + 25)

    def test_selectors_find_what_they_are_for(self) -> None:
        found = self.found
        labels = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        migration = one(found, "Job")["spec"]["template"]["metadata"]["labels"].items()
        selectors = {
            "Deployment": one(found, "Deployment")["spec"]["selector"]["matchLabels"],
            "Service": one(found, "Service")["spec"]["selector"],
            "PodDisruptionBudget": one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        }
        for spread in pod(found)["topologySpreadConstraints"]:
            selectors[spread["topologyKey"]] = spread["labelSelector"]["matchLabels"]
        self.assertEqual(len(selectors), 5)
        for kind, selector in selectors.items():
            self.assertLessEqual(selector.items(), labels, kind)
            # A job that ran is no replica.
            self.assertFalse(selector.items() <= migration, kind)
        policy = one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
        self.assertLessEqual(policy, labels)
        self.assertLessEqual(policy, migration)
        service = one(found, "Service")
        monitor = one(found, "ServiceMonitor")["spec"]
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
        self.assertIn(monitor["endpoints"][0]["port"], [port["name"] for port in service["spec"]["ports"]])
        self.assertEqual(monitor["endpoints"][0]["relabelings"][0]["replacement"], "mandate")
        self.assertEqual(one(found, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"],
                         one(found, "Deployment")["metadata"]["name"])

    def test_the_ingress_leads_to_the_service_and_lets_streams_be(self) -> None:
        found = self.found
        ingress = one(found, "Ingress")
        host = self.configured(found)["MANDATE_PUBLIC_URL"].removeprefix("https://")
        rule = ingress["spec"]["rules"][0]
        self.assertEqual((rule["host"], ingress["spec"]["tls"][0]["hosts"]), (host, [host]))
        backend = rule["http"]["paths"][0]["backend"]["service"]
        self.assertEqual(backend, {"name": one(found, "Service")["metadata"]["name"], "port": {"name": "http"}})
        notes = ingress["metadata"]["annotations"]
        self.assertIn("cert-manager.io/cluster-issuer", notes)
        self.assertEqual(notes["nginx.ingress.kubernetes.io/proxy-buffering"], "off")
        self.assertGreaterEqual(int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]), 3600)

    def test_secrets_are_referred_to_and_never_written(self) -> None:
        found = self.found
        self.assertNotIn("Secret", [each["kind"] for each in found])
        for kind in ("Deployment", "Job"):
            environment = pod(found, kind)["containers"][0]["env"]
            secret = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in environment if "valueFrom" in each}
            wanted = {
                "MANDATE_DATABASE_URL": {"name": "mandate", "key": "database-url"},
                "MANDATE_REDIS_URL": {"name": "mandate", "key": "redis-url"},
            }
            self.assertEqual(secret, wanted)

    def test_every_variable_is_a_key_of_the_configuration(self) -> None:
        table = set(re.findall(r"`([a-z_.]+)`", (ROOT / "docs/src/reference/configuration.md").read_text()))
        found = self.found
        names = set(self.configured(found)) | {"MANDATE_DATABASE_URL", "MANDATE_REDIS_URL"}
        for name in names:
            if name.startswith("MANDATE_"):
                self.assertIn(name.removeprefix("MANDATE_").lower().replace("__", "."), table)

    def test_metrics_are_for_the_scraper_and_nobody_else(self) -> None:
        found = self.found
        ways = one(found, "NetworkPolicy")["spec"]["ingress"]
        by_port = {way["ports"][0]["port"]: way["from"] for way in ways}
        self.assertEqual(set(by_port), {8080, 9090})
        self.assertNotEqual(by_port[8080], by_port[9090])

    def test_rules_and_dashboard_are_those_of_the_files(self) -> None:
        rules = yaml.safe_load((DEPLOY / "watch/rules.yaml").read_text())
        self.assertEqual(one(charted(), "PrometheusRule")["spec"], rules)
        dashboard = (DEPLOY / "watch/mandate.json").read_text()
        found = self.found
        boards = [each for each in found if "mandate.json" in each.get("data", {})]
        self.assertEqual([each["data"]["mandate.json"] for each in boards], [dashboard])
        self.assertEqual(boards[0]["metadata"]["labels"]["grafana_dashboard"], "1")

    @staticmethod
    def configured(found: list[dict]) -> dict[str, str]:
        """The variables of the server that are no secrets."""
        container = pod(found)["containers"][0]
        known = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        for source in container.get("envFrom", []):
            maps = [each for each in found if each["kind"] == "ConfigMap"]
            known |= next(each["data"] for each in maps if each["metadata"]["name"] == source["configMapRef"]["name"])
        return known


class Kustomized(Promises, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.found = kustomized("production")


class Charted(Promises, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.found = charted()

    def test_alerts_lead_to_the_book_that_the_values_name(self) -> None:
        rules = one(charted({"monitoring": {"bookUrl": "https://docs.acme.example/mandate/"}}), "PrometheusRule")
        every = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
        urls = [rule["annotations"]["runbook_url"] for rule in every if "alert" in rule]
        self.assertGreater(len(urls), 10)
        for url in urls:
            self.assertTrue(url.startswith("https://docs.acme.example/mandate/operate/runbook.html#"), url)

    def test_two_releases_in_one_namespace_do_not_meet(self) -> None:
        first, second = (charted(name=name) for name in ("mandate", "other"))
        names = [{(each["kind"], each["metadata"]["name"]) for each in found} for found in (first, second)]
        self.assertFalse(names[0] & names[1])
        labels = one(second, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        self.assertFalse(one(first, "Service")["spec"]["selector"].items() <= labels)


if __name__ == "__main__":
    unittest.main()
