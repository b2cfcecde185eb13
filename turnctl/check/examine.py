"""One examination: targets → iceServers → plan → observations → findings → Report."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from turnctl.check import engine, targets
from turnctl.check.engine import Options
from turnctl.check.targets import Access, Source
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.icelist import Fault
from turnctl.diagnosis.judge import judge, overall, url_verdict
from turnctl.diagnosis.observations import ListFault, Observation
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.report import Report
from turnctl.wire.outcome import Family

__all__ = ["NothingLeft", "Request", "examine"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to examine and how. `context` is for the HTTP of the issuer."""

    targets: tuple[str, ...]
    access: Access
    options: Options
    families: tuple[Family, ...]
    context: ssl.SSLContext


class NothingLeft(ValueError):
    """The options leave none of the targets' URLs to probe."""


async def examine(request: Request, observe: Callable[[Observation], None]) -> Report:
    """Run it; each observation goes to `observe` as it is made.

    Raises SourceError or NothingLeft.
    """
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    seen: list[Observation] = []

    def record(one: Observation) -> None:
        seen.append(one)
        observe(one)

    load = (
        targets.load(
            target, request.access, context=request.context, patience=request.options.timeout
        )
        for target in request.targets
    )
    loaded = await asyncio.gather(*load)
    for source in loaded:
        if source.issuer:
            record(source.issuer)
        for fault in source.faults:
            record(_about(source, fault))
    plan = make_plan(
        [server for source in loaded for server in source.servers],
        families=request.families,
        relay_only=request.options.relay_only,
        complete=any(source.complete for source in loaded),
        places={url: where for source in loaded for url, where in source.places.items()},
    )
    faulty = any(source.faults for source in loaded)
    if not plan and not faulty and any(source.servers for source in loaded):
        raise NothingLeft("--relay-only and --family leave no URL of the target to probe")
    fresh = {
        server.username: source.fresh
        for source in loaded
        for server in source.servers
        if server.username is not None and source.fresh is not None
    }
    await engine.run(plan, request.options, record, fresh=fresh)
    judged = Record.of(plan, seen)
    findings = tuple(judge(plan, seen, now=time.time()))
    return Report(
        target=" ".join(request.targets),
        started_at=started.isoformat(timespec="milliseconds"),
        elapsed_ms=(time.monotonic() - begun) * 1000,
        record=judged,
        findings=findings,
        verdict=overall(judged, findings),
        verdicts=tuple((case, url_verdict(case, findings)) for case in judged.cases),
    )


def _about(source: Source, fault: Fault) -> ListFault:
    return ListFault(
        url=fault.urls[0] if fault.urls else source.target,
        kind=fault.kind,
        where=fault.where,
        detail=fault.detail,
        urls=fault.urls,
    )
