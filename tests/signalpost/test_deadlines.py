"""The deadlines, and the promises about them in the documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalpost.deadlines import DEADLINES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("seconds", "document", "promise"),
    [
        (DEADLINES.hello, "protocol.md", "must be `hello`, within {} seconds"),
        (DEADLINES.resume, "protocol.md", "Within {} seconds the answer is a welcome"),
        (DEADLINES.acknowledge, "protocol.md", "after 32 messages or {} seconds"),
        (DEADLINES.read, "protocol.md", "doesn't read for {} seconds"),
        (DEADLINES.last_hooks, "api.md", "once more, within {} seconds"),
    ],
)
def test_the_documents_promise_the_same(seconds: float, document: str, promise: str) -> None:
    """The documents promise the defaults."""
    words = {2: "two"}
    text = (DOCS / document).read_text(encoding="utf-8")
    shown = f"{seconds:g}"
    assert any(promise.format(each) in text for each in (shown, words.get(int(seconds), shown)))
