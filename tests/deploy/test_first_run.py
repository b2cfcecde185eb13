"""The first `docker compose up` on a fresh host: how soon, with a name, and after mistakes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.docker import ROOT, Images, Project
from tests.lab.netns import Site
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL
from turnctl.deployment.servicefile import EDGE_ADDRESS

DEADLINE = 120.0
DOMAIN = "turn.example.org"
DATA = "/var/lib/signalpost"
PORTS = (
    "PORT", "TURN_PORT", "TURN_NEXT_PORT", "EDGE_TURN_PORT", "EDGE_TURN_NEXT_PORT", "PROBE_PORT",
    "METRICS_PORT", "HTTP_PORT", "HTTPS_PORT", "ACME_PORT",
)  # fmt: skip


@pytest.fixture
def fresh(images: Images, tmp_path: Path) -> Iterator[Project]:
    """A copy of what a person has after `git clone`, whose folder is another user's; ports that
    are free; and afterwards nothing left of it."""
    folder = tmp_path / "signalpost"
    folder.mkdir()
    for name in ("compose.yaml", "compose.bridge.yaml", ".env.example"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    os.chown(folder, 12345, 12345)
    environment = {
        **images.environment,
        # Nobody answers there, so the edge keeps the certificate that it starts with.
        "ACME_DIRECTORY": "https://127.0.0.1:1/directory",
        "NO_STUN": "1",
        **{name: str(free_port()) for name in PORTS},
    }
    project = Project("first", environment, (folder / "compose.yaml",))
    try:
        yield project
    finally:
        project.down()


def check(project: Project, site: Site) -> subprocess.CompletedProcess[str]:
    """Whether data goes through the relays, by a client two routers away."""
    url = f"http://{site.server.address}:{project.environment['PORT']}"
    return site.run([TURNCTL, "check", "--relay-only", url], timeout=DEADLINE)


def test_from_nothing_to_a_passing_check(
    fresh: Project, two_routers_away: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command, nothing edited; how long it took is printed."""
    begun = time.monotonic()
    fresh.compose("up", "--detach")
    up = time.monotonic() - begun
    deadline = time.monotonic() + DEADLINE
    while (done := check(fresh, two_routers_away)).returncode != 0:
        assert time.monotonic() < deadline, done.stdout
    passed = time.monotonic() - begun
    with capsys.disabled():
        print(f"\nfrom nothing: up after {up:.1f} s, check passed after {passed:.1f} s")  # noqa: T201
    assert "relay paths carry data" in done.stdout


def test_a_domain_takes_three_commands(fresh: Project, own_address: str) -> None:
    """`git clone`, `init --domain`, `up`: then the service is behind the edge alone, hands out TURN
    over TLS on the edge's port, and .env belongs to whoever owns the folder."""
    ran = fresh.compose("run", "--rm", "-T", "init", "--domain", DOMAIN, "--email", "you@a.example")
    env = fresh.files[0].parent / ".env"
    assert f"DOMAIN={DOMAIN}\nACME_EMAIL=you@a.example\n" in env.read_text()
    assert (12345, 12345) == (env.stat().st_uid, env.stat().st_gid)
    assert f"DNS records of {DOMAIN}:" in ran.stdout
    assert "49152-65535/udp" in ran.stdout
    fresh.compose("up", "--detach")
    deadline = time.monotonic() + DEADLINE
    while (document := through_the_edge(fresh)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    turn, tls = fresh.environment["TURN_PORT"], fresh.environment["HTTPS_PORT"]
    assert {
        f"stun:{DOMAIN}:{turn}",
        f"turn:{DOMAIN}:{turn}?transport=udp",
        f"turn:{DOMAIN}:{turn}?transport=tcp",
        f"turns:{DOMAIN}:{tls}?transport=tcp",
    } == {url for server in document["iceServers"] for url in server["urls"]}
    settings = fresh.compose("exec", "-T", "signal", "signalpost", "config").stdout
    assert EDGE_ADDRESS in settings
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((own_address, int(fresh.environment["PORT"])), timeout=5),
    ):
        pass
    # Again, with everything of it running: its own programs are in nobody's way.
    fresh.compose("run", "--rm", "-T", "init")


