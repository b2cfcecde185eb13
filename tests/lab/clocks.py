"""A clock that is wrong, for one process alone: libfaketime, preloaded.

Its command `faketime` is not used: it stays as the parent of what it runs, which then outlives it
when it is killed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.parts import MISSING

__all__ = ["shifted"]


def shifted(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is that far ahead. Skips the test without the part.

    Timers go on as ever: only what tells the date is shifted.
    """
    if not seconds:
        return dict(os.environ)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip(f"{MISSING}faketime")
    return os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
