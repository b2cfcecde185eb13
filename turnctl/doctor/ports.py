"""The look at the ports that Docker publishes for coturn."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import certificates
from turnctl.doctor.catalogue import found
from turnctl.doctor.containerdata import Container
from turnctl.doctor.look import Look, Unseen
from turnctl.host.ports import spans

__all__ = ["MOST_PORTS", "judge", "look"]

MOST_PORTS = 100
"""Published through the bridge: a hundred start in a second, and 16,000 hang the host."""


def look(coturn: Container | None, conf: Conf) -> Look:
    """Raises Unseen if coturn isn't in a container."""
    if coturn is None:
        raise Unseen("published ports: coturn doesn't run in a container")
    seen = "host networking: no port has to be published"
    if not coturn.host_network:
        seen = f"{len(coturn.published)} ports published through Docker's bridge"
    return Look("ports", seen, tuple(judge(coturn, conf)))


def judge(coturn: Container, conf: Conf) -> Iterator[Finding]:
    """The ports that coturn is configured to use, against those that Docker publishes."""
    if coturn.host_network:
        return
    first, last = conf.relay_range
    wanted = [("listening port", conf.port, conf.port, name) for name in conf.transports]
    if certificates.wanted(conf):
        port = conf.number("tls-listening-port", 5349)
        wanted.append(("TLS port", port, port, "tcp"))
    wanted.append(("relay range", first, last, "udp"))
    open_ = {(one.port, one.protocol) for one in coturn.published if one.reachable}
    for purpose, low, high, protocol in wanted:
        missing = [port for port in range(low, high + 1) if (port, protocol) not in open_]
        if missing:
            text = f"{spans(missing)}/{protocol}"
            yield found(
                "port-not-published",
                Severity.FAIL,
                coturn.service,
                f"{purpose} {text} isn't published to other hosts under the same number",
                ports=text,
            )
    count = sum(one.protocol == "udp" and first <= one.port <= last for one in coturn.published)
    if count > MOST_PORTS:
        summary = f"publishes {count} relay ports through Docker's bridge"
        yield found("ports-published-many", Severity.WARN, coturn.service, summary, published=count)
