"""What goes to a cluster, as Kustomize and as Helm's own engine write it: it fits the schemas of Kubernetes, and both ways
promise the same."""

import copy
import itertools
import json
import os
import re
import tempfile
import tomllib
import unittest
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

from house import BINARY, DEPLOY, ROOT, Kept, postgres, program, redis, say
from wrap import wrapped

CHART = DEPLOY / "helm/mandate"
# The oldest that the chart takes, and the newest with published schemas here.
VERSIONS = ("1.30", "1.37")
# No schema of these is in Kubernetes: Prometheus's operator and the Gateway API bring them.
OTHERS = ("monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1")
# What the chart does not guess.
NEEDED = {
    "publicUrl": "https://tickets.example.com",
    "image": {"repository": "registry.example.com/mandate"},
    "trustedProxies": ["10.244.0.0/16"],
}
# What it makes only where Prometheus's operator is there.
MONITORED = {"monitoring": {"enabled": True}}
# Of 100 connections PostgreSQL keeps three for its superuser.
CONNECTIONS = 97
# As Helm waits for a hook.
HELM_WAITS_S = 300


def kustomized(folder: str) -> list[dict]:
    return list(yaml.safe_load_all(say(program("kubectl"), "kustomize", str(DEPLOY / "kubernetes" / folder))))


def overlaid(**settings: str) -> list[dict]:
    """The base with these variables."""
    with tempfile.TemporaryDirectory() as folder:
        literals = [f"{name}={value}" for name, value in settings.items()]
        overlay = {
            "resources": [os.path.relpath(DEPLOY / "kubernetes/base", os.path.realpath(folder))],
            "configMapGenerator": [{"name": "mandate", "behavior": "merge", "literals": literals}],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return kustomized(folder)


def charted(values: dict | None = None, name: str = "mandate") -> list[dict]:
    rendered = helm_python.Chart.load(CHART).render(NEEDED | (values or {}), name=name, namespace="mandate")
    files = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [found for text in files for found in yaml.safe_load_all(text) if found]


def one(found: list[dict], kind: str) -> dict:
    fitting = [each for each in found if each["kind"] == kind]
    assert len(fitting) == 1, f"{len(fitting)} of {kind}"
    return fitting[0]


def pod(found: list[dict], kind: str = "Deployment") -> dict:
    return one(found, kind)["spec"]["template"]["spec"]


def rules_of(found: list[dict], kind: str, component: str) -> list[dict]:
    """What all NetworkPolicies together say of these pods, `ingress` or `egress`."""
    pods = one(found, component)["spec"]["template"]["metadata"]["labels"].items()
    policies = [each["spec"] for each in found if each["kind"] == "NetworkPolicy"]
    of_it = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= pods]
    assert of_it and all(kind.title() in policy["policyTypes"] for policy in of_it)
    return [rule for policy in of_it for rule in policy.get(kind) or []]


def peers(rules: list[dict], port: int, side: str) -> list[str]:
    """The namespaces and networks of the rules for this port."""
    fitting = [rule for rule in rules if port in [each["port"] for each in rule["ports"]]]
    assert all(rule.get(side, "anywhere") for rule in fitting), "an empty list of peers is everybody"
    found = [peer for rule in fitting for peer in rule.get(side, [])]
    return [
        peer["ipBlock"]["cidr"] if "ipBlock" in peer else peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in found
    ]


