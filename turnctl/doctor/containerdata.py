"""A container as doctor needs it. `dockerengine.py` fills it in from the engine, and
`composefile.py` from a compose file."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Container", "Published"]

LOOPBACK = ("127.", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Published:
    """A container's port, and the host's address and port that lead to it."""

    port: int
    protocol: str
    host: str
    host_port: int

    @property
    def reachable(self) -> bool:
        """Whether other hosts reach it under the same number. A relayed address names that one."""
        return self.port == self.host_port and not self.host.startswith(LOOPBACK)


@dataclass(frozen=True, slots=True)
class Container:
    """`health` is None without a health check. `last_words` is the last line of its log. `user` is
    its uid, None if not known. `command` is its entrypoint and that one's arguments."""

    service: str
    name: str
    image: str
    state: str
    exit_code: int = 0
    restarts: int = 0
    out_of_memory: bool = False
    health: str | None = None
    last_words: str | None = None
    host_network: bool = True
    published: tuple[Published, ...] = ()
    user: int | None = None
    command: tuple[str, ...] = ()
