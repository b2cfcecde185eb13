"""Load through one URL's relay: makes allocations in pairs, sends traffic, releases everything.

`limit` says how much load a server may get. Call it before `run`: the load may go to somebody
else's server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from turnctl.check.targets import TargetError
from turnctl.diagnosis.plan import Probe
from turnctl.load.bulk import BulkLink, open_bulk
from turnctl.load.traffic import Pair, Traffic
from turnctl.wire.binding import local_address
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Address
from turnctl.wire.session import Login, Session

__all__ = ["Demand", "LimitExceeded", "Measured", "Wanted", "is_own", "limit", "run"]

AT_ONCE = 16
"""Allocations requested at once: enough to keep a server busy without a flood of handshakes."""

SLICE = 0.02
"""Seconds of traffic before the event loop gets a turn: Ctrl-C waits at most that long."""

DRAIN = 2.0
"""Seconds of silence after the last packet before missing ones count as lost. On a busy host a
relay may not run for a while."""


class LimitExceeded(TargetError):
    """More load than a server that isn't this machine may get without --yes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The load that was asked for. `limit` fills in what is None. `duration` in seconds."""

    pairs: int | None = None
    size: int = 172
    window: int | None = None
    rate: float | None = None
    duration: float = 5.0


@dataclass(frozen=True, slots=True)
class Demand:
    """The load of one run. Each pair has `window` packets in flight or sends `rate` packets a
    second; the other one is 0. `size` is the payload's, in bytes.
    """

    pairs: int
    size: int
    window: int
    rate: float
    duration: float


OWN = Demand(pairs=10, size=172, window=8, rate=0, duration=5)
"""The default on this machine: it shows the relay's limit."""

REMOTE = Demand(pairs=2, size=172, window=0, rate=50, duration=10)
"""The most for other servers without --yes: one call with audio both ways."""


def is_own(address: str) -> bool:
    """Whether an address is this machine's. Sends nothing."""
    if ipaddress.ip_address(address).is_loopback:
        return True
    try:
        return local_address((address, 9)) == address
    except WireError:
        return False


def limit(wanted: Wanted, *, own: bool, sure: bool) -> Demand:
    """The load to make. Raises LimitExceeded."""
    default = OWN if own else REMOTE
    rate, window = wanted.rate, wanted.window
    if rate is None and window is None:
        rate, window = default.rate, default.window
    demand = Demand(
        wanted.pairs or default.pairs, wanted.size, window or 0, rate or 0, wanted.duration
    )
    if own or sure:
        return demand
    if (
        demand.window
        or demand.pairs > REMOTE.pairs
        or demand.rate > REMOTE.rate
        or demand.duration > REMOTE.duration
    ):
        raise LimitExceeded(
            f"isn't this machine: at most --pairs {REMOTE.pairs} --rate {REMOTE.rate:g} "
            f"--duration {REMOTE.duration:g} without --yes. Use --yes only for your own servers"
        )
    return demand


@dataclass(slots=True)
class Measured:
    """What a run measured; times in ms unless they say otherwise.

    `refused` is the first error of an allocation, `broke` the first error of the traffic.
    """

    probe: Probe
    address: str
    demand: Demand
    allocate_ms: list[float] = field(default_factory=list)
    allocating: float = 0.0
    """Seconds that all allocations took together."""
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    """Packets that returned."""
    rtts_ns: array[int] = field(default_factory=lambda: array("Q"))
    """Round trips, sorted once the run is over."""
    refused: WireError | None = None
    broke: WireError | None = None

    @property
    def loss(self) -> float:
        return (self.sent - self.received) / self.sent if self.sent else 0.0

    @property
    def packets_per_second(self) -> float:
        """Packets that arrived, out and back."""
        return 2 * self.received / self.seconds if self.seconds else 0.0

    @property
    def allocations_per_second(self) -> float:
        return len(self.allocate_ms) / self.allocating if self.allocating else 0.0

    def megabits(self) -> float:
        """Payload that arrived, out and back, in Mbit/s."""
        return self.packets_per_second * self.demand.size * 8 / 1e6

    def rtt_ms(self, share: float) -> float | None:
        """Nearest-rank percentile; None if nothing returned."""
        if not self.rtts_ns:
            return None
        return self.rtts_ns[min(len(self.rtts_ns) - 1, int(share * len(self.rtts_ns)))] / 1e6


