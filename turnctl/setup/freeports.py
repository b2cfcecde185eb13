"""Whether the deployment's ports are free, checked before anything starts.

A second coturn shares the first one's port without an error, and clients reach either at random.
The other programs would end again and again, each with a line in its own log. The deployment's own
running programs are recognized by answers that only they can give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from signalpost.credentials import Secret
from turnctl.deployment.edge.runtime import SOCKET
from turnctl.deployment.installation import Installation
from turnctl.host.ports import Listener
from turnctl.rotation.confirm import Acceptance, try_secret
from turnctl.rotation.keyring import ConfiguredRelay

__all__ = ["NeededPort", "TakenPort", "UsedBy", "needs", "taken"]

WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
HEALTH_PATIENCE = 3.0
"""Seconds for an HTTP answer on this host."""


class UsedBy(Enum):
    """Which program uses a port."""

    OURS = "the program itself, already running"
    DRAINING = "the program itself, which accepts no new clients"
    OTHER = "another program"


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that a program of the deployment needs. `variable` sets another one; `used_by` finds
    out which program uses it now."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    service: str
    variable: str
    used_by: Callable[[], UsedBy]


@dataclass(frozen=True, slots=True)
class TakenPort:
    """A needed port that is taken: by which socket, and by which program."""

    need: NeededPort
    by: Listener
    used_by: UsedBy

    def __str__(self) -> str:
        need = self.need
        if self.used_by is UsedBy.DRAINING:
            return (
                f"an upgrade is running: {need.service} on port {need.port} accepts no new calls "
                "and waits for the last one to end. Let deploy/upgrade finish (if it was "
                "interrupted, run it again to continue), or end these calls: "
                f"docker compose restart {need.service}"
            )
        program = "another program"
        if need.service.startswith("coturn"):
            program = "a program that doesn't have this deployment's TURN secrets"
        return (
            f"{need.service} needs port {need.port}, but {program} uses it on {self.by.address}. "
            f"To see which one, run: ss -lntup 'sport = :{need.port}'. Stop it, or set "
            f"{need.variable} in .env to another port"
        )


def needs(wanted: Installation, secrets: Sequence[Secret], directory: Path) -> Iterator[NeededPort]:
    """The ports that will be bound. The deployment's own relays are recognized by its secrets."""

    def service() -> UsedBy:
        return _ours_if(_got(wanted.http[1], "/healthz") == b'{"status":"ok"}')

    def edge() -> UsedBy:
        return _ours_if(asyncio.run(_edge_answers(SOCKET)))

    def relay(name: str, address: str, port: int) -> Callable[[], UsedBy]:
        at = ConfiguredRelay(
            name, directory / name, wanted.realm, address, port, False, frozenset({address})
        )

        def ask() -> UsedBy:
            for secret in secrets:
                for answer in try_secret([at], secret, enough=bool, patience=0):
                    if answer.drains:
                        return UsedBy.DRAINING
                    if answer.acceptance is Acceptance.ACCEPTED:
                        return UsedBy.OURS
            return UsedBy.OTHER

        return ask

    def figures(job: str) -> Callable[[], UsedBy]:
        """The metrics of our programs start with the program's name, from the first second."""
        return lambda: _ours_if(f"\n{job}_".encode() in _got(wanted.figures[job], "/metrics"))

    yield NeededPort("tcp", *wanted.http, "signal", "PORT", service)
    for job, name, variable in (
        ("signalpost", "signal", "METRICS_PORT"),
        ("turnctl", "probe", "PROBE_PORT"),
    ):
        yield NeededPort("tcp", "127.0.0.1", wanted.figures[job], name, variable, figures(job))
    for one in wanted.relays:
        if one.name == "coturn":
            for address in wanted.where.listen:
                ours = relay(one.name, address, one.port)
                yield NeededPort("udp", address, one.port, one.name, "TURN_PORT", ours)
                yield NeededPort("tcp", address, one.port, one.name, "TURN_PORT", ours)
        elif one.name == "coturn-edge" and wanted.domain is not None and one.proxy_port is not None:
            ours = relay(one.name, "127.0.0.1", one.port)
            yield NeededPort("udp", "127.0.0.1", one.port, one.name, "EDGE_TURN_PORT", ours)
            yield NeededPort("tcp", "127.0.0.1", one.proxy_port, one.name, "EDGE_TURN_PORT", ours)
    if wanted.domain is not None:
        yield NeededPort("tcp", "0.0.0.0", wanted.edge_http, "edge", "HTTP_PORT", edge)  # noqa: S104  as it will listen
        yield NeededPort("tcp", "0.0.0.0", wanted.edge_https, "edge", "HTTPS_PORT", edge)  # noqa: S104


def taken(needed: Iterable[NeededPort], bound: Iterable[Listener]) -> Iterator[TakenPort]:
    """The needed ports that another program uses; each port once."""
    sockets = list(bound)
    reported: set[int] = set()
    for need in needed:
        if need.port in reported:
            continue
        rival = next((one for one in sockets if _in_the_way(one, need)), None)
        if rival is not None and (used_by := need.used_by()) is not UsedBy.OURS:
            reported.add(need.port)
            yield TakenPort(need, rival, used_by)


def _in_the_way(socket: Listener, need: NeededPort) -> bool:
    if (socket.protocol, socket.port) != (need.protocol, need.port):
        return False
    if need.address in WILDCARDS or socket.address == need.address:
        return True
    # :: takes IPv4 too, except with an option that can't be seen from here.
    return socket.address in WILDCARDS and (socket.address == "::" or ":" not in need.address)


def _ours_if(answers: bool) -> UsedBy:
    return UsedBy.OURS if answers else UsedBy.OTHER


def _got(port: int, path: str) -> bytes:
    """What this host serves there; empty unless the status is 200."""
    import ssl

    from turnctl.wire import http

    try:
        response = asyncio.run(
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
    return (response.body or b"") if response.status == 200 else b""


async def _edge_answers(socket: Path) -> bool:
    from turnctl.deployment.edge.runtime import Edge, NotThere, Refused

    try:
        return bool(await Edge(socket, 0).states())
    except (NotThere, Refused):
        return False