class Schemas(unittest.TestCase):
    def fits(self, found: list[dict]) -> None:
        for version, each in itertools.product(VERSIONS, found):
            if each["apiVersion"] not in OTHERS:
                # It takes its argument apart.
                kubernetes_validate.validate(copy.deepcopy(each), version, strict=True)
        others = [each for each in found if each["apiVersion"] in OTHERS]
        say(program("node"), "check.mjs", cwd=Path(__file__).with_name("operator"), input=json.dumps(others))

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
            {"monitoring": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}}},
            {"trustedProxies": []},
            {"ingress": off | {"className": ""}, "gateway": {"enabled": True, "parentRefs": [{"name": "g", "namespace": "n"}]}},
            {"ingress": {"className": ""}},
            {
                "networkPolicy": {
                    "ingressNamespaces": [],
                    "ingressCidrs": ["192.168.10.0/24"],
                    "monitoringNamespaces": [],
                    "dns": [{"namespaceSelector": {}}],
                    "storeCidrs": ["10.9.0.0/24"],
                    "extraIngress": [{"from": [{"podSelector": {}}], "ports": [{"port": 8080}]}],
                    "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.20.0.5/32"}}], "ports": [{"port": 443}]}],
                }
            },
            {"networkPolicy": {"ingressNamespaces": [], "monitoringNamespaces": [], "dns": []}},
            {"image": {"repository": "r.example/m", "digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "p"}]},
            {
                "env": {"MANDATE_MCP__WRITES": False, "MANDATE_MCP__READS_PER_MINUTE": 60},
                "envFromReferences": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "extraVolumes": [{"name": "more", "secret": {"secretName": "more"}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/run/secrets/more"}],
                "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/m"}},
                "podAnnotations": {"a.example/b": "true"},
                "podLabels": {"team": "1"},
                "priorityClassName": "high",
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
            ("HTTPRoute", lambda spec: spec["rules"][0]["timeouts"].update(request="never")),
        ):
            wrong = one(charted(MONITORED | {"gateway": {"enabled": True, "parentRefs": [{"name": "g"}]}}), kind)
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
            {"podLabels": {"team": 1}},
            {"podLabels": {"app.kubernetes.io/component": "migration"}},
            {"podLabels": {"helm.sh/chart": "mine"}},
            {"serviceAccount": {"name": "mine"}},
            {"image": {"repository": "r", "digest": "latest"}},
            {"env": {"mandate_log": "info"}},
            {"env": {"MANDATE_LISTEN": "0.0.0.0:80"}},
            {"env": {"MANDATE_TRUSTED_PROXIES": ""}, "trustedProxies": []},
            {"env": {"MANDATE_LOG": "info"}, "envFromReferences": [{"name": "MANDATE_LOG", "valueFrom": {}}]},
            {"envFromReferences": [{"name": "MANDATE_REDIS_URL", "valueFrom": {}}]},
            # Who is believed is for the operator to say.
            {"trustedProxies": None},
            {"trustedProxies": [""]},
            {"drainDelaySeconds": "15s"},
            {"databaseConnections": 1},
            # PostgreSQL is not taken without it.
            {"secret": {"name": "mandate", "keys": {"redisUrl": ""}}},
            # A rule without ports is one for every port.
            {"networkPolicy": {"storePorts": []}},
            {"gateway": {"enabled": True}},
        ]
        for values in wrong:
            with self.subTest(values), self.assertRaises(helm_python.HelmError):
                charted(values)

    def test_the_chart_says_what_to_write_where_it_does_not_guess(self) -> None:
        told = {
            "publicUrl": r"publicUrl: name the address that clients and browsers reach",
            "image": r"image\.repository: name where your image lies",
            "trustedProxies": r"trustedProxies: name the networks of your proxies",
        }
        self.assertEqual(set(told), set(NEEDED))
        for left_out, sentence in told.items():
            given = {name: value for name, value in NEEDED.items() if name != left_out}
            with self.subTest(left_out), self.assertRaisesRegex(helm_python.HelmError, sentence):
                helm_python.Chart.load(CHART).render(given, name="mandate", namespace="mandate")


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

    def test_all_replicas_together_leave_the_database_connections(self) -> None:
        found = self.found
        most = one(found, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
        surge = one(found, "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        sum_of_all = (most + surge) * int(self.configured(found)["MANDATE_DATABASE_CONNECTIONS"])
        # The migration, and whoever looks after the database, need some too.
        self.assertLessEqual(sum_of_all, CONNECTIONS - 5)

    def test_proxies_come_in_where_they_mostly_are_and_names_are_found_with_a_cache_on_the_node(self) -> None:
        comes_in = rules_of(self.found, "ingress", "Deployment")
        self.assertEqual(peers(comes_in, 8080, "from"), ["ingress-nginx"])
        self.assertEqual(peers(comes_in, 9090, "from"), ["monitoring"])
        for component in ("Deployment", "Job"):
            goes_out = rules_of(self.found, "egress", component)
            self.assertLessEqual({"kube-system", "169.254.20.10/32"}, set(peers(goes_out, 53, "to")))
            for rule in goes_out:
                self.assertTrue(rule["ports"], "no ports are every port")

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
        wanted = {
            "cert-manager.io/cluster-issuer": "letsencrypt",
            "nginx.ingress.kubernetes.io/proxy-buffering": "off",
            "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
            "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
            "nginx.ingress.kubernetes.io/proxy-body-size": "2m",
            "nginx.ingress.kubernetes.io/proxy-next-upstream": "error",
            "nginx.org/proxy-buffering": "False",
            "nginx.org/proxy-read-timeout": "1h",
            "nginx.org/proxy-send-timeout": "1h",
            "nginx.org/client-max-body-size": "2m",
            "nginx.org/proxy-next-upstream": "error",
            "haproxy.org/timeout-server": "1h",
            "projectcontour.io/response-timeout": "infinity",
        }
        self.assertEqual(notes, wanted)

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
        ways = rules_of(found, "ingress", "Deployment")
        by_port = {way["ports"][0]["port"]: way["from"] for way in ways}
        self.assertEqual(set(by_port), {8080, 9090})
        self.assertNotEqual(by_port[8080], by_port[9090])

    def test_rules_and_dashboard_are_those_of_the_files(self) -> None:
        def words(text: str) -> dict:
            """Kustomize breaks lines within queries anew, which means nothing there."""
            return json.loads(text, object_hook=lambda each: {
                name: " ".join(value.split()) if isinstance(value, str) else value for name, value in each.items()
            })

        rules = json.dumps(yaml.safe_load((DEPLOY / "watch/rules.yaml").read_text()))
        self.assertEqual(words(json.dumps(one(self.found, "PrometheusRule")["spec"])), words(rules))
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

    def test_no_key_of_the_configuration_changes_the_job_which_cannot_be_changed(self) -> None:
        first, second = (overlaid(MANDATE_PUBLIC_URL=f"https://{name}.example.com") for name in ("one", "two"))
        self.assertNotEqual(pod(first), pod(second), "a replica is to be replaced")
        self.assertEqual(one(first, "Job"), one(second, "Job"))
        self.assertNotIn("ConfigMap", json.dumps(pod(first, "Job")).replace("configMap", "ConfigMap"))

    def test_the_job_has_all_that_the_migration_needs(self) -> None:
        stores = postgres(), redis()
        for store in stores:
            self.addCleanup(store.end)
        settings = {each["name"]: each.get("value", "") for each in pod(self.found, "Job")["containers"][0]["env"]}
        settings |= {"MANDATE_DATABASE_URL": stores[0].url, "MANDATE_REDIS_URL": stores[1].url}
        job = Kept("migrate", **settings | {"MANDATE_SECRET_KEY_FILE": "secret-key"})
        self.addCleanup(job.end)
        job.run(f"{BINARY} {pod(self.found, 'Job')['containers'][0]['args'][0]}")

    def test_the_rules_for_the_operator_are_those_of_the_file(self) -> None:
        self.assertEqual((DEPLOY / "watch/prometheusrule.yaml").read_text(), wrapped(), "run e2e/deploy/wrap.py")

    def test_the_operators_prometheus_finds_what_is_for_it(self) -> None:
        for kind in ("ServiceMonitor", "PrometheusRule"):
            self.assertEqual(one(self.found, kind)["metadata"]["labels"]["release"], "kube-prometheus-stack", kind)


class Charted(Promises, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.found = charted(MONITORED)

    def test_as_it_comes_it_needs_nothing_that_a_cluster_does_not_bring(self) -> None:
        found = charted()
        self.assertGreater(len(found), 5)
        self.assertEqual([each["kind"] for each in found if each["apiVersion"] in OTHERS], [])

    def test_pods_have_more_labels_and_annotations_and_are_selected_as_before(self) -> None:
        more = {"podLabels": {"team": "support"}, "podAnnotations": {"a.example/b": "true"}, "priorityClassName": "high"}
        plain, found = charted(), charted(more | {"serviceAccount": {"annotations": {"c.example/d": "e"}}})
        self.assertEqual(one(found, "Service")["spec"], one(plain, "Service")["spec"])
        self.assertEqual(one(found, "Deployment")["spec"]["selector"], one(plain, "Deployment")["spec"]["selector"])
        self.assertEqual(one(found, "ServiceAccount")["metadata"]["annotations"], {"c.example/d": "e"})
        self.assertNotIn("annotations", one(plain, "ServiceAccount")["metadata"])
        for kind in ("Deployment", "Job"):
            before, after = (one(each, kind)["spec"]["template"] for each in (plain, found))
            self.assertEqual(after["metadata"]["labels"], before["metadata"]["labels"] | {"team": "support"})
            self.assertEqual(after["metadata"]["annotations"], {"a.example/b": "true"})
            self.assertEqual(after["spec"]["priorityClassName"], "high")
            self.assertNotIn("annotations", before["metadata"])
            self.assertNotIn("priorityClassName", before["spec"])

    def test_no_variable_is_there_twice(self) -> None:
        found = charted({"env": {"MANDATE_LOG_FORMAT": "text", "MANDATE_MCP__WRITES": False}})
        for kind in ("Deployment", "Job"):
            names = [each["name"] for each in pod(found, kind)["containers"][0]["env"]]
            self.assertEqual(len(names), len(set(names)), kind)
        self.assertEqual(self.configured(found)["MANDATE_LOG_FORMAT"], "text")
        self.assertEqual(self.configured(found)["MANDATE_MCP__WRITES"], "false")

    def test_where_nobody_is_believed_no_variable_says_so(self) -> None:
        self.assertNotIn("MANDATE_TRUSTED_PROXIES", self.configured(charted({"trustedProxies": []})))

    def test_a_longer_drain_has_a_longer_grace(self) -> None:
        found = charted({"drainDelaySeconds": 120})
        self.assertEqual(self.configured(found)["MANDATE_DRAIN_DELAY"], "120s")
        self.assertEqual(pod(found)["terminationGracePeriodSeconds"], 165)

    def test_a_port_of_the_public_url_is_no_part_of_its_host(self) -> None:
        gateway = {"enabled": True, "parentRefs": [{"name": "g"}]}
        found = charted({"publicUrl": "https://tickets.example.com:8443", "gateway": gateway})
        self.assertEqual(one(found, "Ingress")["spec"]["rules"][0]["host"], "tickets.example.com")
        self.assertEqual(one(found, "Ingress")["spec"]["tls"][0]["hosts"], ["tickets.example.com"])
        self.assertEqual(one(found, "HTTPRoute")["spec"]["hostnames"], ["tickets.example.com"])

    def test_a_route_leads_to_the_service_and_lets_streams_be(self) -> None:
        found = charted({"gateway": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]}})
        route = one(found, "HTTPRoute")["spec"]
        self.assertEqual(route["parentRefs"], [{"name": "public", "namespace": "gateways"}])
        [rule] = route["rules"]
        service = one(found, "Service")
        self.assertEqual(rule["backendRefs"], [{"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}])
        self.assertEqual(rule["timeouts"], {"request": "0s", "backendRequest": "0s"})

    def test_nobody_is_let_through_by_a_list_that_is_empty(self) -> None:
        nobody = {"ingressNamespaces": [], "monitoringNamespaces": [], "dns": []}
        found = charted({"networkPolicy": nobody})
        self.assertEqual(rules_of(found, "ingress", "Deployment"), [])
        self.assertEqual(peers(rules_of(found, "egress", "Deployment"), 53, "to"), [])
        self.assertEqual(peers(rules_of(found, "egress", "Deployment"), 4317, "to"), [])

    def test_more_ways_and_other_neighbours_are_taken(self) -> None:
        way = {"to": [{"ipBlock": {"cidr": "10.20.0.5/32"}}], "ports": [{"port": 443}]}
        policy = {
            "ingressNamespaces": ["traefik", "edge"],
            "ingressCidrs": ["192.168.10.0/24"],
            "storeCidrs": ["10.9.0.0/24"],
            "extraEgress": [way],
        }
        found = charted({"networkPolicy": policy})
        comes_in = peers(rules_of(found, "ingress", "Deployment"), 8080, "from")
        self.assertEqual(comes_in, ["traefik", "edge", "192.168.10.0/24"])
        self.assertIn(way, rules_of(found, "egress", "Deployment"))
        self.assertNotIn(way, rules_of(charted(), "egress", "Deployment"))
        for component in ("Deployment", "Job"):
            self.assertIn("10.9.0.0/24", peers(rules_of(found, "egress", component), 5432, "to"))

    def test_the_migration_has_its_way_to_the_database_before_it_runs_and_ends_before_helm_gives_up(self) -> None:
        found = charted()
        job = one(found, "Job")
        hooks = "helm.sh/hook"
        policies = [each for each in found if each["kind"] == "NetworkPolicy" and hooks in each["metadata"].get("annotations", {})]
        [policy] = policies
        notes = policy["metadata"]["annotations"]
        self.assertEqual(notes[hooks], job["metadata"]["annotations"][hooks])
        self.assertLess(int(notes["helm.sh/hook-weight"]), int(job["metadata"]["annotations"].get("helm.sh/hook-weight", "0")))
        labels = job["spec"]["template"]["metadata"]["labels"].items()
        self.assertLessEqual(policy["spec"]["podSelector"]["matchLabels"].items(), labels)
        server = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        self.assertFalse(policy["spec"]["podSelector"]["matchLabels"].items() <= server, "it is there for a moment only")
        self.assertEqual({port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}, {53, 5432, 6379})
        self.assertLess(job["spec"]["activeDeadlineSeconds"], HELM_WAITS_S)

    def test_alerts_lead_to_the_book_that_the_values_name(self) -> None:
        rules = one(charted({"monitoring": {"enabled": True, "bookUrl": "https://docs.acme.example/mandate/"}}), "PrometheusRule")
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


class Versions(unittest.TestCase):
    def test_every_file_that_names_the_version_names_that_of_the_program(self) -> None:
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))
        named = {
            "Dockerfile": r"^ARG VERSION=(.+)$",
            "compose.yaml": r"image: mandate:(.+)$",
            "kubernetes/base/migrate.yaml": r"^  name: mandate-migrate-(.+)$",
            "kubernetes/production/kustomization.yaml": r"newTag: ([^}]+)}",
        }
        for path, where in named.items():
            found = re.findall(where, (DEPLOY / path).read_text(), re.MULTILINE)
            self.assertEqual(set(found), {version}, path)


if __name__ == "__main__":
    unittest.main()
