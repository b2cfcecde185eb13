"""The errors and their codes."""

from __future__ import annotations

from signalpost import errors
from signalpost.web.problems import STATUSES


def test_codes_are_one_to_one() -> None:
    """No two errors share a code, and the tree in the docstring shows them all."""
    codes = [kind.code for kind in STATUSES]
    assert len(set(codes)) == len(codes)
    tree = (errors.__doc__ or "").split()
    assert [code for code in codes if code != "internal" and f"{code}" not in " ".join(tree)] == []
