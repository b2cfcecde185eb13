"""Which step of an upgrade comes next. Pure: facts in, one step out.

The new relays start beside the old ones, are proved, get the new clients, and are watched while the
old ones serve their last calls. Then the new version starts on the usual ports and is proved there,
and the relays beside are emptied and removed. Whenever the new version fails, clients are sent back
to the old relays, which accept new calls until their own drain begins.

A relay is removed or replaced only when it has no allocation or its time is over.
"""

from __future__ import annotations

from dataclasses import replace

from turnctl.coturn.versions import parse_version, refused
from turnctl.upgrade import memory
from turnctl.upgrade.back import back, busy, refuse, removed, returned, settled
from turnctl.upgrade.facts import Facts, Note
from turnctl.upgrade.log import complaints, sections, tail
from turnctl.upgrade.memory import Watched
from turnctl.upgrade.moves import Move, Step, ended, ending
from turnctl.upgrade.waiting import waiting

__all__ = ["next_move"]

START = 30.0
"""Seconds within which a relay that was just started must relay data."""
STARTS = 3
"""Restarts by Docker after which a relay is given up."""
PROOF = 900.0
"""Seconds for all rounds of load. At a load average of 30, each took ten."""
CHECK_EVERY = 15.0
"""Seconds between two checks of a relay that clients use."""
FAILURES = 2
"""Failed checks in a row that count as a failure: a busy host fails one."""
ANSWERED = 2
"""Status of a check that failed although a relay granted allocations."""


def next_move(facts: Facts) -> Move:
    """The step to take now, with the note to write first."""
    note = facts.note
    if note.image != (facts.host.image or ""):
        note = Note(image=facts.host.image or "")
    if not facts.result.verb and not facts.done.verb:
        # A new run starts waiting again: nobody waited since the last one was interrupted.
        note = replace(note, until=0.0, quiet=0, failures=0)
        note = replace(note, begun=facts.now if note.begun else 0.0)
        if not note.proved:
            note = replace(note, checked=0.0, read=False, sizes={})
    facts = replace(facts, note=note)
    return _unusable(facts) or _identified(facts)


def _unusable(f: Facts) -> Move | None:
    coturn = f.host.containers.get("coturn")
    if not f.runs("signal"):
        return ended(3, "the service isn't running here; run docker compose up -d first")
    if coturn is None:
        return ended(3, "there is no coturn to upgrade; run docker compose up -d first")
    if not coturn.host_network:
        return ended(
            3,
            "this works only with host networking. Here, set COTURN_IMAGE and COTURN_VERSION in "
            ".env and "
            "run docker compose up -d, which ends the calls on this relay",
        )
    if f.host.image is None:
        if f.result.verb == "pull":
            return ended(3, f"{f.asked} can't be pulled", *f.result.text.splitlines()[-1:])
        return Move(Step("pull"), None, (f"pulling {f.asked}",))
    if strange := [name for name in f.present if not f.new(name)]:
        name = f.host.containers[strange[0]].name
        return ended(
            3,
            f"an upgrade to {name} has begun. Finish it first, or undo it, which ends the calls "
            "on its "
            "relays:",
            f"docker compose --profile upgrade rm --stop --force {' '.join(f.beside)}",
        )
    return None


def _identified(f: Facts) -> Move:
    note = f.note
    if not note.version:
        if f.result.verb != "version":
            return Move(Step("version"), note)
        try:
            note = replace(note, version=str(parse_version(f.result.text)))
        except ValueError:
            return ended(3, f"{f.asked} has no coturn: turnserver --version prints no version")
        f = replace(f, note=note)
    why = refused(f.version)
    if why and not note.refused:
        if not f.present:
            return ended(3, f"{f.asked} is rejected: {why}")
        return refuse(f, why)
    if note.refused:
        return back(f)
    if all(map(f.new, f.usual)):
        return _finish(f)
    return _forward(f)


# --- on the way -------------------------------------------------------------------------------


