"""From observations to findings: pure rules, in the order in which a connection is made.

Each rule looks at one case and yields what follows. The chain stops at the first link that broke:
what comes after it was not tested, and guessing at it would name wrong causes. To add a code, add
a rule to the chain and its fix to `findings.FIXES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from signalpost.credentials import read_username
from turnctl.addresses import is_private
from turnctl.case import Case, Record
from turnctl.findings import Finding, Severity, finding
from turnctl.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Echo,
    Exchange,
    IceLeg,
    Inbound,
    Issuer,
    Observation,
    Outcome,
    Permission,
    Refresh,
    Resolution,
    TlsHandshake,
    WrongCredential,
)
from turnctl.plan import Plan

__all__ = ["judge", "overall", "url_verdict"]

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO

OWN_SHARE = 4
"""Allocations one browser makes for one call: one for each URL it may be given. A 486 with fewer
of ours around is the server's limit; with more it may be this check's own doing."""

TOLERABLE_LOSS = 0.05

ALLOCATE_ERRORS = {
    300: ("alternate-server", "sends clients to another server"),
    403: ("server-draining", "takes no new allocations (403)"),
    508: ("relay-ports-exhausted", "has no relay port left (508)"),
}


def judge(plan: Plan, seen: Sequence[Observation], *, now: float) -> list[Finding]:
    """All findings, those of the issuer first, then URL by URL. `now` is Unix time."""
    record = Record.of(plan, seen)
    found = [*_issuer(plan, record), *_rejected(plan), *_names(record)]
    for case in record.cases:
        found += _case(record, case, now)
    found += _ice(record)
    return found


def url_verdict(case: Case, findings: Iterable[Finding]) -> str:
    """pass, warn, fail or skipped for one URL over one family.

    A relay URL passes when it carried data, a STUN URL when it was answered.
    """
    own = {
        f.severity
        for f in findings
        if f.url == case.probe.url and f.family in (None, case.probe.family)
    }
    if case.skipped and FAIL not in own:
        return "skipped"
    works = case.carries_data if case.probe.uri.relays else case.answered
    if FAIL in own or not works:
        return "fail"
    return "warn" if WARN in own else "pass"


def overall(record: Record, findings: Iterable[Finding]) -> str:
    """pass, warn or fail for the whole check: without a relay that carries data, or an answer
    where only STUN was asked for, nothing passes.
    """
    severities = {f.severity for f in findings}
    relays = [case for case in record.cases if case.probe.uri.relays]
    works = record.carries_data if relays else any(case.answered for case in record.cases)
    if FAIL in severities or not works:
        return "fail"
    return "warn" if WARN in severities else "pass"


# --- before any server was asked ---------------------------------------------------------------


def _issuer(plan: Plan, record: Record) -> Iterator[Finding]:
    for one in record.each(Issuer):
        match one.outcome:
            case Outcome.OK if not plan:
                summary = "the service hands out no STUN or TURN URL"
                yield finding("issuer-bad-response", FAIL, summary, url=one.url, status=one.code)
            case Outcome.OK:
                pass
            case Outcome.ERROR:
                said = f": {one.detail}" if one.detail else ""
                summary = f"the service answered HTTP {one.code}{said}"
                yield finding("issuer-refused", FAIL, summary, url=one.url, status=one.code)
            case Outcome.FOREIGN:
                summary = f"the service's answer holds no iceServers: {one.detail}"
                yield finding("issuer-bad-response", FAIL, summary, url=one.url, status=one.code)
            case _:
                summary = f"the service did not answer: {one.detail}"
                yield finding("issuer-unreachable", FAIL, summary, url=one.url)
    for url in plan.unauthenticated:
        summary = "comes without username and credential, and browsers refuse it so"
        yield finding("issuer-bad-response", FAIL, summary, url=url)


def _rejected(plan: Plan) -> Iterator[Finding]:
    for one in plan.rejected:
        yield finding("url-malformed", FAIL, f"is no valid URL: {one.reason}", url=one.url)


def _names(record: Record) -> Iterator[Finding]:
    """Judged over both families together: a host with an address of either has one."""
    by_url: dict[str, list[Case]] = {}
    for case in record.cases:
        by_url.setdefault(case.probe.url, []).append(case)
    for url, cases in by_url.items():
        if any(case.address for case in cases):
            continue
        uri = cases[0].probe.uri
        said = "; ".join(
            dict.fromkeys(r.detail for c in cases for r in c.each(Resolution) if r.detail)
        )
        families = {case.probe.family for case in cases}
        what = "no address" if len(families) > 1 else f"no IPv{families.pop()} address"
        yield finding(
            "dns-no-address",
            FAIL,
            f"{uri.host} has {what}" + (f": {said}" if said else ""),
            url=url,
            host=uri.host,
            resolver=said,
        )


# --- one URL over one family -------------------------------------------------------------------


def _case(record: Record, case: Case, now: float) -> Iterator[Finding]:
    if case.probe.uri.scheme == "turns" and case.probe.uri.transport == "udp":
        summary = "asks for TLS over UDP, which browsers do not speak"
        yield _about(case, "turns-over-udp", WARN, summary)
    if case.skipped:
        if case.unroutable and not _reached_otherwise(record, case):
            summary = f"this machine has no route to {case.address}"
            yield _about(case, "unreachable", FAIL, summary, case.first(Binding))
        return
    for rule in (_link, _stun, _challenge, _allocation, _data):
        broken = False
        for one in rule(record, case, now):
            yield one
            broken |= one.severity is not INFO
        if broken:
            return


def _about(
    case: Case,
    code: str,
    severity: Severity,
    summary: str,
    seen: Exchange | None = None,
    **more: Any,
) -> Finding:
    """A finding about a case, with what the observation says as evidence."""
    evidence: dict[str, Any] = {"address": case.address}
    if seen is not None:
        evidence |= {
            "outcome": str(seen.outcome),
            "elapsedMs": round(seen.elapsed_ms, 1),
            "stunError": f"{seen.code} {seen.reason}".strip() if seen.code is not None else None,
            "detail": seen.detail,
        }
    uri = case.probe.uri
    return finding(
        code,
        severity,
        summary,
        url=case.probe.url,
        family=case.probe.family,
        host=uri.host,
        port=uri.port,
        **(evidence | more),
    )


def _reached_otherwise(record: Record, case: Case) -> bool:
    """Whether the same URL was answered over the other family."""
    return any(
        other.answered
        for other in record.cases
        if other.probe.url == case.probe.url and other is not case
    )


def _link(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """TCP connect and TLS."""
    connection = case.first(Connection)
    if connection and connection.outcome is not Outcome.OK:
        yield _unreached(record, case, connection)
        return
    handshake = case.first(TlsHandshake)
    if handshake is None or handshake.outcome is Outcome.OK:
        return
    certificate = {
        "names": list(handshake.names) or None,
        "issuer": handshake.issuer,
        "notAfter": handshake.not_after,
    }
    host = case.probe.uri.host
    held = ", ".join(handshake.names) or "no name"
    match handshake.problem:
        case "untrusted":
            code, summary = "tls-untrusted", f"the certificate is not trusted: {handshake.detail}"
        case "name-mismatch":
            code, summary = "tls-name-mismatch", f"the certificate is for {held}, not for {host}"
        case "expired":
            code, summary = "tls-expired", f"the certificate's time is over ({handshake.not_after})"
        case "refused":
            code, summary = "tls-refused", f"no TLS there: {handshake.detail}"
        case _:
            code, summary = "deadline-reached", handshake.detail
    yield _about(case, code, FAIL, summary, handshake, **certificate)


def _stun(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """STUN Binding: the first thing that only a STUN server answers."""
    binding = case.first(Binding)
    if binding is None or binding.outcome is Outcome.ERROR:
        return
    if binding.outcome is Outcome.OK:
        if binding.mapped is None:
            summary = "STUN answers without a mapped address"
            yield _about(case, "srflx-missing", FAIL, summary, binding)
        return
    if case.probe.protocol == "udp" and binding.outcome in {Outcome.SILENT, Outcome.REFUSED}:
        yield _unreached(record, case, binding)
    else:
        yield _no_turn(case, binding, "STUN Binding")


def _unreached(record: Record, case: Case, seen: Exchange) -> Finding:
    """Silence or refusal, told apart by what else answers on the host and elsewhere."""
    uri, udp = case.probe.uri, case.probe.protocol == "udp"
    how = "refused" if seen.outcome is Outcome.REFUSED else "silent"
    if seen.outcome is Outcome.UNKNOWN:
        return _about(case, "deadline-reached", FAIL, seen.detail, seen)
    if case.probe.family == 6 and _reached_otherwise(record, case):
        summary = f"{uri.host} has the IPv6 address {case.address}, and it is {how}"
        return _about(case, "ipv6-unreachable", FAIL, summary, seen)
    # A refusal comes from the host itself: then only the same port tells a closed transport.
    port = uri.port if udp and seen.outcome is Outcome.REFUSED else None
    if not record.alive_over(case, "tcp" if udp else "udp", port=port):
        if case.probe.protocol == "tls" and record.alive_over(case, "tcp"):
            return _about(case, "tls-refused", FAIL, f"port {uri.port}/tcp is {how}", seen)
        summary = f"{uri.host} port {uri.port} is {how} over udp and tcp"
        return _about(case, "unreachable", FAIL, summary, seen)
    if case.probe.protocol == "tls":
        return _about(case, "tls-refused", FAIL, f"port {uri.port}/tcp is {how}", seen)
    if not udp:
        summary = f"tcp to port {uri.port} is {how}, udp answers"
        return _about(case, "tcp-blocked", FAIL, summary, seen)
    summary = f"udp to port {uri.port} is {how}, tcp answers"
    reference = record.reference_answers(case)
    if seen.outcome is Outcome.REFUSED or reference is True:
        return _about(case, "udp-blocked", FAIL, summary, seen, referenceAnswers=reference)
    if reference is False:
        summary = "udp is silent here and from an independent server: this network blocks it"
        return _about(case, "client-network-blocks-udp", WARN, summary, seen)
    summary += "; the server's firewall or this network blocks it (--stun-echo URI tells which)"
    severity = WARN if record.carries_data else FAIL
    return _about(case, "udp-blocked", severity, summary, seen)


def _no_turn(case: Case, seen: Exchange, step: str) -> Finding:
    match seen.outcome:
        case Outcome.UNKNOWN:
            return _about(case, "deadline-reached", FAIL, seen.detail, seen)
        case Outcome.SILENT:
            summary = f"takes the connection and does not answer {step}"
        case Outcome.CLOSED:
            summary = f"closes the connection instead of answering {step}"
        case _:
            summary = f"something else than TURN answers {step}: {seen.detail}"
    return _about(case, "not-turn", FAIL, summary, seen)


def _challenge(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Allocate without credentials."""
    challenge = case.first(Challenge)
    if challenge is None:
        return
    if challenge.outcome is Outcome.OK:
        summary = "gives an allocation to anybody, without credentials"
        yield _about(case, "open-relay", FAIL, summary, challenge)
    elif challenge.outcome is not Outcome.ERROR:
        yield _no_turn(case, challenge, "Allocate")
    elif challenge.code != 401:
        yield _refused(case, challenge)
    elif not challenge.nonce or challenge.realm is None:
        summary = "asks for credentials without saying for which realm"
        yield _about(case, "realm-missing", FAIL, summary, challenge)


