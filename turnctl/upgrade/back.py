"""The way back of an upgrade whose new version does not hold, and what both ways share. Pure.

New clients go to the old relays at once, which take them; the relays beside serve the calls they
have, and are removed then. Where the new version has the usual ports already, nobody is there.
"""

from __future__ import annotations

from dataclasses import replace

from turnctl.upgrade.facts import Facts
from turnctl.upgrade.moves import Move, Step, ended, ending
from turnctl.upgrade.waiting import still_draining, waiting

__all__ = ["back", "busy", "refuse", "removed", "returned", "settled"]


def refuse(f: Facts, reason: str, *says: str) -> Move:
    """The new version does not hold: from here on it goes back."""
    first = f"{f.asked} does not hold: {reason}"
    # The failed step's own outcome is not the outcome of a step back.
    quiet = replace(f.host, result=replace(f.result, verb="none"))
    note = replace(f.note, refused=reason, failures=0)
    move = back(replace(f, note=note, host=quiet, done=replace(f.done, verb="", status=0)))
    return replace(move, says=(*says, first, *move.says))


def back(f: Facts) -> Move:
    note = f.note
    if (note.replacing or any(map(f.new, f.usual))) and not note.undone:
        return _undo(f)
    stopped = [name for name in f.usual if not f.runs(name)]
    if stopped and f.handed_out != "coturn":
        said = f.result.text.splitlines()
        if (f.result.verb == "start" and f.result.status) or (note.until and f.now >= note.until):
            return _stay(f, f"{' '.join(stopped)} cannot be started", *said)
        if not note.until:
            return Move(Step("start", f.usual), replace(note, until=f.now + f.patience))
        # One whose drain has ended is about to be started anew by Docker.
        return Move(Step("wait"), note)
    if note.undone and any(map(f.new, f.usual)):
        return _stay(f, f"{note.was} is the same image by now")
    if f.handed_out != "coturn":
        return _hand_back(f)
    if f.present and (note.sent or any(f.allocations.get(name) for name in f.present)):
        move = waiting(f, f.present)
        if isinstance(move, Move):
            return move
        f = replace(f, note=move.note)
    if f.present:
        return removed(f)
    where = "are back on the relay that ran before" if note.sent else "stay where they are"
    last = ending(1, f"{f.asked} does not work; new clients {where}")
    return settled(f, last) if note.undone else last


def _undo(f: Facts) -> Move:
    """The old version on the usual ports, where nobody is: clients are on the relay beside."""
    note = f.note
    if not note.was or not note.was_version or note.was == f.asked:
        return _stay(f, "which image ran before is not known")
    still = busy(f, new=True)
    if still and not f.done.verb and isinstance(move := waiting(f, still), Move):
        return move
    if f.done.verb == "record" and not f.done.status:
        return Move(Step("install", ("was", *f.usual, *f.beside)), note)
    if f.done.verb == "install" and not f.done.status:
        note = replace(note, undone=True, draining={}, ended=[])
        return Move(Step("start", f.usual), note)
    if f.done.status:
        return _stay(f, *f.done.text.splitlines())
    return Move(Step("record", ("was",)), note, (f"starting {note.was} on the usual ports again",))


def _stay(f: Facts, *says: str) -> Move:
    """There is no way back: whoever runs it again tries the usual ports again."""
    note = replace(f.note, refused="", undone=False, placed=False, begun=0.0)
    last = "clients stay on coturn-next. Mend it and run this again"
    return Move(Step("end", number=1), note, (*says, last))


def _hand_back(f: Facts) -> Move:
    note, drains = f.note, still_draining(f)
    if not drains:
        return returned(f)
    if f.result.verb == "restart" and f.result.status:
        return _stay(f, *f.result.text.splitlines())
    if note.until and f.now >= note.until:
        text = f"calls are cut on {' '.join(drains)}, which takes clients again then"
        return Move(Step("restart", drains), note, (text,))
    says: tuple[str, ...] = ()
    if not note.until:
        note = replace(note, until=f.now + f.patience)
    if f.now - note.told >= 300:
        says = (f"clients go back when {' '.join(drains)} has ended its last call",)
        note = replace(note, told=f.now)
    return Move(Step("wait"), note, says)


def returned(f: Facts) -> Move:
    """New clients to the relay on the usual port."""
    if f.done.verb == "hand-out" and f.done.status:
        return ended(1, *f.done.text.splitlines())
    note = replace(f.note, until=0.0, quiet=0, draining={}, ended=[])
    return Move(Step("hand-out", ("coturn",)), note)


def removed(f: Facts, *says: str) -> Move:
    if f.result.verb == "remove":
        return ended(1, *f.result.text.splitlines())
    return Move(Step("remove", f.beside), f.note, says)


def settled(f: Facts, last: Move) -> Move:
    """As `docker compose up` would have it, so that the next one restarts nothing."""
    if f.result.verb == "settle":
        return ended(1, "init failed: docker compose logs init") if f.result.status else last
    if f.done.verb != "record":
        return Move(Step("record", ("was",) if f.note.undone else ()), f.note)
    if f.done.status:
        return ended(1, *f.done.text.splitlines())
    return Move(Step("settle"), f.note)


def busy(f: Facts, *, new: bool) -> tuple[str, ...]:
    """The relays on the usual ports, of the new version or the old, that have allocations."""
    return tuple(
        one for one in f.usual if f.new(one) is new and f.runs(one) and f.allocations.get(one)
    )
