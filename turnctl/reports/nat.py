"""How a NAT behaves, as text and as JSON (`signalpost.nat/1`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from turnctl.diagnosis.report import NatReport
from turnctl.host.addresses import host_port
from turnctl.wire.outcome import Address

__all__ = ["SCHEMA", "as_json", "as_text"]

SCHEMA = "signalpost.nat/1"

_METHODS = {
    "rfc5780": "a server with RFC 5780",
    "two-servers": "several servers",
    "one-server": "one server",
    "none": "no server",
}
_HAIRPIN = {True: "yes", False: "no", None: "unknown"}


def as_text(reports: Sequence[NatReport]) -> str:
    """The families that were tested, a paragraph each. The last line has its newline."""
    tested = ["\n".join(_lines(one)) for one in reports if one.behaviour]
    return "\n\n".join(tested) + "\n"


def _lines(report: NatReport) -> Iterator[str]:
    seen, behaviour = report.seen, report.behaviour
    if seen is None or behaviour is None:
        return
    yield f"IPv{report.family}, seen by {_METHODS[behaviour.method]}"
    hairpin = "not needed" if behaviour.mapping == "none" else _HAIRPIN[behaviour.hairpin]
    for name, value in (
        ("local", _address(seen.local)),
        ("mapped", _address(behaviour.mapped) or "unknown"),
        ("mapping", behaviour.mapping),
        ("filtering", behaviour.filtering),
        ("hairpin", hairpin),
    ):
        yield f"  {name:<9}  {value}"
    for answer in seen.answers:
        if not answer.mapped:
            yield f"  {_address(answer.asked)}: {answer.outcome}"
    yield behaviour.meaning


def as_json(target: str, started_at: str, elapsed_ms: float, reports: Sequence[NatReport]) -> str:
    """Indented JSON with a final newline. Members are added, never renamed."""
    document = {
        "schema": SCHEMA,
        "target": target,
        "startedAt": started_at,
        "elapsedMs": round(elapsed_ms, 3),
        "families": [_family(one) for one in reports],
    }
    return json.dumps(document, indent=2) + "\n"


def _family(report: NatReport) -> dict[str, Any]:
    seen, behaviour = report.seen, report.behaviour
    if seen is None or behaviour is None:
        return {"family": report.family, "skipped": report.skipped}
    return {
        "family": report.family,
        "method": behaviour.method,
        "local": _address(seen.local),
        "mapped": _address(behaviour.mapped),
        "mapping": behaviour.mapping,
        "filtering": behaviour.filtering,
        "hairpin": behaviour.hairpin,
        "meaning": behaviour.meaning,
        "answers": [
            {
                "asked": _address(one.asked),
                "outcome": one.outcome,
                "mapped": _address(one.mapped),
                "source": _address(one.source),
            }
            for one in seen.answers
        ],
    }


def _address(address: Address | None) -> str | None:
    return None if address is None else host_port(*address)
