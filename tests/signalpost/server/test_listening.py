"""Where the service listens, seen from another machine."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import netns
from tests.lab.coturn import within
from tests.lab.netns import SERVER, SERVER6, Internet, Kind, Namespace
from tests.lab.prober import TURNCTL
from tests.lab.programs import started

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))


def answers(namespace: Namespace, url: str) -> bool:
    """Whether the service answers there, asked from inside of this namespace."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=60) as answer:  # noqa: S310
                return bool(json.load(answer)["status"] == "ok")
        except OSError:
            return False

    return within(namespace.name, ask)


@contextmanager
def serving(server: Namespace, home: Path, host: str) -> Iterator[None]:
    settings = {
        "http": {"host": host, "port": 8080},
        "metrics": {"host": host, "port": 9464},
        "turn": {"secrets": ["a-turn-secret-0123456789"]},
        "auth": {"id_key": "an-id-key-of-the-lab"},
    }
    path, log = home / "signalpost.yaml", home / "log"
    path.write_text(json.dumps(settings))
    with started(
        [SIGNALPOST, "serve", "--config", str(path)],
        log,
        ready=lambda: log.exists() and '"listening"' in log.read_text(),
        namespace=server.name,
    ):
        yield


@pytest.fixture
def internet() -> Iterator[Internet]:
    with netns.internet() as made:
        yield made


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", [True, True, True]),
        ("0.0.0.0", [True, False, True]),
        (SERVER6, [False, True, False]),
        (SERVER, [True, False, False]),
    ],
)
def test_both_families(host: str, reached: list[bool], internet: Internet, tmp_path: Path) -> None:
    """`::` is every address of both families, and every other address is itself."""
    client = internet.join("dual-stack").client
    with serving(internet.server, tmp_path, host):
        asked = [(client, f"http://{SERVER}:8080"), (client, f"http://[{SERVER6}]:8080")]
        asked.append((internet.server, "http://127.0.0.1:8080"))
        assert reached == [answers(*one) for one in asked]


def test_without_ipv6(internet: Internet, tmp_path: Path) -> None:
    """A host whose kernel has IPv6 switched off is reached over IPv4 by the same setting."""
    internet.server.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)
    with serving(internet.server, tmp_path, "::"):
        assert answers(internet.join("port-restricted").client, f"http://{SERVER}:8080")


@pytest.mark.parametrize(("kind", "url"), [("ipv6-only", SERVER6), ("port-restricted", SERVER)])
def test_as_init_writes_it(kind: Kind, url: str, internet: Internet, tmp_path: Path) -> None:
    """A host with IPv6 alone is reached by what `turnctl init` writes, and so is any other."""
    server = internet.server
    family = "-4" if kind == "ipv6-only" else "-6"
    for device in json.loads(server.run(["ip", "-j", "link"], check=True).stdout):
        if device["ifname"] != "lo":
            server.run(["ip", family, "address", "flush", "dev", device["ifname"]], check=True)
    init = [TURNCTL, "init", "--dir", str(tmp_path / "data"), "--no-stun"]
    done = server.run([*init, "--coturn-version", "4.18.0", "--env-file", str(tmp_path / ".env")])
    assert done.returncode == 0, done.stderr
    log = tmp_path / "log"
    with started(
        [SIGNALPOST, "serve", "--config", str(tmp_path / "data" / "signalpost.yaml")],
        log,
        ready=lambda: log.exists() and '"listening"' in log.read_text(),
        namespace=server.name,
    ):
        shown = f"[{url}]" if ":" in url else url
        assert answers(internet.join(kind).client, f"http://{shown}:8080")
