"""The report on a terminal: the same rows as `text`, drawn with rich while they arrive."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from turnctl.observations import CandidateSeen, Observation
from turnctl.reports import Report
from turnctl.reports.text import (
    CANDIDATE_COLUMNS,
    URL_COLUMNS,
    candidate_row,
    closing,
    finding_groups,
    notes,
    shown_verdicts,
    url_row,
)

__all__ = ["Terminal"]

STYLES = {"pass": "bold green", "warn": "bold yellow", "fail": "bold red", "info": "bold cyan"}


class Terminal:
    """A live table of candidates, then verdicts and findings. Call `stop` whatever happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._table = _table(CANDIDATE_COLUMNS)
        self._live = Live(Text("gathering …", style="dim"), console=console, refresh_per_second=20)

    def start(self, target: str) -> None:
        self._console.print(Text.assemble(("turnctl check ", "bold"), target))
        self._live.start()

    def observe(self, one: Observation) -> None:
        if isinstance(one, CandidateSeen):
            self._table.add_row(*candidate_row(one))
            self._live.update(self._table)

    def stop(self) -> None:
        if not self._table.row_count:
            self._live.update(Text(""))
        self._live.stop()

    def finish(self, report: Report) -> None:
        self.stop()
        table = _table(URL_COLUMNS)
        for case, verdict in shown_verdicts(report):
            first, *rest = url_row(case, verdict)
            table.add_row(Text(first, style=STYLES.get(verdict, "dim")), *rest)
        if table.row_count:
            self._console.print(Padding(table, (1, 0)))
        for note in notes(report):
            self._console.print(Text(note))
        for first_finding, group in finding_groups(report.findings):
            severity = str(first_finding.severity)
            self._console.print()
            self._console.print(
                Text.assemble(
                    (severity.upper(), STYLES[severity]), "  ", (first_finding.code, "bold")
                )
            )
            lines = [Text.assemble((one.url, "dim"), ": ", one.summary) for one in group]
            fix = Text.assemble(("→ ", "bold"), first_finding.fix)
            self._console.print(Padding(Group(*lines, fix), (0, 0, 0, 2)))
        self._console.print()
        self._console.print(Text(closing(report), style=STYLES[report.verdict]))


def _table(columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        # Only the URL may fold on a narrow terminal: a folded address misleads.
        table.add_column(column, overflow="fold", no_wrap=column != "URL")
    return table
