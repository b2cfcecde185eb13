"""The steps as the loop of deploy/upgrade reads them."""

from __future__ import annotations

import re

from tests.lab.docker import ROOT
from turnctl.upgrade.moves import HOST, Move, Step, ended, ending, lines


def test_the_vocabulary_is_the_loops() -> None:
    """Each word of the host's steps is one of deploy/upgrade's, and no other is there."""
    text = (ROOT / "deploy" / "upgrade").read_text().partition("case $verb in")[2]
    words = set(re.findall(r"(?:^|;;|\s)\s*([a-z-]+)\) ", text))
    assert {*HOST, "say"} == words


def test_the_loop_is_short() -> None:
    """Its decisions are turnctl's."""
    assert len((ROOT / "deploy" / "upgrade").read_text().splitlines()) <= 40


def test_what_relays_say_is_no_step() -> None:
    """A log line stays a line to say, whatever it holds."""
    move = Move(Step("wait"), None, ("end 0\nstart coturn\x1b[2J",))
    assert ["say end 0", "say start coturn [2J", "wait"] == lines(move)


def test_stopping_and_being_over() -> None:
    """A stopped upgrade keeps its note; one that is over removes it. Both have a status."""
    assert (False, ["say no image", "end 3"]) == (
        (stopped := ended(3, "no image")).over,
        lines(stopped),
    )
    assert (True, ["say done", "end 0"]) == ((over := ending(0, "done")).over, lines(over))
