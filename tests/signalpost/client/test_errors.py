"""The errors of the Python client: their codes, their sentences, and their document."""

from __future__ import annotations

import re
from pathlib import Path

from signalpost.client import errors

DOCUMENT = Path(__file__).parents[3] / "docs" / "client-python.md"


def test_an_error_says_its_sentence_and_its_code() -> None:
    """Printed, it has both."""
    assert "the room is full (room-full)" == str(errors.Refused("room-full", "the room is full"))
    assert "the call has ended: busy now (rejected)" == str(
        errors.CallEnded("rejected", "busy now")
    )


def test_the_document_has_them_all() -> None:
    """The table of docs/client-python.md names every error, with its code."""
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", DOCUMENT.read_text(encoding="utf-8")))
    kinds = {kind.__name__ for kind in errors.ClientError.__subclasses__()}
    assert kinds == set(rows)
    for made in (errors.Unreachable("x"), errors.Undelivered(), errors.Overrun(1), errors.Closed()):
        assert f"`{made.code}`" == rows[type(made).__name__]
