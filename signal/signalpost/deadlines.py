"""Deadlines: how long the service waits for a client or a receiver, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEADLINES", "Deadlines"]


@dataclass(frozen=True)
class Deadlines:
    """Tests set some of them; the service always uses the defaults."""

    first_request: float = 9.0
    """From a connection to the end of its first request head. The promise is ten: the timer may be
    half a second late, and the process busy.
    """
    body: float = 10.0
    """For the whole body of a request."""
    hello: float = 5.0
    read: float = 10.0
    """A client that reads nothing for this long is cut off."""
    resume: float = 30.0
    """A client that lost its connection may resume its session within this time."""
    acknowledge: float = 2.0
    """Messages from a client are acknowledged after this time, unless there are many of them."""
    mint_again: float = 30.0
    """After the mint limits refused a session's next credential."""
    last_hooks: float = 2.0
    """What web hooks get when the service stops, after the drain."""


DEADLINES = Deadlines()
