"""The report on a terminal: the same facts as the plain one, drawn while they arrive."""

from __future__ import annotations

import io
import re

from rich.console import Console

from tests.turnctl.reports.sample import SEEN, SHOWN_WORDS, UDP, hostile, report
from turnctl.diagnosis.observations import CandidateSeen
from turnctl.diagnosis.report import Report
from turnctl.reports.live import Terminal
from turnctl.reports.text import (
    CANDIDATE_COLUMNS,
    URL_COLUMNS,
    candidate_row,
    closing,
    notes,
    shown_verdicts,
    url_row,
)


def console(width: int = 200, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    made = Console(
        file=screen, width=width, highlight=False, force_terminal=terminal, color_system=None
    )
    return made, screen


def drawn(made: Report, width: int = 200) -> str:
    """What stands on the screen at the end, without colours."""
    on, screen = console(width)
    terminal = Terminal(on)
    terminal.start(made.target)
    for one in made.record.seen:
        terminal.observe(one)
    terminal.stop()
    terminal.finish(made)
    return screen.getvalue()


def test_the_rows_of_the_plain_report() -> None:
    """Every cell, note, finding and fix of the plain report is on the screen too."""
    made, screen = report(), drawn(report())
    rows = [candidate_row(one) for one in SEEN if isinstance(one, CandidateSeen)]
    rows += [url_row(case, verdict) for case, verdict in shown_verdicts(made)]
    lines = [re.split(r"\s{2,}", line.strip()) for line in screen.splitlines()]
    for row in rows:
        assert [cell for cell in row if cell] in lines
    for words in (*notes(made), closing(made), f"turnctl check {made.target}"):
        assert words in screen
    for finding in made.findings:
        assert f"{finding.url}: {finding.summary}" in screen
        assert f"→ {finding.fix}" in screen
        assert f"{finding.severity.upper()}  {finding.code}" in screen


def test_a_narrow_terminal_keeps_addresses_whole() -> None:
    """If there is no room, the URL folds and not the address, which would mislead."""
    screen = drawn(report(), width=100)
    for address in ("192.0.2.5:40000", "203.0.113.7:50000", "10.0/19.0/19.0"):
        assert address in screen


def test_a_usual_terminal_shows_every_cell() -> None:
    """In 80 columns a row takes two lines, and no cell is cut or folded."""
    made, screen = report(), drawn(report(), width=80)
    rows = [candidate_row(one) for one in SEEN if isinstance(one, CandidateSeen)]
    rows += [url_row(case, verdict) for case, verdict in shown_verdicts(made)]
    shown = [cell for line in screen.splitlines() for cell in re.split(r"\s{2,}", line.strip())]
    for row in (CANDIDATE_COLUMNS, URL_COLUMNS, *rows):
        for cell in filter(None, row):
            assert shown.count(cell) >= 1, cell
    assert max(len(line.rstrip()) for line in screen.splitlines()) <= 80


def test_a_servers_words_are_one_line() -> None:
    """What a server says cannot move the cursor, forge a line or turn the text round."""
    lines = [line.strip() for line in drawn(hostile()).splitlines()]
    assert f"{UDP}: {SHOWN_WORDS}" in lines


def test_nothing_is_left_where_nothing_was_gathered() -> None:
    """The line that says to wait disappears if there is no candidate."""
    assert "gathering" not in drawn(report((), (), (), ()))


def test_the_cursor_comes_back() -> None:
    """After `stop` the terminal is as it was before."""
    on, screen = console(terminal=True)
    terminal = Terminal(on)
    terminal.start("turn:x")
    terminal.observe(SEEN[0])
    terminal.stop()
    terminal.stop()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert screen.getvalue().rindex(shown) > screen.getvalue().rindex(hidden)
