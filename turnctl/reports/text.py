"""Write the report for a person: candidates as they arrive, a verdict per URL, causes and fixes.

`Plain` prints the rows as lines; `live` draws the same rows on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from turnctl.diagnosis.case import Case
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    CandidateSeen,
    Echo,
    IceLeg,
    Observation,
    Resolution,
    TlsHandshake,
)
from turnctl.diagnosis.report import Report
from turnctl.host.addresses import host_port
from turnctl.wire.outcome import Address

__all__ = [
    "CANDIDATE_COLUMNS",
    "URL_COLUMNS",
    "Plain",
    "candidate_row",
    "closing",
    "finding_groups",
    "notes",
    "printable",
    "shown_verdicts",
    "url_row",
]

CANDIDATE_COLUMNS = (
    "time",
    "type",
    "foundation",
    "protocol",
    "address",
    "port",
    "priority",
    "URL",
    "relay",
)
"""The columns of the trickle-ice page, and the protocol that runs to the relay."""

URL_COLUMNS = ("verdict", "URL", "over", "mapped", "relayed", "allocated", "rtt ms", "lost")


def printable(text: str) -> str:
    """One line for a terminal. A server's text may hold characters that move the cursor or reverse
    the text; they are shown as Python escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def candidate_row(one: CandidateSeen) -> tuple[str, ...]:
    """Cells for CANDIDATE_COLUMNS, with the priority as type | local | component preference."""
    priority = f"{one.priority >> 24} | {one.priority >> 8 & 0xFFFF} | {one.priority & 0xFF}"
    return (
        f"{one.at_ms / 1000:.3f}",
        one.type,
        one.foundation[:8],
        one.protocol,
        one.address,
        str(one.port),
        priority,
        "" if one.type == "host" else one.url,
        one.relay_protocol or "",
    )


def url_row(case: Case, verdict: str) -> tuple[str, ...]:
    """Cells for URL_COLUMNS, empty if a step wasn't reached. rtt is p50/p95/max."""
    binding = case.first(Binding)
    allocation = case.first(Allocation, lambda one: one.relayed is not None)
    echo = case.first(Echo)
    rtt = ""
    if echo and echo.rtts_ms:
        figures = (echo.percentile(0.50), echo.percentile(0.95), echo.rtts_ms[-1])
        rtt = "/".join(f"{figure:.1f}" for figure in figures if figure is not None)
    return (
        verdict.upper(),
        case.probe.url,
        f"IPv{case.probe.family}",
        _address(binding.mapped if binding else None),
        _address(allocation.relayed if allocation else None),
        f"{allocation.elapsed_ms:.1f} ms" if allocation else "",
        rtt,
        f"{echo.sent - echo.received}/{echo.sent}" if echo and echo.sent else "",
    )


def _address(address: Address | None) -> str:
    return host_port(*address) if address else ""


def shown_verdicts(report: Report) -> list[tuple[Case, str]]:
    """Verdicts without families that the host has no address of, unless nothing else is left."""
    some = [
        (case, verdict)
        for case, verdict in report.verdicts
        if verdict != "skipped" or _has_failed_lookup(case)
    ]
    return some or list(report.verdicts)


def _has_failed_lookup(case: Case) -> bool:
    return any(one.detail for one in case.each(Resolution))


def finding_groups(findings: Iterable[Finding]) -> list[tuple[Finding, list[Finding]]]:
    """Findings grouped by cause and fix, in the order in which they were found."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.code, one.severity, one.fix), []).append(one)
    return [(group[0], group) for group in groups.values()]


def notes(report: Report) -> list[str]:
    """Certificates and ICE legs, one line each."""
    certificates = {
        _certificate_line(case.probe.url, handshake): None
        for case, _ in report.verdicts
        for handshake in case.each(TlsHandshake)
        if handshake.names
    }
    return [*certificates, *map(_leg_line, report.record.each(IceLeg))]


def _certificate_line(url: str, handshake: TlsHandshake) -> str:
    names = ", ".join(handshake.names)
    days = handshake.days_left or 0
    count = f"{abs(days):.0f} day" + ("" if f"{abs(days):.0f}" == "1" else "s")
    left = f"{count} left" if days >= 0 else f"expired {count} ago"
    version = f"{handshake.version}, " if handshake.version else ""
    return f"TLS at {url}: {version}certificate for {names} by {handshake.issuer}, {left}"


def _leg_line(leg: IceLeg) -> str:
    """How two ICE agents connected, or why they didn't."""
    if leg.outcome != "ok":
        how = "not connected, " if leg.outcome != "unknown" else ""
        return f"ICE over {leg.kind}: {how}{leg.detail}"
    pair = f"{_address(leg.local)} ↔ {_address(leg.remote)} ({leg.via})"
    return f"ICE over {leg.kind}: connected in {leg.elapsed_ms:.0f} ms, {pair}"


def closing(report: Report) -> str:
    """The last line."""
    asked = [case for case, verdict in report.verdicts if verdict != "skipped"]
    relays = [case for case in asked if case.probe.uri.relays]
    if not asked:
        what = "no server was tested"
    elif relays:
        good = sum(case.carries_data for case in relays)
        what = f"{good} of {len(relays)} relay paths carry data"
    else:
        answered = sum(case.answered for case in asked)
        what = f"{answered} STUN servers answer" if answered != 1 else "1 STUN server answers"
    return f"{report.verdict.upper()}  {what}, {report.elapsed_ms / 1000:.2f} s"


class Plain:
    """Lines for pipes, files and CI logs. Candidates are printed at once."""

    WIDTHS = (6, 5, 10, 8, 15, 5, 17, 0, 0)

    def __init__(self, write: Callable[[str], object]) -> None:
        self._give = write
        self._begun = False

    def _write(self, line: str) -> None:
        self._give(printable(line))

    def observe(self, one: Observation) -> None:
        if not isinstance(one, CandidateSeen):
            return
        if not self._begun:
            self._begun = True
            self._write(_line(CANDIDATE_COLUMNS, self.WIDTHS))
        self._write(_line(candidate_row(one), self.WIDTHS))

    def finish(self, report: Report) -> None:
        rows = [url_row(case, verdict) for case, verdict in shown_verdicts(report)]
        blocks = [_table(URL_COLUMNS, rows) if rows else [], notes(report)]
        for first, group in finding_groups(report.findings):
            seen = [f"  {one.url}: {one.summary}" for one in group]
            blocks.append([f"{first.severity.upper()}  {first.code}", *seen, f"  → {first.fix}"])
        for block in filter(None, [*blocks, [closing(report)]]):
            if self._begun:
                self._write("")
            self._begun = True
            for line in block:
                self._write(line)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    table = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_line(row, widths) for row in table]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
