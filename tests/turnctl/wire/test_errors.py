"""Errors on the wire: what an operating system's error stands for, what a strange answer shows."""

from __future__ import annotations

import errno
import os

import pytest

from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, NotStun, from_os_error
from turnctl.wire.outcome import Outcome
from turnctl.wire.stun import Class, Method


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ECONNREFUSED, Outcome.REFUSED),
        (errno.ETIMEDOUT, Outcome.SILENT),
        (errno.EHOSTUNREACH, Outcome.SILENT),
        (errno.ENETUNREACH, Outcome.UNROUTABLE),
        (errno.EADDRNOTAVAIL, Outcome.UNROUTABLE),
        (errno.EACCES, Outcome.UNROUTABLE),
        (errno.ECONNRESET, Outcome.CLOSED),
        (errno.EPIPE, Outcome.CLOSED),
    ],
)
def test_what_the_system_says(number: int, outcome: Outcome) -> None:
    """Each errno has one outcome, and the system's text for it, not asyncio's, is the evidence."""
    error = from_os_error(OSError(number, "Connect call failed ('192.0.2.1', 3478)"))
    assert (outcome, os.strerror(number)) == (error.outcome, str(error))


def test_a_strange_answer_shows_its_beginning() -> None:
    """Enough of it to know an HTTP status line by, and no more."""
    assert "odd, beginning b'HTTP/1.1 400'" == str(NotStun("odd", b"HTTP/1.1 400"))
    assert len(str(NotStun("odd", b"x" * 1000))) < 100
    assert "odd" == str(NotStun("odd"))


def test_an_error_response_without_code() -> None:
    """An error response that does not say which error is told as such."""
    data = stun.build(Method.ALLOCATE, Class.ERROR, transaction_id=bytes(12))
    assert "0 an error response without ERROR-CODE" == str(ErrorResponse(stun.read(data)))
