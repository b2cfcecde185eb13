"""The close codes of errors."""

from __future__ import annotations

import re
from pathlib import Path

from signalpost import errors
from signalpost.websocket.closing import CLOSE_CODES, close_code

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_document_has_the_same_codes() -> None:
    """Each code that docs/protocol.md says an error closes with is the table's."""
    text = PROTOCOL.read_text(encoding="utf-8")
    documented = dict(re.findall(r"(?m)^\| `([a-z-]+)` \| .* \| (1\d{3}) .*\|$", text))
    by_code = {kind.code: str(int(code)) for kind, code in CLOSE_CODES.items()}
    assert documented.pop("banned") == str(int(close_code(errors.Banned("x"))))
    assert documented == {code: by_code[code] for code in documented}


def test_the_rest_is_a_policy_violation() -> None:
    """An error that ends a connection without a code of its own is the client's fault."""
    assert 1008 == close_code(errors.RoomFull("x"))
    assert 1011 == close_code(errors.SignalpostError("x"))
