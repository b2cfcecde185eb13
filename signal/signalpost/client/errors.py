"""The client's errors. Each has a stable `code` and a sentence for people.

ClientError
├── Refused      the service said no: `code` is one of docs/protocol.md
├── Unreachable  unreachable: nothing at this address speaks the protocol
├── Undelivered  undelivered: the peer was gone and didn't return
├── CallEnded    the call's outcome, such as `rejected` or `missed`
├── Overrun      overrun: more items came than were read
└── Closed       closed: this client has been closed
"""

from __future__ import annotations

__all__ = [
    "CallEnded",
    "ClientError",
    "Closed",
    "Overrun",
    "Refused",
    "Undelivered",
    "Unreachable",
]


class ClientError(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{message} ({code})")


class Refused(ClientError):
    """`retry_after`: the same may succeed after so many seconds, if the service said so."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(code, message)


class Unreachable(ClientError):
    def __init__(self, message: str) -> None:
        super().__init__("unreachable", message)


class Undelivered(ClientError):
    def __init__(self, message: str = "the peer was gone and didn't return") -> None:
        super().__init__("undelivered", message)


class CallEnded(ClientError):
    """`outcome` is the code. `reason` is the other side's, if it gave one."""

    def __init__(self, outcome: str, reason: str | None = None) -> None:
        self.outcome = outcome
        self.reason = reason
        told = "" if reason is None else f": {reason}"
        super().__init__(outcome, f"the call has ended{told}")


class Overrun(ClientError):
    def __init__(self, kept: int) -> None:
        super().__init__("overrun", f"more than {kept} items were waiting unread")


class Closed(ClientError):
    def __init__(self) -> None:
        super().__init__("closed", "the client is closed")
