"""Judge the challenge, the credential, and the reasons for refusing an Allocate."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import (
    Agreement,
    Allocation,
    Binding,
    Challenge,
    Exchange,
    WrongCredential,
)
from turnctl.diagnosis.rules import FAIL, WARN, about, no_turn, replies
from turnctl.diagnosis.rules.refusal import unauthorized, unfit
from turnctl.diagnosis.rules.slowness import first_refused
from turnctl.wire.outcome import Outcome

__all__ = ["allocation", "challenge"]

OWN_SHARE = 4
"""Allocations that one browser makes for one call: one for each URL it may get. If this check holds
fewer, a 486 is the server's limit. With more, the check itself may have caused it."""

ALLOCATE_ERRORS = {
    300: ("alternate-server", "the server sends clients to another server (300)"),
    403: ("server-draining", "the server accepts no new allocations (403)"),
    438: ("nonce-loop", "the server rejects each nonce as stale at once (438)"),
    441: ("realm-mismatch", "the server has the credential under another realm (441)"),
    440: (
        "allocation-refused",
        "the server has no relay address of this family (440): it needs a relay-ip of that family",
    ),
    442: (
        "allocation-refused",
        "the server doesn't relay UDP (442): no-udp-relay is set in turnserver.conf",
    ),
    500: (
        "allocation-refused",
        "the server has an internal error (500), most likely a database that doesn't answer",
    ),
    508: ("relay-ports-exhausted", "the server has no relay port left (508)"),
}
"""STUN error → finding and likeliest cause. Other errors are quoted in the server's own words."""

NO_SUCH_METHOD = {400, 404, 405, 501}
"""How a STUN server that doesn't support Allocate answers a well-formed one: Bad Request, in RFC
8489's words, or an HTTP-like number of its own."""


