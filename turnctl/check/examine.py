"""One check: targets → iceServers → plan → observations → findings → Report."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from turnctl.check import engine, targets
from turnctl.check.engine import Options
from turnctl.check.targets import Access, Target, TargetError
from turnctl.diagnosis.observations import ListFault, Observation
from turnctl.diagnosis.plan import Plan, make_plan
from turnctl.diagnosis.report import Report, make_report
from turnctl.wire.outcome import Family

__all__ = ["NothingLeft", "Request", "examine"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to check, and how. `context` is for HTTPS to a service."""

    targets: tuple[str, ...]
    access: Access
    options: Options
    families: tuple[Family, ...]
    context: ssl.SSLContext


class NothingLeft(TargetError):
    """The options exclude every URL of the targets."""


async def examine(request: Request, observe: Callable[[Observation], None]) -> Report:
    """Check the targets; each observation goes to `observe` as it is made.

    Raises TargetError (NothingLeft is one).
    """
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    seen: list[Observation] = []

    def record(one: Observation) -> None:
        seen.append(one)
        observe(one)

    found = await asyncio.gather(*(_read(target, request) for target in request.targets))
    for one in _about_lists(found):
        record(one)
    plan = _plan(found, request)
    credentials = {
        server.username: target.credentials
        for target in found
        for server in target.servers
        if server.username is not None and target.credentials is not None
    }
    await engine.run(plan, request.options, record, credentials=credentials)
    elapsed_ms = (time.monotonic() - begun) * 1000
    return make_report(" ".join(request.targets), started, elapsed_ms, plan, seen)


async def _read(target: str, request: Request) -> Target:
    patience = request.options.timeout
    return await targets.read_target(
        target, request.access, context=request.context, patience=patience
    )


def _about_lists(found: Sequence[Target]) -> Iterator[Observation]:
    """How each service answered, and what is wrong with the lists themselves."""
    for target in found:
        if target.issuer:
            yield target.issuer
        for fault in target.faults:
            yield ListFault(
                url=fault.urls[0] if fault.urls else target.name,
                kind=fault.kind,
                where=fault.where,
                detail=fault.detail,
                urls=fault.urls,
            )


def _plan(found: Sequence[Target], request: Request) -> Plan:
    """Raises NothingLeft."""
    plan = make_plan(
        [server for target in found for server in target.servers],
        families=request.families,
        relay_only=request.options.relay_only,
        complete=any(target.complete for target in found),
        places={url: where for target in found for url, where in target.places.items()},
    )
    faulty = any(target.faults for target in found)
    if not plan and not faulty and any(target.servers for target in found):
        raise NothingLeft(
            "nothing is left to check: --relay-only or --family excludes every URL of the target"
        )
    return plan