def _forward(f: Facts) -> Move:
    note = f.note
    if note.replacing:
        if not busy(f, new=False):
            return _replace(f)
        # Interrupted there, and meanwhile a client with older iceServers came.
        f = replace(f, note=replace(note, replacing=False))
    if f.handed_out == "coturn-next":
        return _serving(f)
    if not note.was:
        if f.result.verb != "ask":
            return Move(Step("ask", ("coturn",)), note)
        note = replace(
            note, was=f.host.containers["coturn"].name, was_version=_version(f.result.text)
        )
        f = replace(f, note=note)
    there = f.present == f.beside
    if f.result.verb == "start" and (f.result.status or not there):
        return refuse(f, "it can't be started", *f.result.text.splitlines())
    if note.begun and there:
        return _proof(f)
    if f.done.verb != "install":
        text = f"starting coturn {note.version} beside the running one"
        return Move(Step("install", f.beside), note, (text,))
    if f.done.status:
        return ended(1, *f.done.text.splitlines())
    # What an earlier run found out about another container doesn't count for this one.
    blank = Note(image=note.image, version=note.version, was=note.was, was_version=note.was_version)
    return Move(Step("start", f.beside), replace(blank, begun=f.now))


def _proof(f: Facts) -> Move:
    """Prove the relays beside before clients are sent to them."""
    note = f.note
    if note.proved:
        return _send(f)
    if reason := _restarted(f, dict.fromkeys(f.beside, STARTS - 1)):
        if f.result.verb == "log":
            return refuse(f, reason, *tail(f.result.text))
        return Move(Step("log", f.beside), note)
    if note.checked and f.now - note.checked > PROOF:
        return refuse(f, f"its test didn't end within {PROOF:.0f} s")
    if f.result.verb == "log":
        if note.failures:
            return refuse(f, "it relays no data", *tail(f.result.text))
        if wrong := complaints(f.result.text):
            return refuse(f, "it rejects its configuration", *wrong)
        note = replace(note, read=True)
    if not note.checked:
        return _checked(f, f.beside)
    if not note.read:
        return Move(Step("log", f.beside), note)
    if f.done.verb == "load":
        return Move(Step("look", f.beside), note)
    if f.result.verb == "look":
        return _measured(replace(f, note=note))
    return Move(Step("load", f.beside), note)


def _measured(f: Facts) -> Move:
    """After a round of load."""
    note, steady = f.note, []
    texts = sections(f.result.text)
    for name in f.beside:
        sample = memory.read(texts.get(name, ""))
        if sample is None:
            # An image without cat: its memory is unknown and isn't judged.
            steady.append(name not in note.sizes)
            continue
        sizes = [*note.sizes.get(name, []), sample.size]
        note = replace(note, sizes={**note.sizes, name: sizes})
        growth = memory.growth(sizes, sample.threads)
        if growth.wrong:
            return refuse(replace(f, note=note), f"{name}: {growth.wrong}")
        steady.append(growth.settled)
    if not all(steady):
        return Move(Step("load", f.beside), note)
    bases = {name: Watched(base=sizes[-1]) for name, sizes in note.sizes.items()}
    says = tuple(
        f"{name}: memory is steady at {sizes[-1] / 1e6:.1f} MB after {len(sizes)} rounds of load"
        for name, sizes in note.sizes.items()
    )
    restarts = {name: f.host.containers[name].restarts for name in f.beside}
    note = replace(note, proved=True, watched=bases, restarts=restarts)
    return _send(replace(f, note=note), *says)


def _checked(f: Facts, names: tuple[str, ...]) -> Move:
    """Whether relays that were just started relay data."""
    note = f.note
    if f.done.verb != "prove":
        return Move(Step("prove", names), note)
    if not f.done.status:
        says = tuple(f"{name} relays data" for name in names)
        if names == f.usual:
            return replace(_finish(replace(f, note=replace(note, placed=True))), says=says)
        return Move(Step("log", names), replace(note, checked=f.now, failures=0), says)
    # A relay that answers has started. Its failure counts once it is seen twice.
    note = replace(note, failures=note.failures + 1 if f.done.status == ANSWERED else 0)
    if note.failures < FAILURES and f.now - note.begun < START:
        return Move(Step("wait"), note)
    says = tuple(f.done.text.splitlines())
    return Move(Step("log", names), replace(note, failures=FAILURES), says)


