"""Waiting until relays have served their last call. Pure.

Nobody is sent to them any more, and still they take whoever comes: so that clients can be sent back
to them, and for pages that have iceServers from before. Once they have no allocation, or half the
time is over, they are told to drain: they take no new one, end with the last, and are started anew
by Docker, which is how one sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from turnctl.coturn.versions import Version, parse_version
from turnctl.upgrade.facts import Facts, Note
from turnctl.upgrade.moves import Move, Step

__all__ = ["Over", "still_draining", "waiting"]

DRAINS = Version(4, 8)
"""The first that drains; an older one is ended by the signal."""
QUIET = 2
"""Looks in a row, two seconds apart, that see no allocation."""
TELL_EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Over:
    """They are empty, or their time is over."""

    note: Note
    says: tuple[str, ...] = ()


def waiting(f: Facts, names: tuple[str, ...], watch: tuple[str, ...] = ()) -> Move | Over:
    """The next step of the wait for `names`; relays to `watch` are measured meanwhile."""
    note, says = f.note, []
    if not note.until:
        says.append(f"waiting for the calls on {' '.join(names)}, {f.patience} s at most")
        says += [f"{name} cannot drain (coturn 4.8 can)" for name in names if not _drains(f, name)]
        note = replace(note, until=f.now + f.patience, told=f.now, quiet=0)
    busy = [name for name in names if f.runs(name) and f.allocations.get(name)]
    note = replace(note, quiet=0 if busy else note.quiet + 1)
    note, told = _ended(replace(f, note=note), names, busy)
    says += told
    left = [name for name in names if name not in note.ended]
    if not left:
        return Over(note, tuple(says))
    if f.now >= note.until:
        cut = " ".join(busy) or "none"
        says.append(f"{f.patience} s are over; calls are cut on {cut}")
        return Over(note, tuple(says))
    if note.quiet >= QUIET or f.now >= note.until - f.patience / 2:
        told_to = tuple(one for one in left if _drains(f, one) and one not in note.draining)
        if told_to:
            started = {one: f.host.containers[one].started for one in told_to}
            note = replace(note, draining={**note.draining, **started})
            return Move(Step("drain", told_to), note, tuple(says))
    if f.now - note.told >= TELL_EVERY:
        says.append(f"calls go on; {note.until - f.now:.0f} s left")
        note = replace(note, told=f.now)
    step = Step("watch", watch) if watch else Step("wait")
    return Move(step, note, tuple(says))


def _ended(f: Facts, names: tuple[str, ...], busy: list[str]) -> tuple[Note, list[str]]:
    """Which of them are empty for good, as far as is known by now."""
    note, says = f.note, []
    for name in names:
        if name in note.ended:
            if name in busy:
                # It was started anew, and somebody with iceServers from before came.
                note = _without(note, name)
            continue
        drained = name in note.draining and (
            not f.runs(name) or f.host.containers[name].started != note.draining[name]
        )
        if drained and name in busy:
            note = _without(note, name)
        elif drained or not f.runs(name) or (not _drains(f, name) and note.quiet >= QUIET):
            note = replace(note, ended=[*note.ended, name])
            says.append(f"{name} has ended its last call")
    return note, says


def _without(note: Note, name: str) -> Note:
    return replace(
        note,
        ended=[one for one in note.ended if one != name],
        draining={one: at for one, at in note.draining.items() if one != name},
    )


def _drains(f: Facts, name: str) -> bool:
    """Whether it is known that this relay's version can."""
    text = f.note.version if f.new(name) else f.note.was_version
    return bool(text) and parse_version(text) >= DRAINS


def still_draining(f: Facts) -> tuple[str, ...]:
    """Of the relays on the usual ports, the ones that take nobody before their last call ends."""
    return tuple(
        name
        for name in f.usual
        if f.runs(name) and f.note.draining.get(name) == f.host.containers[name].started
    )
