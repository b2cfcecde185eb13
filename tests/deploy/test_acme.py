"""compose's own way to a certificate: the services of the profile `tls` in their containers, and
outside of them a CA that validates the name as public ones do.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import acme
from tests.lab.certs import Authority
from tests.lab.deployment import DOMAIN, wait_until
from tests.lab.docker import ROOT, Images, Project
from tests.lab.names import names
from tests.lab.netns import Site
from tests.lab.ports import free_port
from tests.lab.prober import check
from turnctl.deployment.edge.certificate import fingerprint
from turnctl.diagnosis.placeholder import ISSUER

PORTS = (
    "PORT", "TURN_PORT", "TURN_NEXT_PORT", "EDGE_TURN_PORT", "EDGE_TURN_NEXT_PORT", "METRICS_PORT",
    "PROBE_PORT", "HTTP_PORT", "HTTPS_PORT", "ACME_PORT",
)  # fmt: skip

# As docs/deploy.md says under "A CA of your own".
OVERRIDE = """
services:
  acme:
    environment:
      ACME_CA_FILE: /own/root.pem
    volumes:
      - {folder}:/own:ro
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder as a person has it after `git clone`, and a CA for it. Programs that go by `hosts`
    find the name at this host's address, as the client two routers away does."""

    folder: Path
    hosts: Path
    site: Site
    trust: Path
    ports: dict[str, int]
    ca_ports: tuple[int, int]

    @property
    def project(self) -> Project:
        files = (self.folder / "compose.yaml", self.folder / "compose.override.yaml")
        return Project("acme", {}, files)

    def ca(self) -> AbstractContextManager[acme.Ca]:
        port, management_port = self.ca_ports
        return acme.ca(
            self.trust,
            namespace=None,
            http_port=self.ports["HTTP_PORT"],
            port=port,
            management_port=management_port,
            hosts=self.hosts,
        )

    def up(self) -> None:
        """The commands of docs/deploy.md."""
        self.project.compose("run", "--rm", "-T", "init", "--domain", DOMAIN)
        self.project.compose("up", "--detach")

    def log(self) -> list[dict[str, str]]:
        """What acme said, each line an object."""
        said = self.project.compose("logs", "--no-log-prefix", "acme").stdout
        return [json.loads(line) for line in said.splitlines()]

    def wait_for(self, event: str, times: int = 1) -> None:
        wait_until(
            lambda: times == sum(event == line["event"] for line in self.log()),
            lambda: str(self.log()),
        )

    def served(self, root: Path | None = None) -> bytes:
        """The certificate that a client gets, verified with `root` where that is given."""
        context = ssl.create_default_context(cafile=root)
        if root is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection(("127.0.0.1", self.ports["HTTPS_PORT"]), 60) as raw,
                context.wrap_socket(raw, server_hostname=DOMAIN) as tls,
            ):
                return tls.getpeercert(binary_form=True) or b""
        except OSError as error:
            said = self.project.compose("logs", "edge").stdout
            raise AssertionError(f"{self.edge()}\n{said}") from error

    def edge(self) -> tuple[str, int]:
        """When it was started, and how often anew."""
        found = self.project.inspect("edge")
        return found["State"]["StartedAt"], found["RestartCount"]

    def check(self, root: Path) -> dict[str, Any]:
        """`turnctl check` of the name, as `init` says to call it, by the client."""
        key = self.folder / "api-key"
        key.touch(mode=0o600)
        key.write_text(self.project.compose("exec", "-T", "signal", "cat", "api-key").stdout)
        url = f"https://{DOMAIN}:{self.ports['HTTPS_PORT']}"
        options = ["--family", "4", "--ca", str(root), "--api-key-file", str(key)]
        with names(self.site.client, DOMAIN, [self.site.server.address]):
            return check(*options, url, inside=self.site.client).report


@pytest.fixture
def deployment(
    images: Images, tmp_path: Path, own_address: str, two_routers_away: Site
) -> Iterator[Deployment]:
    """Nothing of it runs yet."""
    folder, trust, hosts = tmp_path / "signalpost", tmp_path / "trust", tmp_path / "hosts"
    trust.mkdir()
    hosts.write_text(f"127.0.0.1 localhost\n{own_address} {DOMAIN}\n")
    ca_port, management_port = free_port(), free_port()
    ports = {name: free_port() for name in PORTS}
    settings = {
        **ports,
        **images.environment,
        "ACME_DIRECTORY": f"https://127.0.0.1:{ca_port}/dir",
        "NO_STUN": "1",
    }
    folder.mkdir()
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / "compose.override.yaml").write_text(OVERRIDE.format(folder=trust))
    (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    made = Deployment(folder, hosts, two_routers_away, trust, ports, (ca_port, management_port))
    try:
        yield made
    finally:
        made.project.down()


def test_three_commands_to_a_trusted_certificate(deployment: Deployment) -> None:
    """From nothing to a check that verifies the certificate and relays over TLS; a renewal asked
    for is served too, and the edge never started anew."""
    with deployment.ca() as ca:
        deployment.up()
        begun = deployment.edge()
        deployment.wait_for("certificate-served")
        first = deployment.served(ca.root)
        report = deployment.check(ca.root)
        assert "fail" != report["verdict"], report["findings"]
        (tls,) = [url for url in report["urls"] if url["url"].startswith("turns:")]
        assert ("pass", True) == (tls["verdict"], 0 < tls["sent"] == tls["received"])

        deployment.project.compose("kill", "--signal", "HUP", "acme")
        deployment.wait_for("certificate-served", 2)
        assert fingerprint(first) != fingerprint(deployment.served(ca.root))
        assert begun == deployment.edge()


def test_a_ca_that_is_not_there(deployment: Deployment) -> None:
    """One line says so and when it is tried again, and the edge shows its own certificate; once
    the CA answers, a SIGHUP is enough."""
    Authority(deployment.trust)  # a root there is, before the CA runs
    deployment.up()
    begun = deployment.edge()
    deployment.wait_for("certificate-missing")
    (line,) = [one for one in deployment.log() if one["event"] == "certificate-missing"]
    assert "doesn't answer: make sure that this host can connect to it. Next try" in line["message"]
    assert ISSUER.encode() in deployment.served()
    with deployment.ca() as ca:
        deployment.project.compose("kill", "--signal", "HUP", "acme")
        deployment.wait_for("certificate-served")
        assert DOMAIN.encode() in deployment.served(ca.root)
    assert begun == deployment.edge()
