"""The steps of an upgrade, shared by `turnctl upgrade --next` and the host's loop. Pure.

The list is fixed, and the loop maps each verb to one command. It never runs the printed text
itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from turnctl.upgrade.facts import Note

__all__ = ["HERE", "HOST", "Move", "Step", "ended", "ending", "lines"]

HOST = (
    "ask", "drain", "end", "log", "look", "pull", "remove", "restart", "settle", "start", "version",
    "wait", "watch",
)  # fmt: skip
"""Steps for the host's loop, which has the Docker client."""
HERE = ("hand-out", "install", "load", "prove", "record")
"""Steps that turnctl takes itself."""

Verb = Literal[
    "ask", "drain", "end", "log", "look", "pull", "remove", "restart", "settle", "start", "version",
    "wait", "watch", "hand-out", "install", "load", "prove", "record",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """`names` are services of compose.yaml. "was", before them or alone, means the version that ran
    before. `number` is the exit status of `end`."""

    verb: Verb
    names: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A step, the note to write before it, and messages for the operator. Without a note the last
    one stays; when the upgrade is `over`, the note is removed."""

    step: Step
    note: Note | None
    says: tuple[str, ...] = ()
    over: bool = False


def ended(status: int, *says: str) -> Move:
    """Stop. The note stays, and the next run continues."""
    return Move(Step("end", number=status), None, says)


def ending(status: int, *says: str) -> Move:
    """The upgrade is over, done or undone."""
    return Move(Step("end", number=status), None, says, over=True)


def lines(move: Move) -> list[str]:
    """The lines for the loop: the messages, then the step."""
    step = move.step
    number = [str(step.number)] if step.verb == "end" else []
    says = [f"say {_plain(one)}" for text in move.says for one in text.splitlines()]
    return [*says, " ".join([step.verb, *step.names, *number])]


def _plain(text: str) -> str:
    """Without control characters, which a log may have."""
    return "".join(one if one.isprintable() else " " for one in text)