def _send(f: Facts, *says: str) -> Move:
    """Send new clients to the relay beside."""
    if f.done.verb == "hand-out" and f.done.status:
        return refuse(f, *f.done.text.splitlines())
    note = replace(
        f.note, sent=True, checked=f.now, failures=0, until=0.0, quiet=0, draining={}, ended=[]
    )
    text = f"clients need port {f.next_port}, UDP and TCP, open in the firewall"
    return Move(Step("hand-out", ("coturn-next",)), note, (*says, text))


def _serving(f: Facts) -> Move:
    """New clients use the relays beside. The old ones serve their calls and can take clients
    back."""
    f = replace(f, note=replace(f.note, sent=True))
    if f.result.verb == "watch":
        f = replace(f, note=_watched(f))
    if f.done.verb == "prove":
        failures = f.note.failures + 1 if f.done.status else 0
        f = replace(f, note=replace(f.note, checked=f.now, failures=failures))
    if reason := _fault(f):
        says = f.done.text.splitlines() if f.note.failures else ()
        return refuse(f, reason, *says)
    # A failed check is repeated at once.
    if f.done.verb != "prove" and (f.note.failures or f.now - f.note.checked >= CHECK_EVERY):
        return Move(Step("prove", f.beside), f.note)
    move = waiting(f, f.usual, watch=f.beside)
    if isinstance(move, Move):
        return move
    return _replace(replace(f, note=replace(move.note, replacing=True)), *move.says)


def _watched(f: Facts) -> Note:
    texts, known = sections(f.result.text), dict(f.note.watched)
    for name in f.beside:
        if (sample := memory.read(texts.get(name, ""))) is not None:
            before = known.get(name, Watched(base=sample.size))
            allocations = f.allocations.get(name, 0)
            known[name] = memory.watched(before, sample.size, allocations, f.now)
    return replace(f.note, watched=known)


def _fault(f: Facts) -> str:
    """Why a relay that clients were sent to fails; empty if it works."""
    for name in f.beside:
        if not f.runs(name):
            return f"{name} has stopped"
        if wrong := f.note.watched.get(name, Watched(0)).wrong():
            return f"{name}: {wrong}"
    if f.note.failures >= FAILURES:
        return "it no longer relays data"
    return _restarted(f, f.note.restarts)


def _restarted(f: Facts, known: dict[str, int]) -> str:
    for name in f.beside:
        one = f.host.containers.get(name)
        if one is not None and one.restarts > known.get(name, one.restarts):
            return f"{name} keeps crashing, and Docker restarts it"
    return ""


def _replace(f: Facts, *says: str) -> Move:
    """Start the new version on the usual ports, which have no calls any more."""
    note = f.note
    if f.done.verb == "record" and not f.done.status:
        return Move(Step("install", (*f.usual, *f.beside)), note, says)
    if f.done.verb == "install" and not f.done.status:
        return Move(Step("start", f.usual), replace(note, begun=f.now, placed=False), says)
    if f.done.status:
        return ended(1, *f.done.text.splitlines())
    if f.result.verb == "start":
        return refuse(f, "it can't be started on the usual ports", *f.result.text.splitlines())
    text = f"starting coturn {note.version} on the usual ports"
    return Move(Step("record"), note, (*says, text))


def _finish(f: Facts) -> Move:
    """Every relay on the usual ports is the new one."""
    note = f.note
    if not f.present:
        text = f"coturn is {f.asked}, version {note.version}"
        return settled(f, ending(0, f"done: {text}" if note.begun else f"{text}, already"))
    if not note.placed:
        if f.result.verb == "log":
            return refuse(f, "it relays no data on the usual ports", *tail(f.result.text))
        # If the note was lost, the time for the start begins now.
        f = replace(f, note=replace(note, begun=note.begun or f.now))
        return _checked(f, f.usual)
    if f.handed_out != "coturn":
        return returned(f)
    move = waiting(f, f.present)
    return move if isinstance(move, Move) else removed(replace(f, note=move.note), *move.says)


def _version(text: str) -> str:
    try:
        return str(parse_version(text))
    except ValueError:
        return ""