def challenge(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Judge the answer to an Allocate without credentials."""
    seen = case.first(Challenge)
    if seen is None or not case.answered:
        return  # if nothing answers, the first contact was judged already
    if seen.outcome is Outcome.OK:
        summary = (
            "the server grants an allocation without credentials, so anybody can use the relay"
        )
        yield about(case, "open-relay", FAIL, summary, seen)
    elif seen.outcome is Outcome.SILENT and (hung := [*_hung(record, case)]):
        code, why = "server-unresponsive", "it hangs, most likely while waiting for its database"
        if any(one.code == 508 for other in hung for one in other.each(Allocation)):
            code, why = (
                "relay-ports-exhausted",
                "it is looking for a relay port that it can bind (508)",
            )
        summary = (
            f"the server answers Allocate over {hung[0].probe.url}, and meanwhile not here: {why}"
        )
        yield about(case, code, FAIL, summary, seen)
    elif _knows_stun_alone(case, seen):
        how = "doesn't answer" if seen.outcome is not Outcome.ERROR else f"refuses ({seen.code})"
        summary = f"the server answers STUN Binding and {how} Allocate: it does STUN, but not TURN"
        yield about(case, "stun-only", FAIL, summary, seen)
    elif seen.outcome is not Outcome.ERROR:
        yield no_turn(case, seen, "Allocate")
    elif seen.code != 401:
        yield _refused(record, case, seen)
    elif not seen.nonce or not seen.realm:
        summary = "the server asks for credentials, but doesn't name a realm"
        if seen.realm is not None:
            summary = (
                "the server asks for credentials with an empty realm, so browsers gather no relay"
            )
        yield about(case, "realm-missing", FAIL, summary, seen)


def _hung(record: Record, case: Case) -> Iterator[Case]:
    """URLs of the same listener over which an Allocate was answered. So it isn't a server for STUN
    alone: its work for one of them keeps it from answering the others.
    """
    here = (case.address, case.probe.uri.port)
    for other in record.cases:
        if (other.address, other.probe.uri.port) == here and other.turn_answered:
            yield other


def _knows_stun_alone(case: Case, seen: Exchange) -> bool:
    """Whether Binding was answered in STUN, and Allocate as unknown or not at all."""
    binding = case.first(Binding)
    if binding is None or binding.outcome is not Outcome.OK:
        return False
    if seen.outcome is Outcome.ERROR:
        return seen.code in NO_SUCH_METHOD
    return seen.outcome in {Outcome.SILENT, Outcome.CLOSED}


def _refused(record: Record, case: Case, seen: Exchange) -> Finding:
    code, what = ALLOCATE_ERRORS.get(
        seen.code or 0,
        ("allocation-refused", f"the server refuses the allocation: {seen.code} {seen.reason}"),
    )
    if code == "alternate-server" and seen.detail:
        what += f", {seen.detail}"
    if seen.code == 508 and first_refused(record, case):
        what = (
            "the server has no relay port even for the first allocation (508): its relay-ip isn't "
            "an address of its host, or other clients hold all ports"
        )
    return about(case, code, FAIL, what, seen)


def allocation(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Judge whether the server accepts the right credential, and refuses a wrong one."""
    wrong = case.first(WrongCredential)
    if wrong and wrong.outcome is Outcome.OK:
        yield about(
            case,
            "open-relay",
            FAIL,
            "the server accepts a made-up password, so anybody can use the relay",
            wrong,
        )
        return
    taken, refused = _shown(case)
    if taken and refused:
        summary = (
            f"the server accepts the credential {taken} times and refuses it {refused} times: two "
            "servers share the port"
        )
        yield about(case, "two-servers-one-port", FAIL, summary, taken=taken, refused=refused)
        return
    for seen in case.each(Allocation):
        if seen.label not in {"a", "b"} or seen.outcome is Outcome.OK:
            continue
        if seen.outcome is not Outcome.ERROR:
            faded = [*replies.went_silent(record, case)]
            yield from faded or [_unanswered(case, seen)]
        elif seen.code == 401:
            yield from unauthorized(record, case, seen, now)
        elif seen.code == 400 and (misnamed := [*unfit(case, seen)]):
            yield from misnamed
        elif seen.code == 486:
            yield _quota(case, seen)
        else:
            yield _refused(record, case, seen)
        return


def _unanswered(case: Case, seen: Allocation) -> Finding:
    """The server asked for credentials, so TURN runs there: it is gone since then, or hangs."""
    match seen.outcome:
        case Outcome.UNKNOWN | Outcome.FOREIGN | Outcome.LOSSY:
            return no_turn(case, seen, "an authenticated Allocate")
        case Outcome.REFUSED:
            summary = (
                "the server asks for credentials, and when they arrive nothing listens any more: "
                "it crashed or was restarted. coturn crashes like this if min-port is above "
                "max-port"
            )
        case Outcome.CLOSED:
            summary = (
                "the server asks for credentials, and closes the connection when they arrive: it "
                "crashed or was restarted (coturn crashes like this if min-port is above "
                "max-port), or something in front of it closes the connection"
            )
        case _:
            summary = (
                "the server asks for credentials, but doesn't answer them: it hangs because a "
                "relay-ip isn't an address of its host or its database doesn't answer, or "
                "something on the way drops them"
            )
    return about(case, "server-unresponsive", FAIL, summary, seen)


def _shown(case: Case) -> tuple[int, int]:
    """How often the credential was accepted and refused, by allocations or by the sockets that sent
    it after a refusal, whichever disagree.

    The two are never added up: a server may check their requests in a different order.
    """
    own = [one for one in case.each(Allocation) if one.label in {"a", "b"}]
    taken = sum(one.outcome is Outcome.OK for one in own)
    if taken and any(one.code == 401 for one in own):
        return taken, len(own) - taken
    agreement = case.first(Agreement)
    return (agreement.taken, agreement.refused) if agreement else (0, 0)


def _quota(case: Case, seen: Allocation) -> Finding:
    around = seen.held + seen.released
    other = case.first(Allocation, lambda one: one.label == "other-user")
    if other and other.code == 486:
        summary = "the server refuses another user as well (486): its own limit is reached"
        return about(case, "quota-total", FAIL, summary, seen)
    counts = {"held": seen.held, "released": seen.released}
    doubt = (
        "" if other else "; this may be the server's own limit as well (--secret-file finds out)"
    )
    if around < OWN_SHARE:
        summary = f"the server refuses allocation {around + 1} of one user (486){doubt}"
        return about(case, "quota-user", FAIL, summary, seen, **counts)
    summary = (
        f"the server allows one user only {around} allocations (486), and all are this check's"
    )
    return about(case, "quota-user", WARN, summary, seen, **counts)