async def run(
    probe: Probe,
    address: str,
    demand: Demand,
    *,
    patience: float,
    context: ssl.SSLContext,
    progress: Callable[[Measured], None] = lambda _: None,
) -> Measured:
    """Make the load. Whatever happens, cancellation included, all allocations are released."""
    measured = Measured(probe, address, demand)
    run = _Run(measured, (address, probe.uri.port), patience, context, progress)
    try:
        pairs = await run.pairs()
        if pairs:
            await run.traffic(pairs)
    finally:
        await run.release()
    return measured


@dataclass(frozen=True, slots=True)
class _Granted:
    session: Session
    link: BulkLink
    relayed: Address


@dataclass(slots=True)
class _Run:
    measured: Measured
    server: Address
    patience: float
    context: ssl.SSLContext
    progress: Callable[[Measured], None]
    sessions: list[Session] = field(default_factory=list)

    async def pairs(self) -> list[Pair]:
        """As many pairs as the server grants."""
        begun, turns = time.perf_counter(), asyncio.Semaphore(AT_ONCE)
        asked = (self._allocate(turns) for _ in range(2 * self.measured.demand.pairs))
        granted = [one for one in await asyncio.gather(*asked) if one is not None]
        self.measured.allocating = time.perf_counter() - begun
        self.progress(self.measured)
        joined = (
            self._join(near, far) for near, far in zip(granted[::2], granted[1::2], strict=False)
        )
        return [one for one in await asyncio.gather(*joined) if one is not None]

    async def _allocate(self, turns: asyncio.Semaphore) -> _Granted | None:
        probe = self.measured.probe
        async with turns:
            if self.measured.refused is not None:
                return None  # the server would refuse the others too
            begun = time.perf_counter()
            session = Session(Login(probe.username or "", probe.credential or ""))
            self.sessions.append(session)
            try:
                await session.dial(lambda: self._link(session))
                family = 6 if probe.family == 6 else None
                granted = await session.allocate(patience=self.patience, family=family)
            except WireError as error:
                self.measured.refused = self.measured.refused or error
                return None
            self.measured.allocate_ms.append((time.perf_counter() - begun) * 1000)
            return _Granted(session, cast(BulkLink, session.link), granted.relayed)

    async def _link(self, session: Session) -> BulkLink:
        probe = self.measured.probe
        return await open_bulk(
            self.server,
            session,
            protocol=probe.protocol,
            context=self.context,
            server_name=probe.uri.host.rstrip("."),
            patience=self.patience,
        )

    async def _join(self, near: _Granted, far: _Granted) -> Pair | None:
        """Bind channels to each other."""
        try:
            there = await near.session.bind(far.relayed, patience=self.patience)
            back = await far.session.bind(near.relayed, patience=self.patience)
        except WireError as error:
            self.measured.broke = self.measured.broke or error
            return None
        size = self.measured.demand.size
        return Pair(near.link, there, far.link, back, size)

    async def traffic(self, pairs: Sequence[Pair]) -> None:
        demand = self.measured.demand
        traffic = Traffic(pairs, window=demand.window, rate=demand.rate)
        begun = time.perf_counter()
        try:
            while traffic.alive and (time.perf_counter() - begun) < demand.duration:
                traffic.work(SLICE)
                self._count(traffic, begun)
                await asyncio.sleep(0)
            traffic.drain(DRAIN)
        finally:
            traffic.close()
        self._count(traffic, begun, final=True)

    def _count(self, traffic: Traffic, begun: float, *, final: bool = False) -> None:
        measured = self.measured
        measured.sent, measured.received = traffic.sent, traffic.received
        if final:
            rtts = [rtt for pair in traffic.pairs for rtt in pair.rtts_ns]
            measured.rtts_ns = array("Q", sorted(rtts))
            failed = (pair.failed for pair in traffic.pairs)
            measured.broke = measured.broke or next(filter(None, failed), None)
        else:
            measured.seconds = time.perf_counter() - begun
        self.progress(measured)

    async def release(self) -> None:
        await asyncio.gather(*(session.close() for session in self.sessions))
