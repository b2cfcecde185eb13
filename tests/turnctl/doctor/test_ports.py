"""Published ports: Docker's bindings and coturn's options in, findings out."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.doctor.containerdata import Container, Published
from turnctl.doctor.look import Unseen
from turnctl.doctor.ports import judge, look

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
    """A port that isn't published to other hosts under its own number is named."""
    findings = list(judge(behind_bridge(*published), CONF))
    assert {"port-not-published"} >= {one.code for one in findings}
    assert missing == [one.evidence["ports"] for one in findings]


def test_host_networking_publishes_nothing() -> None:
    """It has no need to."""
    assert [] == list(judge(Container("coturn", "c", "i", "running"), CONF))


def test_too_many_published_ports() -> None:
    """A hundred relay ports are fine, one more is a warning."""
    for count, codes in ((100, []), (101, ["ports-published-many"])):
        conf = parse("f", f"min-port=50000\nmax-port={50000 + count - 1}\nno-tcp\n")
        coturn = behind_bridge(*publish(3478, *range(50000, 50000 + count)))
        assert codes == [one.code for one in judge(coturn, conf)]


def test_what_was_looked_at() -> None:
    """The look says how coturn is published, and is skipped without a container."""
    host = Container("coturn", "c", "i", "running")
    assert "host networking: no port has to be published" == look(host, CONF).seen
    assert "2 ports published through Docker's bridge" == (
        look(behind_bridge(*publish(3478, 3479)), CONF).seen
    )
    with pytest.raises(Unseen, match="doesn't run in a container"):
        look(None, CONF)
