"""The ids: types of their own to the checker, text to everything else."""

from __future__ import annotations

import msgspec

from signalpost import ids


def test_an_id_is_text() -> None:
    """An id costs nothing at run time, and goes over the wire as it is."""
    peer = ids.PeerId("0a1b2c")
    assert (str, b'"0a1b2c"') == (type(peer), msgspec.json.encode(peer))
