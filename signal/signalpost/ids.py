"""The ids of rooms, peers, users and calls."""

from __future__ import annotations

from typing import NewType

__all__ = ["CallId", "PeerId", "Ref", "RoomId", "UserId"]

RoomId = NewType("RoomId", str)
PeerId = NewType("PeerId", str)
UserId = NewType("UserId", str)
"""How other peers know a user."""
CallId = NewType("CallId", str)
Ref = str | int | None
"""What a client put on its message to recognize the answer."""
