"""compose.yaml as people run it: a real engine, a real coturn in a container, nothing edited."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from signalpost.iceservers import parse_uri
from tests.lab.docker import ROOT, Images, Project
from tests.lab.netns import Site
from tests.lab.parts import SYSTEM_PATH
from tests.lab.ports import free_port
from tests.lab.prober import check
from turnctl.coturn.versions import is_too_old_for_public, parse_version

HEALTHY_DEADLINE = 120.0
SERVICES = ("init", "signal", "coturn", "probe")
USERS = {"init": "0:0", "signal": "10001:10001", "coturn": "65534:65534", "probe": "10005:10005"}
CAPABILITIES = {"init": {"SETUID", "SETGID"}, "coturn": {"NET_BIND_SERVICE"}}
PORTS = (
    "PORT", "TURN_PORT", "TURN_NEXT_PORT", "EDGE_TURN_PORT", "EDGE_TURN_NEXT_PORT", "PROBE_PORT",
)  # fmt: skip
DATA = "/var/lib/signalpost"


@pytest.fixture(scope="module")
def override(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a test needs beside: health that is asked for at once, and no metrics listener of the
    service on this host. Where `make up` builds, the build reaches the package index."""
    path = tmp_path_factory.mktemp("compose") / "test.yaml"
    path.write_text(
        """
services:
  init: {build: {network: host}}
  signal: {environment: {SIGNALPOST_METRICS__PORT: "0"}, healthcheck: {interval: 2s}}
  probe: {healthcheck: {interval: 2s}}
"""
    )
    return path


def environment(images: Images, **more: str) -> dict[str, str]:
    return {
        **images.environment,
        **{name: str(free_port()) for name in PORTS},
        "PROBE_INTERVAL": "2",
        "NO_STUN": "1",
        **more,
    }


@pytest.fixture(scope="module")
def stack(images: Images, override: Path) -> Iterator[Project]:
    """The deployment, up."""
    project = Project("stack", environment(images), (ROOT / "compose.yaml", override))
    with project.up():
        yield project


