"""How an exchange on the wire can end, and the plain types for its endpoints."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

__all__ = ["Address", "Family", "Outcome", "RelayProtocol"]

Address = tuple[str, int]
Family = Literal[4, 6]
RelayProtocol = Literal["udp", "tcp", "tls"]


class Outcome(StrEnum):
    """How a step ended."""

    OK = "ok"
    ERROR = "error"
    """A STUN error response; the code says which."""
    SILENT = "silent"
    """Nothing came back in time."""
    REFUSED = "refused"
    """TCP reset or ICMP port unreachable: the host is there, but nothing listens."""
    UNROUTABLE = "unroutable"
    """This machine has no route to that address."""
    CLOSED = "closed"
    """The other side closed a connection it had accepted."""
    ELSEWHERE = "elsewhere"
    """The answer came from another address or port than the one asked."""
    FOREIGN = "foreign"
    """Something else answers: bytes of another protocol, or an answer to no question of ours."""
    TLS_FAILED = "tls-failed"
    LOSSY = "lossy"
    """Nothing came back over a TCP connection that loses packets: an answer may be on its way."""
    UNKNOWN = "unknown"
    """This machine can't judge the step; `detail` says why."""
