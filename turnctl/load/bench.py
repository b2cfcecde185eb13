"""Loads the relays of a request's targets, one URL after the other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from signalpost.iceservers import IceServer
from turnctl.check.examine import Request
from turnctl.check.targets import NoServers, read_target
from turnctl.diagnosis.plan import Probe, make_plan
from turnctl.load import pairs
from turnctl.load.pairs import Demand, LimitExceeded, Measured, Wanted
from turnctl.wire import tls
from turnctl.wire.outcome import Outcome
from turnctl.wire.resolve import ResolutionFailed, resolve

__all__ = ["measure"]


async def measure(
    request: Request,
    wanted: Wanted,
    *,
    sure: bool,
    progress: Callable[[Measured], None] = lambda _: None,
) -> AsyncIterator[Measured]:
    """What each relay carried. `sure` lifts the limit for servers that aren't this machine.

    Raises TargetError (LimitExceeded is one) or NoServers before anything is sent to a relay.
    """
    runs = await _runs(request, wanted, sure)
    context: ssl.SSLContext = tls.context(request.options.ca, verify=not request.options.insecure)
    for one in runs:
        yield await pairs.run(
            one.probe,
            one.address,
            one.demand,
            patience=request.options.timeout,
            context=context,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class _Run:
    probe: Probe
    address: str
    demand: Demand


async def _runs(request: Request, wanted: Wanted, sure: bool) -> list[_Run]:
    """A run for each relay that has an address, with the load that its server may get."""
    runs: list[_Run] = []
    for probe in await _relays(request):
        address = await _address(probe, request.options.timeout)
        if address is not None:
            try:
                demand = pairs.limit(wanted, own=pairs.is_own(address), sure=sure)
            except LimitExceeded as error:
                raise LimitExceeded(f"{probe.uri.host} {error}") from None
            runs.append(_Run(probe, address, demand))
    if not runs:
        raise NoServers("no TURN URL of the target has an address: see turnctl check")
    return runs


async def _relays(request: Request) -> list[Probe]:
    """The relays of all targets."""
    servers: list[IceServer] = []
    for target in request.targets:
        found = await read_target(
            target, request.access, context=request.context, patience=request.options.timeout
        )
        if found.issuer is not None and found.issuer.outcome is not Outcome.OK:
            said = f"{found.issuer.code or ''} {found.issuer.detail}".strip()
            raise NoServers(f"target {target} gave no iceServers: {said}; see turnctl check")
        servers += found.servers
    plan = make_plan(servers, families=request.families, relay_only=True)
    return [probe for probe in plan.probes if probe.uri.relays]


async def _address(probe: Probe, patience: float) -> str | None:
    try:
        return next(iter(await resolve(probe.uri.host, probe.family, patience=patience)), None)
    except ResolutionFailed as error:
        raise NoServers(f"{probe.uri.host}: {error}") from error
