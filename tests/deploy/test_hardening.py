"""compose.yaml as an attacker inside a container would like it: every weakness has its reason."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker import ROOT
from tests.lab.parts import MISSING, SYSTEM_PATH, require

Service = dict[str, Any]

EVERY = "every service"
RELAYS = ("coturn", "coturn-edge", "coturn-next", "coturn-edge-next")
STEWARDS = ("init", "rotate")
EXPLAINED: Mapping[tuple[str, str], str] = {
    (EVERY, "host network"): "16,000 relay ports; clients are limited by their own addresses",
    **{(one, "root"): "takes the user of each directory, listens nowhere" for one in STEWARDS},
    **{(one, "adds SETUID"): "to become that user" for one in STEWARDS},
    **{(one, "adds SETGID"): "to become that user" for one in STEWARDS},
    **{(one, "no restart"): "runs once and ends" for one in STEWARDS},
    ("init", "writes to the host"): "`.env` in the project's folder, as that folder's owner",
    ("rotate", "writes to the host"): "has init's volumes, and does not write there",
    ("edge", "root"): "until 80 and 443 are bound, then 10002",
    ("edge", "adds NET_BIND_SERVICE"): "to bind 80 and 443",
    ("edge", "adds SETUID"): "to become 10002",
    ("edge", "adds SETGID"): "to become 10002",
    **{(one, "adds NET_BIND_SERVICE"): "turnserver carries it as a file" for one in RELAYS},
    ("coturn-next", "shares its user"): "with coturn, beside which it runs during an upgrade",
    ("coturn-edge-next", "shares its user"): "with coturn-edge, as above",
}
"""What stays, and why. docs/deploy.md shows the same table."""

SECRET = re.compile(r"SECRET|PASSW|TOKEN|CREDENTIAL|(API|PRIVATE|ACCESS)[_-]?KEY", re.IGNORECASE)


def weaknesses(name: str, service: Service) -> Iterator[str]:
    """What is weak about one service, as `docker compose config` has it."""
    if re.match(r"(0|root)?(:|$)", str(service.get("user", ""))):
        yield "root"
    if service.get("network_mode") == "host":
        yield "host network"
    if not service.get("read_only"):
        yield "writable root"
    if service.get("cap_drop") != ["ALL"]:
        yield "keeps capabilities"
    for capability in service.get("cap_add") or ():
        yield f"adds {capability}"
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        yield "may gain privileges"
    if any("unconfined" in option for option in service.get("security_opt", ())):
        yield "unconfined"
    if not int(service.get("mem_limit", 0)):
        yield "no memory limit"
    if service.get("pids_limit", 0) <= 0:
        yield "no pids limit"
    if not service.get("logging", {}).get("options", {}).get("max-size"):
        yield "endless log"
    if service.get("privileged") or service.get("devices"):
        yield "privileged"
    for namespace in ("pid", "ipc", "userns_mode", "uts", "cgroup"):
        if service.get(namespace) == "host":
            yield f"the host's {namespace}"
    if service.get("restart") != "unless-stopped":
        yield "no restart"
    built = service.get("build") or service.get("pull_policy") == "never"
    if not built and not re.search(r":v?\d+\.\d+|@sha256:", service["image"]):
        yield "image without a version"
    for mount in service.get("volumes", ()):
        if str(mount.get("source", "")).endswith("docker.sock"):
            yield "Docker's socket"
        if mount["type"] == "bind" and not mount.get("read_only"):
            yield "writes to the host"
    for key, value in (service.get("environment") or {}).items():
        if value and SECRET.search(key) and not key.endswith("_FILE"):
            yield f"secret in the environment: {key}"
    for argument in (*(service.get("command") or ()), *(service.get("entrypoint") or ())):
        option, _, value = argument.partition("=")
        if SECRET.search(option) and not option.endswith("-file"):
            yield f"secret in the command: {option}"


def all_weaknesses(services: Mapping[str, Service]) -> set[tuple[str, str]]:
    """Of all services; those with the user of an earlier one are weak too."""
    found = {
        (name, what) for name, service in services.items() for what in weaknesses(name, service)
    }
    owners: dict[str, str] = {}
    for name, service in services.items():
        user = str(service.get("user")).partition(":")[0]
        # Root is a finding of its own.
        if user != "0" and owners.setdefault(user, name) != name:
            found.add((name, "shares its user"))
    return found


def compose(*arguments: str, files: tuple[str, ...] = ("compose.yaml",), **environment: str) -> str:
    """Standard output of docker compose, which must say nothing else."""
    require("docker")
    argv = ["docker", "compose", *(part for file in files for part in ("--file", file))]
    done = subprocess.run(
        [*argv, *arguments],
        cwd=ROOT,
        env={"PATH": SYSTEM_PATH, "HOME": str(Path.home()), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if "is not a docker command" in done.stderr:
        pytest.skip(f"{MISSING}docker compose")
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    """Every service of every profile, as docker compose understands it."""
    shown = json.loads(compose("--profile", "*", "config", "--format", "json"))
    found: dict[str, Service] = shown["services"]
    return found


def test_every_weakness_is_explained(services: dict[str, Service]) -> None:
    """No service has a weakness without a reason, and no reason stands without its weakness."""
    expected = {
        (name, what)
        for service, what in EXPLAINED
        for name in (services if service == EVERY else (service,))
    }
    assert expected == all_weaknesses(services)


def test_bridge_is_no_weaker() -> None:
    """compose.bridge.yaml adds no weakness: published ports replace the host's network."""
    files = ("compose.yaml", "compose.bridge.yaml")
    shown = compose("config", "--format", "json", files=files, EXTERNAL_IP="192.0.2.1")
    found = all_weaknesses(json.loads(shown)["services"])
    assert set() == found - EXPLAINED.keys()


