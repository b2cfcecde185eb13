"""Draw the report on a terminal: the same rows as `text`, with rich, as they arrive."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from turnctl.diagnosis.observations import CandidateSeen, Observation
from turnctl.diagnosis.report import Report
from turnctl.reports.text import (
    CANDIDATE_COLUMNS,
    URL_COLUMNS,
    candidate_row,
    closing,
    finding_groups,
    notes,
    printable,
    shown_verdicts,
    url_row,
)

__all__ = ["Terminal"]

STYLES = {"pass": "bold green", "warn": "bold yellow", "fail": "bold red", "info": "bold cyan"}


CANDIDATE_LINES = (
    ("time", "type", "protocol", "address", "port", "relay"),
    ("foundation", "priority", "URL"),
)
URL_LINES = (("verdict", "URL", "over"), ("mapped", "relayed", "allocated", "rtt ms", "lost"))
"""Columns of each line if the terminal is too narrow for all of them, as 80 columns usually are."""


class _Rows:
    """Cells in columns: one line per row, or the given `lines` per row if that doesn't fit."""

    def __init__(self, columns: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
        self._columns = columns
        self._lines = lines
        self._rows = [(columns, "dim", "dim")]

    def __bool__(self) -> bool:
        return len(self._rows) > 1

    def add(self, cells: tuple[str, ...], style: str = "") -> None:
        """`style` is the first cell's."""
        self._rows.append((tuple(map(printable, cells)), "", style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = zip(*(row for row, _, _ in self._rows), strict=True)
        widths = {
            name: max(map(len, column)) for name, column in zip(self._columns, cells, strict=True)
        }
        whole = sum(widths.values()) + 2 * (len(widths) - 1)
        lines = self._lines if whole > options.max_width else [self._columns]
        for row, style, first_style in self._rows:
            named = dict(zip(self._columns, row, strict=True))
            indent = 0
            for names in lines:
                line = "  ".join(named[name].ljust(widths[name]) for name in names).rstrip()
                text = Text(line, style=style, overflow="fold")
                if not indent:
                    text.stylize(first_style, 0, len(row[0]))
                if line:
                    yield Padding(text, (0, 0, 0, indent), expand=False)
                indent = widths[self._columns[0]] + 2


class Terminal:
    """A live table of candidates, then verdicts and findings. Always call `stop`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._candidates = _Rows(CANDIDATE_COLUMNS, CANDIDATE_LINES)
        self._live = Live(Text("gathering …", style="dim"), console=console, refresh_per_second=20)

    def start(self, target: str) -> None:
        self._console.print(Text.assemble(("turnctl check ", "bold"), printable(target)))
        self._live.start()

    def observe(self, one: Observation) -> None:
        if isinstance(one, CandidateSeen):
            self._candidates.add(candidate_row(one))
            self._live.update(self._candidates)

    def stop(self) -> None:
        if not self._candidates:
            self._live.update(Text(""))
        self._live.stop()

    def finish(self, report: Report) -> None:
        self.stop()
        verdicts = _Rows(URL_COLUMNS, URL_LINES)
        for case, verdict in shown_verdicts(report):
            verdicts.add(url_row(case, verdict), STYLES.get(verdict, "dim"))
        if verdicts:
            self._console.print(Padding(verdicts, (1, 0, 0, 0)))
        if remarks := notes(report):
            self._console.print(Text("\n" + "\n".join(map(printable, remarks))))
        for first_finding, group in finding_groups(report.findings):
            severity = str(first_finding.severity)
            self._console.print()
            self._console.print(
                Text.assemble(
                    (severity.upper(), STYLES[severity]), "  ", (first_finding.code, "bold")
                )
            )
            lines = [
                Text.assemble((printable(one.url), "dim"), ": ", printable(one.summary))
                for one in group
            ]
            fix = Text.assemble(("→ ", "bold"), printable(first_finding.fix))
            self._console.print(Padding(Group(*lines, fix), (0, 0, 0, 2)))
        self._console.print()
        self._console.print(Text(closing(report), style=STYLES[report.verdict]))
