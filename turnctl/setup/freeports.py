"""Whether the deployment's ports are free, told before anything of it starts.

A second coturn shares the port of the first without a word, and clients meet either at random; the
others would end over and over, each with a line in its own log. Owns what the deployment needs, and
how its own programs are told from others: by what only they can answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from signalpost.credentials import Secret
from turnctl.deployment.installation import Installation
from turnctl.host.ports import Listener
from turnctl.rotation.confirm import Acceptance, try_secret
from turnctl.rotation.keyring import ConfiguredRelay

__all__ = ["Holder", "Need", "Taken", "needs", "taken"]

WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
EDGE_SOCKET = Path("/run/edge/admin.sock")
HEALTH_PATIENCE = 3.0


class Holder(Enum):
    """Who has a port that is not free."""

    OURS = "the program itself, already running"
    DRAINING = "the program itself, which takes nobody any more"
    STRANGER = "another program"


@dataclass(frozen=True, slots=True)
class Need:
    """A port that a program of the deployment is going to bind. `variable` chooses another one;
    `holder` finds out who has it now."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    service: str
    variable: str
    holder: Callable[[], Holder]


@dataclass(frozen=True, slots=True)
class Taken:
    """A need that a socket stands in the way of, and whose that is."""

    need: Need
    by: Listener
    holder: Holder

    def __str__(self) -> str:
        need = self.need
        if self.holder is Holder.DRAINING:
            return (
                f"an upgrade is under way: {need.service} on port {need.port} takes no new calls, "
                "and waits for the last one to end. Let deploy/upgrade finish (interrupted, it "
                "goes on when it is run again), or end these calls: "
                f"docker compose restart {need.service}"
            )
        whose = "another program"
        if need.service.startswith("coturn"):
            whose += " that does not know this deployment's TURN secrets"
        return (
            f"port {need.port}, which {need.service} needs, is taken on {self.by.address} by "
            f"{whose}. See which: ss -lntup 'sport = :{need.port}'. End it, or set "
            f"{need.variable} in .env to another port"
        )


def needs(wanted: Installation, secrets: Sequence[Secret], directory: Path) -> Iterator[Need]:
    """What will be bound. With the secrets of this deployment its own relays are known again."""

    def service() -> Holder:
        return _ours_if(_got(wanted.http[1], "/healthz") == b'{"status":"ok"}')

    def edge() -> Holder:
        return _ours_if(asyncio.run(_edge_answers(EDGE_SOCKET)))

    def relay(name: str, address: str, port: int) -> Callable[[], Holder]:
        at = ConfiguredRelay(
            name, directory / name, wanted.realm, address, port, False, frozenset({address})
        )

        def ask() -> Holder:
            for secret in secrets:
                for answer in try_secret([at], secret, enough=bool, patience=0):
                    if answer.drains:
                        return Holder.DRAINING
                    if answer.acceptance is Acceptance.ACCEPTED:
                        return Holder.OURS
            return Holder.STRANGER

        return ask

    def figures(job: str) -> Callable[[], Holder]:
        """Those of a program of ours begin with its name, from its start on."""
        return lambda: _ours_if(f"\n{job}_".encode() in _got(wanted.figures[job], "/metrics"))

    yield Need("tcp", *wanted.http, "signal", "PORT", service)
    for job, name, variable in (
        ("signalpost", "signal", "METRICS_PORT"),
        ("turnctl", "probe", "PROBE_PORT"),
    ):
        yield Need("tcp", "127.0.0.1", wanted.figures[job], name, variable, figures(job))
    for one in wanted.relays:
        if one.name == "coturn":
            for address in wanted.where.listen:
                ours = relay(one.name, address, one.port)
                yield Need("udp", address, one.port, one.name, "TURN_PORT", ours)
                yield Need("tcp", address, one.port, one.name, "TURN_PORT", ours)
        elif one.name == "coturn-edge" and wanted.domain is not None and one.proxy_port is not None:
            ours = relay(one.name, "127.0.0.1", one.port)
            yield Need("udp", "127.0.0.1", one.port, one.name, "EDGE_TURN_PORT", ours)
            yield Need("tcp", "127.0.0.1", one.proxy_port, one.name, "EDGE_TURN_PORT", ours)
    if wanted.domain is not None:
        yield Need("tcp", "0.0.0.0", wanted.edge_http, "edge", "HTTP_PORT", edge)  # noqa: S104  as it will listen
        yield Need("tcp", "0.0.0.0", wanted.edge_https, "edge", "HTTPS_PORT", edge)  # noqa: S104


def taken(needed: Iterable[Need], bound: Iterable[Listener]) -> Iterator[Taken]:
    """The needs that a program stands in the way of, unless it is the one that will run; one a
    port."""
    sockets = list(bound)
    told: set[int] = set()
    for need in needed:
        if need.port in told:
            continue
        rival = next((one for one in sockets if _in_the_way(one, need)), None)
        if rival is not None and (holder := need.holder()) is not Holder.OURS:
            told.add(need.port)
            yield Taken(need, rival, holder)


def _in_the_way(socket: Listener, need: Need) -> bool:
    if (socket.protocol, socket.port) != (need.protocol, need.port):
        return False
    if need.address in WILDCARDS or socket.address == need.address:
        return True
    # :: takes IPv4 too, unless it is told not to, which cannot be seen from here.
    return socket.address in WILDCARDS and (socket.address == "::" or ":" not in need.address)


def _ours_if(answers: bool) -> Holder:
    return Holder.OURS if answers else Holder.STRANGER


def _got(port: int, path: str) -> bytes:
    """What is served there on this host, nothing when that is no 200."""
    import ssl

    from turnctl.wire import http

    try:
        said = asyncio.run(
            http.get(
                f"http://127.0.0.1:{port}{path}",
                {},
                context=ssl.create_default_context(),
                patience=HEALTH_PATIENCE,
                through_proxy=False,
            )
        )
    except http.FetchFailed:
        return b""
    return (said.body or b"") if said.status == 200 else b""


async def _edge_answers(socket: Path) -> bool:
    from turnctl.deployment.edge.runtime import Edge, NotThere, Refused

    try:
        return bool(await Edge(socket, 0).states())
    except (NotThere, Refused):
        return False