def _refused(case: Case, seen: Exchange) -> Finding:
    code, what = ALLOCATE_ERRORS.get(
        seen.code or 0, ("allocation-refused", f"refuses the allocation: {seen.code} {seen.reason}")
    )
    return _about(case, code, FAIL, what, seen)


def _allocation(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """The credential: the right one is taken, a wrong one is not."""
    wrong = case.first(WrongCredential)
    if wrong and wrong.outcome is Outcome.OK:
        yield _about(case, "open-relay", FAIL, "takes a made-up password", wrong)
        return
    for seen in case.each(Allocation):
        if seen.label not in {"a", "b"} or seen.outcome is Outcome.OK:
            continue
        if seen.outcome is not Outcome.ERROR:
            yield _no_turn(case, seen, "an authenticated Allocate")
        elif seen.code == 401:
            yield _unauthorized(case, seen, now)
        elif seen.code == 486:
            yield _quota(case, seen)
        else:
            yield _refused(case, seen)
        return


def _unauthorized(case: Case, seen: Allocation, now: float) -> Finding:
    """A 401 to our credential. With the secret at hand the experiments decide."""
    trials = {one.label: one.outcome is Outcome.OK for one in case.each(Allocation)}
    expires = read_username(seen.username).expires
    expired = expires is not None and expires <= now
    facts = {
        "expires": expires,
        "trials": {k: v for k, v in trials.items() if k not in "ab"} or None,
    }
    if trials.get("far-future"):
        summary = "takes only a credential far in the future: its clock is ahead of this machine's"
        return _about(case, "clock-skew", FAIL, summary, seen, **facts)
    if expired and trials.get("fresh", True):
        summary = f"the credential ended {now - (expires or 0):.0f} s ago"
        return _about(case, "credential-expired", FAIL, summary, seen, **facts)
    if trials.get("fresh"):
        summary = "the issued credential is refused, one minted with the given secret is taken"
    elif "fresh" in trials:
        summary = "credentials minted with the given secret are refused"
    else:
        summary = "the credential is refused"
    return _about(case, "secret-mismatch", FAIL, summary, seen, **facts)


def _quota(case: Case, seen: Allocation) -> Finding:
    around = seen.held + seen.released
    counts = {"held": seen.held, "released": seen.released}
    if around < OWN_SHARE:
        summary = f"refuses allocation {around + 1} of one user (486)"
        return _about(case, "quota-user", FAIL, summary, seen, **counts)
    summary = f"refuses one user more than {around} allocations (486), all of them this check's"
    return _about(case, "quota-user", WARN, summary, seen, **counts)


def _data(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Addresses, permissions and packets."""
    granted = case.first(Allocation, lambda one: one.relayed is not None)
    if granted is None or granted.relayed is None:
        return
    relayed = granted.relayed[0]
    if is_private(relayed) and case.address and not is_private(case.address):
        summary = f"gives out the private address {relayed}, and is itself at {case.address}"
        yield _about(case, "relay-address-private", FAIL, summary, granted)
        return
    refused = {one.purpose: one for one in case.each(Permission) if one.outcome is Outcome.ERROR}
    if "public" in refused:
        summary = f"forbids public peers such as {refused['public'].peer}"
        # A relay inside a private network may be meant for that network alone.
        severity = WARN if is_private(relayed) else FAIL
        yield _about(case, "permission-refused", severity, summary, refused["public"])
        return
    if "own-relay" in refused:
        summary = f"forbids its own relay address {relayed} as a peer"
        yield _about(case, "own-relay-refused", FAIL, summary, refused["own-relay"])
    yield from _inbound(case)
    yield from _echo(case)
    refresh = case.first(Refresh)
    if refresh and refresh.outcome not in {Outcome.OK, Outcome.UNKNOWN}:
        yield _about(case, "refresh-failed", FAIL, "does not refresh the allocation", refresh)


def _inbound(case: Case) -> Iterator[Finding]:
    inbound = case.first(Inbound)
    if inbound is None:
        return
    facts = {
        "relayed": f"{inbound.relayed[0]} port {inbound.relayed[1]}",
        "sent": inbound.sent,
        "received": inbound.received,
    }
    if inbound.outcome is Outcome.SILENT:
        summary = f"packets to relay port {inbound.relayed[1]}/udp do not arrive"
        yield _about(case, "relay-range-blocked", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.OK and not inbound.replied:
        summary = "packets reach the relay, and replies through it are lost"
        yield _about(case, "relay-data-lost", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.UNKNOWN or inbound.same_host:
        why = inbound.detail or "asked from the server's own host, behind its firewall"
        summary = f"whether the firewall lets packets to the relay ports was not proved: {why}"
        yield _about(case, "relay-range-unproved", INFO, summary, inbound)


def _echo(case: Case) -> Iterator[Finding]:
    echo = case.first(Echo)
    if echo is None:
        return
    if echo.outcome is Outcome.UNKNOWN:
        yield _about(case, "deadline-reached", FAIL, echo.detail, echo)
    elif echo.outcome is not Outcome.OK:
        summary = f"the echo through the relay broke off: {echo.detail}"
        yield _about(case, "relay-data-lost", FAIL, summary, echo)
    elif echo.loss > TOLERABLE_LOSS:
        summary = f"{echo.sent - echo.received} of {echo.sent} packets through the relay were lost"
        severity = WARN if echo.received else FAIL
        yield _about(
            case, "relay-data-lost", severity, summary, echo, sent=echo.sent, received=echo.received
        )


def _ice(record: Record) -> Iterator[Finding]:
    for leg in record.each(IceLeg):
        if leg.outcome in {Outcome.OK, Outcome.UNKNOWN}:
            continue
        code = "ice-relay-failed" if leg.kind == "relay" else "ice-srflx-failed"
        severity = WARN if leg.kind == "relay" else INFO
        summary = f"two ICE agents did not connect over {leg.kind} candidates: {leg.detail}"
        yield finding(code, severity, summary, url=leg.url, family=leg.family)
