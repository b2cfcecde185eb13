"""The steps that an upgrade consists of, as `turnctl upgrade --next` and the host's loop know them.

The vocabulary is fixed, and the loop maps each word to one command: nothing that is printed is ever
run as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from turnctl.upgrade.facts import Note

__all__ = ["HERE", "HOST", "Move", "Step", "ended", "ending", "lines"]

HOST = (
    "ask", "drain", "end", "log", "look", "pull", "remove", "restart", "settle", "start", "version",
    "wait", "watch",
)  # fmt: skip
"""Steps of the host's loop, which has the Docker client."""
HERE = ("hand-out", "install", "load", "prove", "record")
"""Steps that turnctl takes itself."""

Verb = Literal[
    "ask", "drain", "end", "log", "look", "pull", "remove", "restart", "settle", "start", "version",
    "wait", "watch", "hand-out", "install", "load", "prove", "record",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """`names` are services of compose.yaml; "was" before or instead of them means the version that
    ran before. `number` is the exit status of `end`."""

    verb: Verb
    names: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A step, the note to keep before it is taken, and what to tell the operator. Without a note
    the kept one stays as it is; after the last step of an upgrade there is none to keep."""

    step: Step
    note: Note | None
    says: tuple[str, ...] = ()
    over: bool = False


def ended(status: int, *says: str) -> Move:
    """Stop here; the note stays, and the next run goes on."""
    return Move(Step("end", number=status), None, says)


def ending(status: int, *says: str) -> Move:
    """The upgrade is over, one way or the other."""
    return Move(Step("end", number=status), None, says, over=True)


def lines(move: Move) -> list[str]:
    """What the loop reads: what to say, line by line, then the step."""
    step = move.step
    number = [str(step.number)] if step.verb == "end" else []
    says = [f"say {_plain(one)}" for text in move.says for one in text.splitlines()]
    return [*says, " ".join([step.verb, *step.names, *number])]


def _plain(text: str) -> str:
    """Without control characters, which a log may hold."""
    return "".join(one if one.isprintable() else " " for one in text)
