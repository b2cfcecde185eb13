"""What `make soak` tries in full and `make test` in part."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

__all__ = ["some"]

T = TypeVar("T")


def some(cases: Iterable[T], every: int = 3) -> list[T]:
    """All in `make soak`, one of `every` otherwise; with 3, of all pairs of two things with two
    others each of the four is tried.
    """
    return [*cases][:: 1 if os.environ.get("SOAK") else every]
