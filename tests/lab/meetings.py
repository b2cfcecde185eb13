"""NAT × NAT: two ICE agents behind each pair of NATs, and how they met.

`measure` builds one internet with two sites of every kind, a coturn that all of them can reach, and
an aioice process in each site; candidates go between the processes as signaling would carry them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.lab import coturn, netns, peer
from tests.lab.certs import Authority
from tests.lab.coturn import Server
from tests.lab.matrix import table
from tests.lab.netns import KINDS, Kind, Site

__all__ = ["Meeting", "measure", "render"]

Meeting = Literal["direct", "relay", "none"]

ADDRESS, ADDRESS6 = "203.0.113.1", "2001:db8::1"
AT_ONCE = 8
"""Meetings at a time: two cores have to keep the pace of every agent's checks."""

DIRECT_PATIENCE = 8.0
"""Seconds for a meeting without relays: four transmissions of a check (RFC 8489 section 6.2.1) by
two agents of whom one may begin four seconds later."""
LIMIT = 600.0
"""Seconds for all of it, so that a broken peer does not keep everybody waiting."""
PATIENCE = 60.0
"""Seconds for a meeting with relays; it takes 0.2, more when the machine is busy."""


@dataclass(slots=True)
class _Peer:
    """One agent's process; `_heard` sorts what it prints by meeting."""

    site: Site
    process: asyncio.subprocess.Process
    _heard: dict[str, asyncio.Queue[dict[str, Any]]] = field(default_factory=dict)

    def tell(self, meeting: str, **facts: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"meeting": meeting, **facts}).encode() + b"\n")

    async def hear(self, meeting: str) -> dict[str, Any]:
        return await self._queue(meeting).get()

    def _queue(self, meeting: str) -> asyncio.Queue[dict[str, Any]]:
        return self._heard.setdefault(meeting, asyncio.Queue())

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            self._queue(said["meeting"]).put_nowait(said)


def measure() -> dict[tuple[Kind, Kind], Meeting]:
    """How the peers of each unordered pair of kinds met."""
    with _internet() as (server, root, firsts, seconds):
        return asyncio.run(_measure(server, root, firsts, seconds))


@contextmanager
def _internet() -> Iterator[tuple[Server, Path, list[Site], list[Site]]]:
    with ExitStack() as stack:
        internet = stack.enter_context(netns.internet())
        firsts, seconds = ([internet.join(kind) for kind in KINDS] for _ in range(2))
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        server = stack.enter_context(
            coturn.running(
                ADDRESS,
                lines=[f"listening-ip={ADDRESS6}"],
                tls=authority.issue([ADDRESS]),
                tls_port=443,
                namespace=internet.server.name,
            )
        )
        yield server, authority.root, firsts, seconds


async def _measure(
    server: Server, root: Path, firsts: list[Site], seconds: list[Site]
) -> dict[tuple[Kind, Kind], Meeting]:
    places = asyncio.Semaphore(AT_ONCE)

    async def met(one: _Peer, other: _Peer) -> Meeting:
        async with places:
            return await _meet(one, other, server, root)

    async with _started([*firsts, *seconds]) as peers:
        left, right = peers[: len(firsts)], peers[len(firsts) :]
        pairs = [
            (one, other)
            for (i, one), (j, other) in itertools.product(enumerate(left), enumerate(right))
            if i <= j
        ]
        async with asyncio.timeout(LIMIT):
            meetings = await asyncio.gather(*(met(one, other) for one, other in pairs))
    return {
        (one.site.kind, other.site.kind): meeting
        for (one, other), meeting in zip(pairs, meetings, strict=True)
    }


@asynccontextmanager
async def _started(sites: list[Site]) -> AsyncIterator[list[_Peer]]:
    peers: list[_Peer] = []
    listening: list[asyncio.Task[None]] = []
    try:
        for site in sites:
            process = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", site.client.name, sys.executable, peer.__file__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            peers.append(_Peer(site, process))
            listening.append(asyncio.create_task(peers[-1].listen()))
        yield peers
    finally:
        for one in peers:
            if one.process.returncode is None:
                one.process.kill()
            await one.process.wait()
        await asyncio.gather(*listening)


async def _meet(one: _Peer, other: _Peer, server: Server, root: Path) -> Meeting:
    """First without relays, then with them.

    aioice takes the first pair that answers, and does not answer a check at once while its own on
    that pair waits for an answer: where packets take no time, a relay would win over a direct path.
    """
    pair = await _connect(one, other, server, root, relay=False)
    pair = pair or await _connect(one, other, server, root, relay=True)
    if not pair:
        return "none"
    return "relay" if "relay" in pair else "direct"


async def _connect(
    one: _Peer, other: _Peer, server: Server, root: Path, *, relay: bool
) -> set[str]:
    """The types of the candidates in the pairs that connected them, none when they did not."""
    meeting = f"{one.site.kind} × {other.site.kind}{', relayed' if relay else ''}"
    patience = PATIENCE if relay else DIRECT_PATIENCE
    for agent, controlling in ((one, True), (other, False)):
        offered = _servers(agent.site.kind, server, root)
        if not relay:
            offered["turn"] = None
        agent.tell(meeting, patience=patience, controlling=controlling, **offered)
    said = await asyncio.gather(one.hear(meeting), other.hear(meeting))
    if any("error" in words for words in said):
        return set()  # one gathered nothing in time; the other gives up by itself
    for agent, told in ((one, said[1]), (other, said[0])):
        agent.tell(**told)
    ended = await asyncio.gather(one.hear(meeting), other.hear(meeting))
    for agent in (one, other):
        agent.tell(meeting)
    if any("pair" not in end for end in ended):
        return set()
    return {kind for end in ended for kind in end["pair"]}


def _servers(kind: Kind, server: Server, root: Path) -> dict[str, Any]:
    """STUN and the TURN listener that the site's network lets through.

    aioice takes one server of each; asking one that is blocked costs it five seconds.
    """
    made = server.credential(user=kind)
    turn: dict[str, Any] = {
        "server": [ADDRESS, server.port],
        "transport": "udp",
        "ca": None,
        "username": made.username,
        "password": made.password,
    }
    stun: list[Any] | None = [ADDRESS, server.port]
    match kind:
        case "udp-blocked":
            stun, turn["transport"] = None, "tcp"
        case "only-80-443":
            stun = None
            turn |= {"server": [ADDRESS, 443], "transport": "tcp", "ca": str(root)}
        case "ipv6-only":
            stun, turn["server"] = None, [ADDRESS6, server.port]
    return {"stun": stun, "turn": turn}


def render(matrix: Mapping[tuple[Kind, Kind], Meeting]) -> str:
    """The matrix as docs/nat-matrix.md has it."""
    lines = [
        "# NAT × NAT",
        "",
        "How two ICE agents (aioice) connect. They share one coturn for STUN and TURN, and each is",
        "behind a NAT of its own, in network namespaces. `tests/test_nat_matrix.py` measures it.",
        "`python -m tests.lab meetings` writes this page. [lab.md](lab.md) describes each kind.",
        "",
    ]
    rows: list[tuple[str, ...]] = [("", *KINDS)]
    for row in KINDS:
        cells = (matrix.get((row, column)) or matrix[column, row] for column in KINDS)
        rows.append((f"**{row}**", *cells))
    return "\n".join([*lines, table(rows), ""])
