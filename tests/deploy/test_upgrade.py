"""deploy/upgrade as it is typed: everything is replaced beneath real calls, which are on the old
relays over UDP and over TLS through the edge.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.lab.confinement import confinement, secrets_shown
from tests.lab.docker import ROOT, Images
from tests.lab.upgrades import (
    EDGE,
    OTHER,
    TURN,
    TURN_NEXT,
    UDP,
    UDP_NEXT,
    UNDRAINABLE,
    Deployment,
    build,
    steady,
    wait_until,
)  # fmt: skip


def test_no_call_is_lost(upgradable: Deployment, images: Images) -> None:
    """Calls go on through an upgrade that is interrupted and run again; new clients are elsewhere
    at once, and in the end everything is as before, with the new version.
    """
    new = OTHER if upgradable.image() == images.coturn else images.coturn
    calls = [upgradable.call(url) for url in (UDP, EDGE)]
    first = upgradable.upgrade(new, RELAY_DRAIN="600")
    first.wait_for("waiting for the calls on coturn")
    assert {TURN_NEXT} == upgradable.relay_ports()
    calls += [upgradable.call(url) for url in (UDP_NEXT, EDGE)]
    beside = upgradable.folder / "beside.log"
    with beside.open("wb") as output:
        again = [str(upgradable.folder / "deploy" / "upgrade"), new]
        assert 3 == subprocess.run(again, stderr=output, check=False).returncode
    assert "an upgrade is already running" in beside.read_text()
    first.interrupt()
    assert 130 == first.ended(), first.said()
    assert f"Continue with: deploy/upgrade {new}" in first.said()

    second = upgradable.upgrade(new, RELAY_DRAIN="600")
    second.wait_for("waiting for the calls on coturn")
    assert [True, True] == [call.lives() for call in calls[:2]]
    second.wait_for("waiting for the calls on coturn-next")
    assert {TURN} == upgradable.relay_ports()
    assert [True, True] == [call.lives() for call in calls[2:]]
    assert 0 == second.ended(), second.said()
    assert "cutting the calls" not in second.said()
    steady(upgradable, new)
    text = upgradable.env.read_text()
    assert text.startswith("# mine\n")
    assert 1 == text.count(f"\nCOTURN_IMAGE={new}\n") == text.count("COTURN_IMAGE=")
    assert 0o600 == upgradable.env.stat().st_mode & 0o777


def test_up_restarts_nothing_afterwards(upgradable: Deployment) -> None:
    """After an upgrade `docker compose up` finds nothing changed, and so does the upgrade."""
    before = upgradable.started()
    upgradable.project.compose("up", "--detach")
    run = upgradable.upgrade(upgradable.image())
    assert 0 == run.ended(), run.said()
    assert "already" in run.said()
    assert before == upgradable.started()


def test_interrupted_after_each_step(upgradable: Deployment, images: Images) -> None:
    """Ctrl-C while it replaces containers (in the long version after every line that it says for
    the first time), and run again each time: it comes to its end.
    """
    new = OTHER if upgradable.image() == images.coturn else images.coturn
    known: set[str] = set()
    while True:
        run = upgradable.upgrade(new, RELAY_DRAIN="100")
        if not (news := run.wait_for_news(known)):
            break
        known |= news
        run.interrupt()
        assert run.ended() in (0, 130), run.said()
    assert 0 == run.ended(), run.said()
    assert 2 <= len(known)
    steady(upgradable, new)


def test_half_way_back(upgradable: Deployment) -> None:
    """The commands of docs/deploy.md end an upgrade that shall not go on."""
    image = upgradable.image()
    first = upgradable.upgrade(UNDRAINABLE, RELAY_DRAIN="100")
    first.wait_for("waiting for the calls on coturn")
    first.interrupt()
    assert 130 == first.ended(), first.said()
    upgradable.project.compose("restart", "coturn", "coturn-edge")
    upgradable.project.compose("up", "--detach")
    prefer = ("turnctl", "edge", "prefer", "coturn-edge")
    upgradable.project.compose("exec", "-T", "acme", *prefer)
    wait_until(
        lambda: {TURN} == upgradable.relay_ports(),
        lambda: "clients are not sent back",
    )
    assert image == upgradable.image()
    second = upgradable.upgrade(OTHER)
    assert 3 == second.ended()
    assert f"an upgrade to {UNDRAINABLE} has begun. Finish it first" in second.said()
    away = "--profile upgrade rm --stop --force coturn-next coturn-edge-next"
    assert f" docker compose {away}\n" in second.said()
    upgradable.project.compose(*away.split())
    steady(upgradable, image)


def test_an_update_leaves_relays_and_edge(upgradable: Deployment) -> None:
    """The commands of docs/deploy.md bring a new build of ours; calls notice nothing."""
    section = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Update\n")[2]
    commands = re.findall(r"^docker compose (up .*)$", section.partition("\n- **")[0], re.MULTILINE)
    assert ["up --no-deps init", "up -d --no-deps signal probe"] == commands
    before = upgradable.started()
    ours = upgradable.composed.images.service
    build(upgradable.composed.engine, ours, f"FROM {ours}\nLABEL newer=yes\n")
    for command in commands:
        upgradable.project.compose(*command.split())
    after = upgradable.started()
    assert {"signal"} == {name for name in before if before[name] != after[name]}
    upgradable.project.compose("up", "--detach")
    assert after == upgradable.started()


USERS = {
    "signal": "10001",
    "coturn": "65534",
    "coturn-edge": "10003",
    "edge": "10002",
    "acme": "10004",
    "probe": "10005",
}


@pytest.mark.parametrize("service", USERS)
def test_the_kernel_confines(upgradable: Deployment, service: str) -> None:
    """Each runs as its own user without a capability in effect, and can gain none."""
    may = {"coturn": 1 << 10, "coturn-edge": 1 << 10, "edge": 1 << 6 | 1 << 7 | 1 << 10}
    expected = {
        "Uid": USERS[service],
        "CapEff": f"{0:016x}",
        "CapBnd": f"{may.get(service, 0):016x}",
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    assert expected == confinement(upgradable.project, service)


@pytest.mark.parametrize("service", USERS)
def test_no_secret_shows(upgradable: Deployment, service: str) -> None:
    """Neither Docker nor the list of processes shows a secret."""
    names = ("turn-secret", "api-key", "token-key", "id-key")
    read = upgradable.project.compose("exec", "-T", "signal", "cat", *names).stdout
    secrets = read.split()
    assert len(secrets) >= len(names)
    assert [] == secrets_shown(upgradable.project, service, secrets)


def test_the_maximum_cuts(upgradable: Deployment) -> None:
    """After RELAY_DRAIN seconds calls are cut, also by a coturn that cannot drain."""
    call = upgradable.call(UDP, patience=10)
    run = upgradable.upgrade(UNDRAINABLE, RELAY_DRAIN="1")
    assert 0 == run.ended(), run.said()
    assert "1 s are over; cutting the calls on coturn\n" in run.said()
    assert not call.lives()