def url(project: Project, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{project.environment['PORT']}"


def wait_healthy(project: Project, service: str) -> None:
    deadline = time.monotonic() + HEALTHY_DEADLINE
    while (health := project.health(service)) != "healthy":
        assert time.monotonic() < deadline, f"{service} is {health}"
        time.sleep(0.2)


def checked(project: Project, site: Site) -> dict[str, Any]:
    """The report of `turnctl check` for a client two routers away, which finds nothing wrong but
    that there is no TLS."""
    done = check(url(project, site.server.address), inside=site.client)
    assert set() == done.codes("fail", "warn") - {"no-tls-443"}, done.report
    assert 0 == done.status
    return done.report


def test_data_goes_through_the_relay(stack: Project, two_routers_away: Site) -> None:
    """From behind a NAT every URL carries data and loses none; the probe comes to the same
    result."""
    wait_healthy(stack, "probe")
    wait_healthy(stack, "signal")
    report = checked(stack, two_routers_away)
    relays = [row for row in report["urls"] if row["url"].startswith("turn:")]
    assert {"udp", "tcp"} == {parse_uri(row["url"]).transport for row in relays}
    assert all(row["received"] == row["sent"] > 0 for row in relays)
    assert {two_routers_away.router.address} == {row["mapped"].split(":")[0] for row in relays}


def test_a_host_with_only_docker_can_check(stack: Project) -> None:
    """`docker compose exec signal turnctl check` needs nothing on the host."""
    wait_healthy(stack, "probe")
    done = stack.compose("exec", "-T", "signal", "turnctl", "check", url(stack))
    assert "relay paths carry data" in done.stdout


def test_probe_tells_when_the_relay_is_gone(stack: Project) -> None:
    """Without coturn the probe turns unhealthy, and healthy again with it."""
    wait_healthy(stack, "probe")
    stack.compose("stop", "coturn")
    try:
        deadline = time.monotonic() + HEALTHY_DEADLINE
        while stack.health("probe") != "unhealthy":
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        stack.compose("start", "coturn")
    wait_healthy(stack, "probe")


def test_probe_has_metrics_for_this_host(stack: Project) -> None:
    """Prometheus on this host finds the relay's round trips at PROBE_PORT of the loopback."""
    wait_healthy(stack, "probe")
    endpoint = f"http://127.0.0.1:{stack.environment['PROBE_PORT']}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(endpoint, timeout=60) as response:
        assert b"turnctl_relay_rtt_seconds{" in response.read()


def test_coturn_takes_every_line(stack: Project) -> None:
    """The coturn of the image knows every option that init wrote for its version."""
    log = stack.compose("logs", "coturn").stdout
    assert "Relay ports initialization done" in log
    assert re.findall(r".*(?:Bad config|Unknown|CONFIG ERROR|deprecated).*", log) == []


def test_files_belong_to_who_needs_them(stack: Project) -> None:
    """Each to the one service that reads it, which may read its secrets and no more."""
    listed = owners(stack, "signal", "turn-secret", "api-key", "token-key", "id-key", ".")
    keys = dict.fromkeys(("turn-secret", "api-key", "token-key", "id-key"), "400 10001")
    assert keys | {".": "711 10001"} == listed
    home = f"{DATA}/coturn"
    assert {
        f"{home}/turnserver.conf": "400 65534",
        f"{home}/turndb": "600 65534",
        home: "700 65534",
    } == owners(stack, "coturn", f"{home}/turnserver.conf", f"{home}/turndb", home)
    assert {"probe/api-key": "400 10005"} == owners(stack, "probe", "probe/api-key")


def owners(stack: Project, service: str, *paths: str) -> dict[str, str]:
    """Mode and owner of files as a service sees them."""
    said = stack.compose("exec", "-T", service, "stat", "-c", "%n %a %u", *paths).stdout
    return {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines()}


def test_coturn_sees_no_key(stack: Project) -> None:
    """In coturn's container the data directory holds its own part and nothing else."""
    seen = stack.compose("exec", "-T", "coturn", "ls", DATA).stdout.split()
    assert seen == ["coturn"]


OWN = {"coturn": "coturn/turnserver.conf", "probe": "probe/api-key", "signal": "id-key"}
"""Service → a file that it alone reads."""
OTHERS = ("10001", "65534", "10003", "10004", "10005")


@pytest.fixture(scope="module")
def readers(stack: Project) -> dict[str, set[str]]:
    """File → the users of services that can read it, with all volumes before them, as `init` has
    them. Root becomes each of these users, as it does there."""
    script = "".join(
        f"setpriv --reuid {user} --regid {user} --clear-groups cat {DATA}/{path} >/dev/null"
        f" && echo {path} {user}\n"
        for path in OWN.values()
        for user in OTHERS
    )
    shell = ("--no-deps", "--entrypoint", "sh", "init", "-c", f"{script}true")
    said = stack.compose("run", "--rm", "-T", *shell).stdout
    read = [line.split() for line in said.splitlines()]
    return {path: {user for one, user in read if one == path} for path in OWN.values()}


@pytest.mark.parametrize("service", OWN)
def test_no_service_reads_anothers_files(readers: dict[str, set[str]], service: str) -> None:
    """A file is for its own user alone."""
    assert {USERS[service].partition(":")[0]} == readers[OWN[service]]


@pytest.mark.parametrize("service", SERVICES)
def test_containers_are_hardened(stack: Project, service: str) -> None:
    """Nobody can become more, or writes outside the volumes; who listens is not root. `init`, which
    is, has two rights, listens nowhere, and sees beside the volumes the folder of .env."""
    container = stack.inspect(service)
    host = container["HostConfig"]
    assert USERS[service] == container["Config"]["User"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    added = {name.removeprefix("CAP_") for name in host["CapAdd"] or []}
    assert CAPABILITIES.get(service, set()) == added
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Privileged"] is False
    assert host["NetworkMode"] == "host"
    binds = [one["Destination"] for one in container["Mounts"] if one["Type"] == "bind"]
    assert (["/project"] if service == "init" else []) == binds


def test_only_init_writes_to_the_data(stack: Project) -> None:
    """Service and probe see the data directory read-only."""
    for service in ("signal", "probe"):
        mounts = stack.inspect(service)["Mounts"]
        assert [mount["RW"] for mount in mounts if mount["Type"] == "volume"] == [False]


def test_again_keeps_the_secret_and_takes_new_settings(
    stack: Project, two_routers_away: Site
) -> None:
    """A changed setting reaches init, service and coturn with one `up`; the secret stays."""
    read = ("exec", "-T", "signal", "cat", f"{DATA}/turn-secret")
    before = stack.compose(*read).stdout
    changed = Project(stack.word, {**stack.environment, "TURN_PORT": str(free_port())}, stack.files)
    changed.compose("up", "--detach")
    wait_healthy(changed, "probe")
    report = checked(changed, two_routers_away)
    assert f":{changed.environment['TURN_PORT']}?" in report["urls"][-1]["url"]
    assert changed.compose(*read).stdout == before


def test_make_up_through_docker(images: Images, override: Path) -> None:
    """`make up` brings the same up and down, and tells where it is and what the check found."""
    # It builds and names its image itself.
    own = environment(images, SIGNALPOST_IMAGE="signalpost-test/up:latest")
    project = Project("up", own, (ROOT / "compose.yaml", override))
    done = subprocess.run(
        [sys.executable, "-m", "deploy.up", "--engine", "docker", "--once"],
        cwd=ROOT,
        env={
            "PATH": SYSTEM_PATH,
            "HOME": str(Path.home()),
            "COMPOSE_PROJECT_NAME": project.name,
            "COMPOSE_FILE": ":".join(map(str, project.files)),
            **project.environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PASS  2 of 2 relay paths carry data" in done.stdout
        assert f"service: {url(project)}" in done.stderr
        assert project.compose("ps", "--all", "--quiet").stdout == ""
    finally:
        project.down()


def test_env_example_tells_every_variable() -> None:
    """.env.example and compose.yaml name the same variables, with the same defaults."""
    text = (ROOT / "compose.yaml").read_text()
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    del used["COTURN_NEXT_IMAGE"]  # deploy/upgrade's own
    shown = dict(
        re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert used.keys() == shown.keys()
    assert {name: value for name, value in used.items() if value} == {
        name: shown[name] for name, value in used.items() if value
    }


def test_default_image_is_fit_for_the_internet() -> None:
    """The coturn pinned in compose.yaml has no known hole, and init is told its version."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    pinned = parse_version(services["coturn"]["image"])
    assert not is_too_old_for_public(pinned)
    assert parse_version(services["init"]["environment"]["COTURN_VERSION"]) == pinned
    # What the image's tag says reaches init too: a person may have set COTURN_IMAGE alone.
    assert f"--coturn-image={services['coturn']['image']}" in services["init"]["entrypoint"]
