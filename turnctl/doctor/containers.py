"""The containers of a compose project: whether they run, and which ports they publish.

`turnctl.doctor.dockerengine` collects; here it is judged. Refuses to know the Docker SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import certificates
from turnctl.doctor.catalogue import found

__all__ = ["Container", "Published", "judge_ports", "judge_state", "judge_states", "spans"]

EXPECTED = ("signal", "coturn")
"""Without these there are no calls; `init` ends by itself, and the others are extras."""
MOST_PORTS = 100
"""Published through the bridge: 16,000 hang the host, a hundred start in a second."""
LOOPBACK = ("127.", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Published:
    """A container's port, and where the host takes packets for it."""

    port: int
    protocol: str
    host: str
    host_port: int


@dataclass(frozen=True, slots=True)
class Container:
    """`health` is empty without a health check; `last_words` its log's last line; `user` its uid,
    None when that is not known; `command` its entrypoint with what is handed to that."""

    service: str
    name: str
    image: str
    state: str
    exit_code: int = 0
    restarts: int = 0
    out_of_memory: bool = False
    health: str = ""
    last_words: str = ""
    host_network: bool = True
    published: tuple[Published, ...] = ()
    user: int | None = None
    command: tuple[str, ...] = ()


def judge_states(containers: Sequence[Container]) -> Iterator[Finding]:
    """What does not run as it should."""
    services = {one.service for one in containers}
    for name in EXPECTED:
        if name not in services:
            yield found(
                "container-missing", Severity.FAIL, name, f"the project has no container {name}"
            )
    for one in containers:
        yield from judge_state(one)


def judge_state(one: Container) -> Iterator[Finding]:
    """What is wrong with one of them."""
    seen = {
        "image": one.image,
        "state": one.state,
        "exitCode": one.exit_code,
        "restarts": one.restarts,
        "lastWords": one.last_words,
    }
    how = f"status {one.exit_code}" + (", out of memory" if one.out_of_memory else "")
    said = f": {one.last_words}" if one.last_words else ""
    if one.state == "restarting":
        summary = f"ends again and again with {how}, {one.restarts} restarts{said}"
        yield found("container-restarting", Severity.FAIL, one.service, summary, **seen)
    elif one.state != "running":
        # `init` is done when it has ended well.
        if one.state != "exited" or one.exit_code != 0 or one.service in EXPECTED:
            summary = f"is {one.state}, {how}{said}"
            yield found("container-ended", Severity.FAIL, one.service, summary, **seen)
    else:
        if one.restarts:
            summary = f"runs, after {one.restarts} restarts{said}"
            yield found("container-restarting", Severity.WARN, one.service, summary, **seen)
        if one.health == "unhealthy":
            summary = "runs, and its health check fails"
            yield found("container-unhealthy", Severity.FAIL, one.service, summary, **seen)


def judge_ports(coturn: Container, conf: Conf) -> Iterator[Finding]:
    """What coturn is configured to use against what Docker publishes of it; bridge only."""
    if coturn.host_network:
        return
    first, last = conf.relay_range
    wanted = [("listening port", conf.port, conf.port, name) for name in conf.transports]
    if certificates.wanted(conf):
        port = conf.number("tls-listening-port", 5349)
        wanted.append(("TLS port", port, port, "tcp"))
    wanted.append(("relay range", first, last, "udp"))
    open_ = {(one.port, one.protocol) for one in coturn.published if _reaches(one)}
    for what, low, high, protocol in wanted:
        missing = [port for port in range(low, high + 1) if (port, protocol) not in open_]
        if missing:
            text = spans(missing)
            yield found(
                "port-not-published",
                Severity.FAIL,
                coturn.service,
                f"{what} {text}/{protocol} is not published to other hosts as it is",
                ports=f"{text}/{protocol}",
            )
    count = sum(one.protocol == "udp" and first <= one.port <= last for one in coturn.published)
    if count > MOST_PORTS:
        summary = f"publishes {count} relay ports through Docker's bridge"
        yield found("ports-published-many", Severity.WARN, coturn.service, summary, published=count)


def _reaches(one: Published) -> bool:
    """Under another number it would not be the one that a relayed address names."""
    return one.port == one.host_port and not one.host.startswith(LOOPBACK)


def spans(ports: Sequence[int]) -> str:
    """Ascending ports as ranges: "1-3, 7"."""
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