@pytest.mark.parametrize("profile", ["tls", "upgrade", "tools", "observe", "*"])
def test_compose_takes_every_profile(profile: str) -> None:
    """docker compose reads each profile without an error or a warning."""
    compose("--profile", profile, "config", "--quiet")


@pytest.mark.parametrize(
    ("expected", "weaken"),
    [
        ("root", lambda one: one.update(user="0:0")),
        ("root", lambda one: one.pop("user")),
        ("root", lambda one: one.update(user="root")),
        ("writable root", lambda one: one.pop("read_only")),
        ("keeps capabilities", lambda one: one.pop("cap_drop")),
        ("adds SYS_ADMIN", lambda one: one.update(cap_add=["SYS_ADMIN"])),
        ("may gain privileges", lambda one: one.pop("security_opt")),
        ("unconfined", lambda one: one["security_opt"].append("seccomp:unconfined")),
        ("no memory limit", lambda one: one.pop("mem_limit")),
        ("no pids limit", lambda one: one.update(pids_limit=-1)),
        ("endless log", lambda one: one.pop("logging")),
        ("privileged", lambda one: one.update(privileged=True)),
        ("the host's pid", lambda one: one.update(pid="host")),
        ("the host's ipc", lambda one: one.update(ipc="host")),
        ("no restart", lambda one: one.pop("restart")),
        ("image without a version", lambda one: one.update(image="coturn/coturn:latest")),
        ("image without a version", lambda one: one.update(image="coturn/coturn")),
        (
            "Docker's socket",
            lambda one: one["volumes"].append(
                {"type": "bind", "source": "/run/docker.sock", "read_only": True}
            ),
        ),
        (
            "writes to the host",
            lambda one: one["volumes"].append({"type": "bind", "source": "/etc"}),
        ),
        (
            "secret in the environment: API_KEY",
            lambda one: one.update(environment={"API_KEY": "x"}),
        ),
        ("secret in the command: --api-key", lambda one: one["command"].append("--api-key=x")),
    ],
)
def test_a_weakness_is_found(
    services: dict[str, Service], expected: str, weaken: Callable[[Service], Any]
) -> None:
    """Each rule finds what it is there for."""
    coturn = copy.deepcopy(services["coturn"])
    before = set(weaknesses("coturn", coturn))
    weaken(coturn)
    assert {expected} == set(weaknesses("coturn", coturn)) - before


def test_documentation_shows_every_reason() -> None:
    """docs/deploy.md has exactly the table of this file."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    section = text.partition("\n## Hardening\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w.*?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    shown = {(name, what): why for names, what, why in rows[1:] for name in names.split(", ")}
    assert dict(EXPLAINED) == shown


def test_compose_lint_finds_nothing_else() -> None:
    """compose-lint has no finding, of any severity, that .compose-lint.yml does not explain."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("compose-lint")), "check", "--strict-config",
            "--fail-on", "low", "--skip-suppressed", "--no-env", "--format", "json", "compose.yaml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
