"""Undoing an upgrade whose new version fails, and the steps that both directions share. Pure.

New clients go to the old relays at once. The relays beside serve the calls they have and are then
removed. If the new version is on the usual ports already, there are no calls on it.
"""

from __future__ import annotations

from dataclasses import replace

from turnctl.upgrade.facts import Facts
from turnctl.upgrade.moves import Move, Step, ended, ending
from turnctl.upgrade.waiting import REPORT_EVERY, still_draining, waiting

__all__ = ["back", "busy", "refuse", "removed", "returned", "settled"]


def refuse(f: Facts, reason: str, *says: str) -> Move:
    """Reject the new version and start to undo the upgrade."""
    first = f"rejecting {f.asked}: {reason}"
    # The failed step's result must not count as the result of a step of the undoing.
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
            return _stay(f, f"{' '.join(stopped)} can't be started", *said)
        if not note.until:
            return Move(Step("start", f.usual), replace(note, until=f.now + f.patience))
        # Docker is about to restart a relay whose drain has ended.
        return Move(Step("wait"), note)
    if note.undone and any(map(f.new, f.usual)):
        return _stay(f, f"{note.was} is now the same image")
    if f.handed_out != "coturn":
        return _hand_back(f)
    if f.present and (note.sent or any(f.allocations.get(name) for name in f.present)):
        move = waiting(f, f.present)
        if isinstance(move, Move):
            return move
        f = replace(f, note=move.note)
    if f.present:
        return removed(f)
    where = "are back on the previous relay" if note.sent else "stay where they are"
    last = ending(1, f"{f.asked} doesn't work; new clients {where}")
    return settled(f, last) if note.undone else last


def _undo(f: Facts) -> Move:
    """Start the old version on the usual ports. They have no calls: clients use the relay
    beside."""
    note = f.note
    if not note.was or not note.was_version or note.was == f.asked:
        return _stay(f, "the previous image is unknown")
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
    """Undoing isn't possible. The next run tries the usual ports again."""
    note = replace(f.note, refused="", undone=False, placed=False, begun=0.0)
    last = "clients stay on coturn-next. Fix the problem and run this again"
    return Move(Step("end", number=1), note, (*says, last))


def _hand_back(f: Facts) -> Move:
    note, drains = f.note, still_draining(f)
    if not drains:
        return returned(f)
    if f.result.verb == "restart" and f.result.status:
        return _stay(f, *f.result.text.splitlines())
    if note.until and f.now >= note.until:
        text = f"cutting the calls on {' '.join(drains)}, which then accepts clients again"
        return Move(Step("restart", drains), note, (text,))
    says: tuple[str, ...] = ()
    if not note.until:
        note = replace(note, until=f.now + f.patience)
    if f.now - note.told >= REPORT_EVERY:
        says = (f"clients go back when {' '.join(drains)} has served its last call",)
        note = replace(note, told=f.now)
    return Move(Step("wait"), note, says)


def returned(f: Facts) -> Move:
    """Send new clients to the relay on the usual port."""
    if f.done.verb == "hand-out" and f.done.status:
        return ended(1, *f.done.text.splitlines())
    note = replace(f.note, until=0.0, quiet=0, draining={}, ended=[])
    return Move(Step("hand-out", ("coturn",)), note)


def removed(f: Facts, *says: str) -> Move:
    if f.result.verb == "remove":
        return ended(1, *f.result.text.splitlines())
    return Move(Step("remove", f.beside), f.note, says)


def settled(f: Facts, last: Move) -> Move:
    """Bring .env and init up to date, so that the next `docker compose up` restarts nothing."""
    if f.result.verb == "settle":
        return ended(1, "init failed; see docker compose logs init") if f.result.status else last
    if f.done.verb != "record":
        return Move(Step("record", ("was",) if f.note.undone else ()), f.note)
    if f.done.status:
        return ended(1, *f.done.text.splitlines())
    return Move(Step("settle"), f.note)


def busy(f: Facts, *, new: bool) -> tuple[str, ...]:
    """The relays on the usual ports that run the new or the old version and have allocations."""
    return tuple(
        one for one in f.usual if f.new(one) is new and f.runs(one) and f.allocations.get(one)
    )
