"""Containers and published ports: states in, findings out."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.doctor.containers import Container, Published, judge_ports, judge_states, spans

RUNNING = [
    Container("init", "p-init-1", "signalpost:latest", "exited"),
    Container("signal", "p-signal-1", "signalpost:latest", "running", health="healthy"),
    Container("coturn", "p-coturn-1", "coturn/coturn:4.18.0-r0", "running"),
]


def judged(*more: Container) -> list[tuple[str, str, str]]:
    instead = {one.service: one for one in (*RUNNING, *more)}
    return [(f.code, f.severity, f.url) for f in judge_states(list(instead.values()))]


def test_all_is_well() -> None:
    """init has ended with 0, and the others run."""
    assert [] == judged()


def made(service: str, state: str, code: int = 0, restarts: int = 0, health: str = "") -> Container:
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
    """Each state that is not as it should be, about the service it is of."""
    assert [expected] == judged(container)


def test_a_health_that_is_starting() -> None:
    """Is no news yet."""
    assert [] == judged(made("probe", "running", health="starting"))


def test_services_that_have_to_be_there() -> None:
    """Without signal or coturn there are no calls; the last words and the memory are told."""
    codes = [(f.code, f.url) for f in judge_states(RUNNING[:1])]
    assert [("container-missing", "signal"), ("container-missing", "coturn")] == codes
    dead = Container(
        "coturn", "c", "i", "exited", 137, out_of_memory=True, last_words="0: : the end"
    )
    (one,) = judge_states([*RUNNING[:2], dead])
    assert "is exited, status 137, out of memory: 0: : the end" == one.summary


CONF = parse("f", "listening-port=3478\nmin-port=49160\nmax-port=49163\n")


def behind_bridge(*published: Published) -> Container:
    return Container("coturn", "c", "i", "running", host_network=False, published=tuple(published))


def publish(*ports: int, protocol: str = "udp", host: str = "0.0.0.0") -> list[Published]:
    return [Published(port, protocol, host, port) for port in ports]


TCP = publish(3478, protocol="tcp")


@pytest.mark.parametrize(
    ("published", "missing"),
    [
        ([*TCP, *publish(3478, 49160, 49161, 49162, 49163)], []),
        ([*TCP, *publish(3478, 49161)], ["49160, 49162-49163/udp"]),
        ([*publish(3478, 49160, 49161, 49162, 49163)], ["3478/tcp"]),
        (
            [*TCP, *publish(49160, 49161, 49162, 49163), Published(3478, "udp", "0.0.0.0", 3479)],
            ["3478/udp"],
        ),
        (
            [*TCP, *publish(49160, 49161, 49162, 49163), *publish(3478, host="127.0.0.1")],
            ["3478/udp"],
        ),
    ],
)
def test_published_ports(published: list[Published], missing: list[str]) -> None:
    """What is not published under its own number to other hosts is named."""
    findings = list(judge_ports(behind_bridge(*published), CONF))
    assert {"port-not-published"} >= {one.code for one in findings}
    assert missing == [one.evidence["ports"] for one in findings]


def test_host_networking_publishes_nothing() -> None:
    """And need not."""
    assert [] == list(judge_ports(RUNNING[2], CONF))


def test_too_many_published_ports() -> None:
    """A hundred relay ports are fine, one more is a warning."""
    for count, codes in ((100, []), (101, ["ports-published-many"])):
        conf = parse("f", f"min-port=50000\nmax-port={50000 + count - 1}\nno-tcp\n")
        coturn = behind_bridge(*publish(3478, *range(50000, 50000 + count)))
        assert codes == [one.code for one in judge_ports(coturn, conf)]


def test_spans() -> None:
    """Neighbours become a range."""
    assert "1-3, 7, 9-10" == spans([1, 2, 3, 7, 9, 10])
    assert "" == spans([])