def through_the_edge(project: Project) -> dict[str, list[dict[str, list[str]]]] | None:
    """iceServers as a page of the name gets them, None while the edge or the service starts."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(
        f"https://127.0.0.1:{project.environment['HTTPS_PORT']}/v1/ice-servers",
        headers={"Origin": f"https://{DOMAIN}"},
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with contextlib.suppress(OSError), opener.open(request, timeout=5) as response:
        document: dict[str, list[dict[str, list[str]]]] = json.load(response)
        return document
    return None


# --- mistakes ----------------------------------------------------------------------------------


def refused(project: Project, *words: str) -> None:
    """`docker compose up` fails, `init` says why in words that name what to do, and nothing else
    of the deployment was started."""
    done = project.compose("up", "--detach", check=False)
    said = project.compose("logs", "--no-log-prefix", "--tail", "3", "init").stdout
    assert 0 != done.returncode
    for word in words:
        assert word in said
    assert "Traceback" not in said
    running = project.compose("ps", "--services", "--status", "running").stdout
    assert "" == running.strip()


def accepted(project: Project, site: Site) -> None:
    project.compose("up", "--detach")
    deadline = time.monotonic() + DEADLINE
    while (done := check(project, site)).returncode != 0:
        assert time.monotonic() < deadline, done.stdout


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("DOMAIN", f"https://{DOMAIN}", ("is a URL; give only the name in it",)),
        ("EXTERNAL_IP", "my.host.example", ("EXTERNAL_IP", "is not an IP address such as")),
        ("COTURN_VERSION", "4.17.1", ("coturn 4.17.1 is broken", "Use coturn 4.18.0 or later")),
    ],
)
def test_a_wrong_setting(
    fresh: Project, two_routers_away: Site, setting: str, value: str, words: tuple[str, ...]
) -> None:
    """One line of `init` names the variable and what it takes; mended, the next `up` works."""
    refused(replace(fresh, environment={**fresh.environment, setting: value}), *words)
    accepted(fresh, two_routers_away)


@pytest.mark.parametrize("variable", ["PORT", "TURN_PORT", "HTTPS_PORT", "METRICS_PORT"])
def test_a_busy_port(fresh: Project, two_routers_away: Site, variable: str) -> None:
    """Another program on 8080, 3478, 443 or 9464 is told with the command that names it."""
    port = int(fresh.environment[variable])
    named = replace(fresh, environment={**fresh.environment, "DOMAIN": DOMAIN})
    with socket.create_server(("0.0.0.0", port)):
        refused(named, f"port {port}", "ss -lntup", f"set {variable} in .env")
    accepted(fresh, two_routers_away)


def test_no_address_at_all(fresh: Project, two_routers_away: Site, tmp_path: Path) -> None:
    """A host without a network is told what a relay needs."""
    offline = tmp_path / "offline.yaml"
    offline.write_text("services: {init: {network_mode: none}}")
    refused(replace(fresh, files=(*fresh.files, offline)), "only loopback addresses", "--listen")
    accepted(fresh, two_routers_away)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("printf '\"0123456789abcdef0123\"' > turn-secret; chmod 600 turn-secret", ("quotes",)),
        (": > api-key; chmod 600 api-key", ("api-key is empty",)),
    ],
)
def test_a_spoiled_secret(
    fresh: Project, two_routers_away: Site, spoil: str, words: tuple[str, ...]
) -> None:
    """By hand, or by a disk that was full: its file and the way out are named, and nothing is made
    of it. Removed, the next `up` makes another."""

    def shell(command: str) -> None:
        fresh.compose(
            "run", "--rm", "-T", "--no-deps", "--user", "10001", "--entrypoint", "sh", "init",
            "-c", f"cd {DATA} && {command}",
        )  # fmt: skip

    shell(spoil)
    refused(fresh, *words)
    shell("rm turn-secret api-key 2>/dev/null; true")
    accepted(fresh, two_routers_away)


def test_a_volume_that_a_killed_run_left(fresh: Project, two_routers_away: Site) -> None:
    """Half of the files, some of them unfinished: `up` goes on from there."""
    fresh.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "init", "-c",
        f"turnctl init --dir={DATA} & until [ -e {DATA}/turn-secret ]; do :; done; kill -9 $!",
    )  # fmt: skip
    accepted(fresh, two_routers_away)
