"""Containers: states in, findings out."""

from __future__ import annotations

import pytest

from turnctl.doctor.containerdata import Container
from turnctl.doctor.containers import judge_states, look, look_at_one
from turnctl.doctor.look import Unseen

RUNNING = [
    Container("init", "p-init-1", "signalpost:latest", "exited"),
    Container("signal", "p-signal-1", "signalpost:latest", "running", health="healthy"),
    Container("coturn", "p-coturn-1", "coturn/coturn:4.18.0-r0", "running"),
]


def judged(*more: Container) -> list[tuple[str, str, str]]:
    instead = {one.service: one for one in (*RUNNING, *more)}
    return [(f.code, f.severity, f.url) for f in judge_states(list(instead.values()))]


def test_all_is_well() -> None:
    """init has ended with 0, and the others are running."""
    assert [] == judged()


def made(
    service: str, state: str, code: int = 0, restarts: int = 0, health: str | None = None
) -> Container:
    return Container(service, service, "i", state, code, restarts, health=health)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (made("init", "exited", 3), ("container-ended", "fail", "init")),
        (made("coturn", "exited", 0), ("container-ended", "fail", "coturn")),
        (made("probe", "created"), ("container-ended", "fail", "probe")),
        (made("coturn", "restarting", 255, 7), ("container-restarting", "fail", "coturn")),
        (made("coturn", "running", 0, 2), ("container-restarting", "warn", "coturn")),
        (made("probe", "running", health="unhealthy"), ("container-unhealthy", "fail", "probe")),
    ],
)
def test_a_state(container: Container, expected: tuple[str, str, str]) -> None:
    """Each wrong state is a finding about its service."""
    assert [expected] == judged(container)


def test_a_health_that_is_starting() -> None:
    """A health check that hasn't decided yet is not a finding."""
    assert [] == judged(made("probe", "running", health="starting"))


def test_services_that_have_to_be_there() -> None:
    """Without signal or coturn there are no calls. The summary has the log's last line."""
    codes = [(f.code, f.url) for f in judge_states(RUNNING[:1])]
    assert [("container-missing", "signal"), ("container-missing", "coturn")] == codes
    dead = Container(
        "coturn", "c", "i", "exited", 137, out_of_memory=True, last_words="0: : the end"
    )
    (one,) = judge_states([*RUNNING[:2], dead])
    assert "is exited, status 137, out of memory: 0: : the end" == one.summary


def test_no_engine() -> None:
    """Without Docker the look is skipped with the reason."""
    with pytest.raises(Unseen, match="no Docker engine"):
        look(Unseen("no Docker engine answers"))


def test_one_container() -> None:
    """It is judged without the others of its project."""
    seen = look_at_one(RUNNING[2])
    assert ("p-coturn-1 running", ()) == (seen.seen, seen.findings)
    assert "fail" == look_at_one(made("coturn", "dead")).verdict
