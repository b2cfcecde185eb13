"""Waiting until relays have served their last call. Pure.

No new client is sent to them, but they still accept clients: some have older iceServers, and all
may have to be sent back. When they have no allocation, or half the time is over, they are drained:
they accept no new allocation and end after the last one. Docker then starts them again, which
shows that they had ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from turnctl.coturn.versions import Version, parse_version
from turnctl.upgrade.facts import Facts, Note
from turnctl.upgrade.moves import Move, Step

__all__ = ["REPORT_EVERY", "Over", "still_draining", "waiting"]

DRAINS = Version(4, 8)
"""The first version that can drain. The signal ends an older one."""
QUIET = 2
"""Looks in a row, two seconds apart, without an allocation."""
REPORT_EVERY = 300.0
"""Seconds between two messages during a wait."""


@dataclass(frozen=True, slots=True)
class Over:
    """The wait is over: the relays are empty, or the time is."""

    note: Note
    says: tuple[str, ...] = ()


def waiting(f: Facts, names: tuple[str, ...], watch: tuple[str, ...] = ()) -> Move | Over:
    """The next step while waiting for `names`. The relays in `watch` are measured meanwhile."""
    note, says = f.note, []
    if not note.until:
        says.append(f"waiting for the calls on {' '.join(names)}, at most {f.patience} s")
        says += [
            f"{name} can't drain: only coturn 4.8 and later can"
            for name in names
            if not _drains(f, name)
        ]
        note = replace(note, until=f.now + f.patience, told=f.now, quiet=0)
    busy = [name for name in names if f.runs(name) and f.allocations.get(name)]
    note = replace(note, quiet=0 if busy else note.quiet + 1)
    note, reports = _ended(replace(f, note=note), names, busy)
    says += reports
    left = [name for name in names if name not in note.ended]
    if not left:
        return Over(note, tuple(says))
    if f.now >= note.until:
        cut = " ".join(busy) or "none"
        says.append(f"{f.patience} s are over; cutting the calls on {cut}")
        return Over(note, tuple(says))
    if note.quiet >= QUIET or f.now >= note.until - f.patience / 2:
        drained = tuple(one for one in left if _drains(f, one) and one not in note.draining)
        if drained:
            started = {one: f.host.containers[one].started for one in drained}
            note = replace(note, draining={**note.draining, **started})
            return Move(Step("drain", drained), note, tuple(says))
    if f.now - note.told >= REPORT_EVERY:
        says.append(f"still waiting for calls; {note.until - f.now:.0f} s left")
        note = replace(note, told=f.now)
    step = Step("watch", watch) if watch else Step("wait")
    return Move(step, note, tuple(says))


def _ended(f: Facts, names: tuple[str, ...], busy: list[str]) -> tuple[Note, list[str]]:
    """Note which of them have served their last call, and report it."""
    note, says = f.note, []
    for name in names:
        if name in note.ended:
            if name in busy:
                # It was started again, and a client with older iceServers came.
                note = _without(note, name)
            continue
        drained = name in note.draining and (
            not f.runs(name) or f.host.containers[name].started != note.draining[name]
        )
        if drained and name in busy:
            note = _without(note, name)
        elif drained or not f.runs(name) or (not _drains(f, name) and note.quiet >= QUIET):
            note = replace(note, ended=[*note.ended, name])
            says.append(f"{name} has served its last call")
    return note, says


def _without(note: Note, name: str) -> Note:
    return replace(
        note,
        ended=[one for one in note.ended if one != name],
        draining={one: at for one, at in note.draining.items() if one != name},
    )


def _drains(f: Facts, name: str) -> bool:
    """Whether this relay's version is known to be able to drain."""
    text = f.note.version if f.new(name) else f.note.was_version
    return bool(text) and parse_version(text) >= DRAINS


def still_draining(f: Facts) -> tuple[str, ...]:
    """The relays on the usual ports that accept no client until their last call has ended."""
    return tuple(
        name
        for name in f.usual
        if f.runs(name) and f.note.draining.get(name) == f.host.containers[name].started
    )
