# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example for Kubernetes: it conforms to the schemas of several versions, and the names in it exist."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

FILE = Path(__file__).resolve().parent.parent.parent / "examples" / "kubernetes" / "fleet.yaml"
BINARY = os.environ["TCP_TUNNEL_BIN"]
VERSIONS = "1.27", "1.30", "1.33"


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.documents = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8")))
        cls.by_name = {(document["kind"], document["metadata"]["name"]): document for document in cls.documents}

    def pods(self):
        for document in self.documents:
            if document["kind"] in ("StatefulSet", "Deployment"):
                yield document, document["spec"]["template"]["spec"]

    def test_schemas(self):
        self.assertEqual(len(self.by_name), len(self.documents))
        for version in VERSIONS:
            for document in self.documents:
                with self.subTest(version=version, document=document["metadata"]["name"]):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_selectors(self):
        """Each selector selects the intended pods."""
        labels = {tuple(document["spec"]["template"]["metadata"]["labels"].items()) for document, _ in self.pods()}
        for document in self.documents:
            selector = document.get("spec", {}).get("selector")
            if selector is not None:
                self.assertIn(tuple(selector.get("matchLabels", selector).items()), labels)

    def test_references(self):
        config_maps = {name for kind, name in self.by_name if kind == "ConfigMap"}
        for document, pod in self.pods():
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            for volume in volumes.values():
                if "configMap" in volume:
                    self.assertIn(volume["configMap"]["name"], config_maps)
            for container in pod["containers"]:
                ports = {port["name"] for port in container["ports"]}
                self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, set(volumes))
                for probe in "livenessProbe", "readinessProbe":
                    self.assertIn(container.get(probe, {"httpGet": {"port": "tunnels"}})["httpGet"]["port"], ports)
        self.assertIn(("Service", self.by_name["StatefulSet", "gateway"]["spec"]["serviceName"]), self.by_name)
        backend = self.by_name["Ingress", "tunnels"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        ports = {port["name"] for port in self.by_name["Service", backend["name"]]["spec"]["ports"]}
        self.assertIn(backend["port"]["name"], ports)

    def test_containers_are_confined(self):
        for _, pod in self.pods():
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
            for container in pod["containers"]:
                context = container["securityContext"]
                self.assertEqual((context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"],
                                  context["capabilities"]), (True, False, {"drop": ["ALL"]}))

    def test_gateway(self):
        """The command accepts the file, and ends in time."""
        text = self.by_name["ConfigMap", "gateway"]["data"]["gateway.conf"]
        directory = self.enterContext(tempfile.TemporaryDirectory())
        tokens = Path(directory, "tokens")
        tokens.write_text("alice:some-token\n")
        file = Path(directory, "gateway.conf")
        self.assertIn("/run/secrets/gateway/tokens", text)
        file.write_text(text.replace("/run/secrets/gateway/tokens", str(tokens)))
        done = subprocess.run([BINARY, "gateway", "--check", "--config", file, "--route", "gateway-0"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        minutes, = (int(line[len("drain-timeout="):-len("min")]) for line in text.splitlines() if line.startswith("drain-timeout="))
        self.assertLess(minutes * 60, self.by_name["StatefulSet", "gateway"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])

    def test_balancer(self):
        """HAProxy accepts its configuration."""
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            self.assertNotEqual(os.environ.get("CI"), "true", "haproxy is missing")
            self.skipTest("haproxy is missing")
        file = Path(self.enterContext(tempfile.TemporaryDirectory()), "haproxy.cfg")
        file.write_text(self.by_name["ConfigMap", "balancer"]["data"]["haproxy.cfg"])
        done = subprocess.run([program, "-c", "-f", file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


unittest.main(argv=[sys.argv[0]], verbosity=2)
