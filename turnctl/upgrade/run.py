"""One call of `turnctl upgrade --next`: takes the steps that need no Docker, and returns the lines
for the loop in deploy/upgrade.
"""

from __future__ import annotations

from dataclasses import replace

from turnctl.host import files
from turnctl.upgrade import facts
from turnctl.upgrade.facts import Result
from turnctl.upgrade.moves import HERE, lines
from turnctl.upgrade.steps import next_move
from turnctl.upgrade.work import Work

__all__ = ["next_lines"]


def next_lines(work: Work, text: str, image: str, patience: int) -> list[str]:
    """`text` is what the loop sent, `image` the new image, `patience` how many seconds calls are
    waited for. Raises files.Unusable for a text or a data directory that can't be used."""
    try:
        host = facts.read(text)
    except (ValueError, KeyError, TypeError) as error:
        problem = f"the input from deploy/upgrade can't be read: {error}"
        raise files.Unusable(problem) from error
    with files.locked(work.directory):
        pass  # made if it doesn't exist, before anything is read there
    said: list[str] = []
    done = Result()
    while True:
        seen = work.facts(host, image, patience, done)
        move = next_move(seen)
        if move.note is not None or move.over:
            work.keep(move.note)
        printed = lines(move)
        if move.step.verb not in HERE:
            return [*said, *printed]
        said += printed[:-1]
        done = work.do(move.step, replace(seen, note=work.note()))
        # The host's last result has been used.
        host = replace(host, result=Result())
