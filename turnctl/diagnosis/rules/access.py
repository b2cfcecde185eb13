"""Access: the challenge, the credential, and what an Allocate is refused for."""

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
"""Allocations one browser makes for one call: one for each URL it may be given. A 486 with fewer
of ours around is the server's limit; with more it may be this check's own doing."""

ALLOCATE_ERRORS = {
    300: ("alternate-server", "sends clients to another server (300)"),
    403: ("server-draining", "takes no new allocations (403)"),
    438: ("nonce-loop", "calls each nonce stale at once (438)"),
    441: ("realm-mismatch", "finds the credential under another realm (441)"),
    440: (
        "allocation-refused",
        "has no relay address of this family (440): no relay-ip of the family that clients use",
    ),
    442: ("allocation-refused", "relays no UDP (442): no-udp-relay is set in turnserver.conf"),
    500: (
        "allocation-refused",
        "fails in itself (500): a database that does not answer, most likely",
    ),
    508: ("relay-ports-exhausted", "has no relay port left (508)"),
}
"""Code → finding and likeliest cause. With the rest the server's own words are all there is."""

NO_SUCH_METHOD = {400, 404, 405, 501}
"""What a STUN server that does not know Allocate answers to one that is well-formed: Bad Request,
in RFC 8489's words, or an HTTP-like number of its own."""


def challenge(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Allocate without credentials."""
    seen = case.first(Challenge)
    if seen is None or not case.answered:
        return  # where nothing answers, the first contact was judged
    if seen.outcome is Outcome.OK:
        summary = "gives an allocation to anybody, without credentials"
        yield about(case, "open-relay", FAIL, summary, seen)
    elif seen.outcome is Outcome.SILENT and (hung := [*_hung(record, case)]):
        code, why = "server-unresponsive", "it hangs, over its database most likely"
        if any(one.code == 508 for other in hung for one in other.each(Allocation)):
            code, why = "relay-ports-exhausted", "it looks for a relay port that it can bind (508)"
        summary = f"answers Allocate over {hung[0].probe.url}, and not here meanwhile: {why}"
        yield about(case, code, FAIL, summary, seen)
    elif _knows_stun_alone(case, seen):
        how = "does not answer" if seen.outcome is not Outcome.ERROR else f"refuses ({seen.code})"
        summary = f"answers STUN Binding and {how} Allocate: a STUN server without TURN"
        yield about(case, "stun-only", FAIL, summary, seen)
    elif seen.outcome is not Outcome.ERROR:
        yield no_turn(case, seen, "Allocate")
    elif seen.code != 401:
        yield _refused(record, case, seen)
    elif not seen.nonce or not seen.realm:
        summary = "asks for credentials without saying for which realm"
        if seen.realm is not None:
            summary = "asks for credentials for an empty realm, with which browsers gather no relay"
        yield about(case, "realm-missing", FAIL, summary, seen)


def _hung(record: Record, case: Case) -> Iterator[Case]:
    """URLs of the same listener over which an Allocate was answered: it is no server of STUN alone,
    and what it does for one of them keeps it from answering the others.
    """
    here = (case.address, case.probe.uri.port)
    for other in record.cases:
        if (other.address, other.probe.uri.port) == here and other.turn_answered:
            yield other


def _knows_stun_alone(case: Case, seen: Exchange) -> bool:
    """Whether Binding was answered in STUN, and Allocate as something unknown or not at all."""
    binding = case.first(Binding)
    if binding is None or binding.outcome is not Outcome.OK:
        return False
    if seen.outcome is Outcome.ERROR:
        return seen.code in NO_SUCH_METHOD
    return seen.outcome in {Outcome.SILENT, Outcome.CLOSED}


def _refused(record: Record, case: Case, seen: Exchange) -> Finding:
    code, what = ALLOCATE_ERRORS.get(
        seen.code or 0, ("allocation-refused", f"refuses the allocation: {seen.code} {seen.reason}")
    )
    if code == "alternate-server" and seen.detail:
        what += f", {seen.detail}"
    if seen.code == 508 and first_refused(record, case):
        what = (
            "has no relay port for the first allocation already (508): its relay-ip is not an "
            "address of its host, or other clients hold all ports"
        )
    return about(case, code, FAIL, what, seen)


def allocation(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """The credential: the right one is taken, a wrong one is not."""
    wrong = case.first(WrongCredential)
    if wrong and wrong.outcome is Outcome.OK:
        yield about(case, "open-relay", FAIL, "takes a made-up password", wrong)
        return
    taken, refused = _shown(case)
    if taken and refused:
        summary = (
            f"takes the credential {taken} times and refuses it {refused} times: two servers share "
            "the port"
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
    """The server asked for credentials, so it is one: what answers them has gone, or hangs."""
    match seen.outcome:
        case Outcome.UNKNOWN | Outcome.FOREIGN | Outcome.LOSSY:
            return no_turn(case, seen, "an authenticated Allocate")
        case Outcome.REFUSED:
            summary = (
                "asks for credentials, and nothing listens any more once they come: it crashed or "
                "was restarted. coturn ends so when min-port is above max-port"
            )
        case Outcome.CLOSED:
            summary = (
                "asks for credentials, and closes the connection once they come: it crashed or was "
                "restarted (coturn ends so when min-port is above max-port), or something in front "
                "of it closes"
            )
        case _:
            summary = (
                "asks for credentials and does not answer them: it hangs over a relay-ip that is "
                "not an address of its host or over its database, or something on the way drops "
                "them"
            )
    return about(case, "server-unresponsive", FAIL, summary, seen)


def _shown(case: Case) -> tuple[int, int]:
    """How often the credential was taken and refused, by allocations or by the sockets that showed
    it after a refusal, whichever disagree.

    Never both together: a server may answer their requests in another order of checks.
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
        summary = "refuses another user as well (486): the server's own limit is reached"
        return about(case, "quota-total", FAIL, summary, seen)
    counts = {"held": seen.held, "released": seen.released}
    doubt = "" if other else "; it may be the server's own limit as well (--secret-file tells)"
    if around < OWN_SHARE:
        summary = f"refuses allocation {around + 1} of one user (486){doubt}"
        return about(case, "quota-user", FAIL, summary, seen, **counts)
    summary = f"refuses one user more than {around} allocations (486), all of them this check's"
    return about(case, "quota-user", WARN, summary, seen, **counts)
