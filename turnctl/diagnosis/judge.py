"""Turn observations into findings: apply the rules in the order in which a connection is made.

Each rule looks at one case and yields what follows. The chain stops at the first step that broke.
The later ones weren't tested, and guessing about them would name wrong causes. To add a code, add a
rule to the chain and an entry to `catalogue.CHECK`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import Binding, Observation
from turnctl.diagnosis.plan import Plan
from turnctl.diagnosis.rules import (
    FAIL,
    LIST_WIDE,
    WARN,
    about,
    access,
    browsers,
    data,
    listing,
    reach,
    reached_otherwise,
    replies,
    slowness,
)

__all__ = ["judge", "overall", "url_verdict"]

CHAIN = (
    reach.link,
    slowness.slow,
    reach.stun,
    access.challenge,
    browsers.realm,
    access.allocation,
    data.data,
    browsers.allocation,
    browsers.credential,
)


def judge(plan: Plan, seen: Sequence[Observation], *, now: float) -> list[Finding]:
    """All findings: those of the issuer, then URL by URL, then of the whole list and of this
    network. `now` is Unix time.
    """
    record = Record.of(plan, seen)
    found = [*listing.issuer(plan, record), *listing.members(record), *listing.rejected(plan)]
    found += [*listing.names(record), *listing.reference(record), *listing.ports(plan)]
    for case in record.cases:
        found += _case(record, case, now)
    found += [*listing.fallbacks(plan, record), *data.nat(record)]
    # If a URL is known to lose packets or to refuse, its ICE agents need no cause of their own.
    explained = {f.url for f in found if f.severity is FAIL or f.code == "relay-data-lost"}
    found += data.ice(record, explained)
    return found


def url_verdict(case: Case, findings: Iterable[Finding]) -> str:
    """pass, warn, fail or skipped for one URL over one family.

    A relay URL passes when it carried data, a STUN URL when it was answered.
    """
    found = [one for one in findings if _of(case, one)]
    own = {one.severity for one in found}
    # Its severity says whether the resolver or the name is to blame; no address is known.
    unknown = any(one.code == "dns-unanswered" for one in found)
    if case.skipped and FAIL not in own and not unknown:
        return "skipped"
    works = case.carries_data if case.probe.uri.relays else case.answered
    if FAIL in own or not works:
        return "fail"
    return "warn" if WARN in own else "pass"


def _of(case: Case, one: Finding) -> bool:
    """Whether a finding is this URL's own over this family."""
    probe = case.probe
    here = one.family in (None, probe.family) and one.entry in (None, probe.entry)
    return one.url == probe.url and here and one.code not in LIST_WIDE


def overall(record: Record, findings: Iterable[Finding]) -> str:
    """pass, warn or fail for the whole check.

    It doesn't pass unless a relay carries data, or STUN answers if only STUN was asked for.
    """
    severities = {f.severity for f in findings}
    relays = [case for case in record.cases if case.probe.uri.relays]
    works = record.carries_data if relays else any(case.answered for case in record.cases)
    if FAIL in severities or not works:
        return "fail"
    return "warn" if WARN in severities else "pass"


def _case(record: Record, case: Case, now: float) -> Iterator[Finding]:
    if case.probe.uri.scheme == "turns" and case.probe.uri.transport == "udp":
        summary = "the URL asks for TLS over UDP, which browsers don't speak"
        yield about(case, "turns-over-udp", WARN, summary)
    if case.lost:
        summary = f"this machine lost its network during the check: {case.lost.detail}"
        yield about(case, "client-network-lost", WARN, summary, case.lost)
        return
    if case.skipped:
        if case.unroutable and not reached_otherwise(record, case):
            summary = f"this machine has no route to {case.address}"
            yield about(case, "unreachable", FAIL, summary, case.first(Binding))
        return
    # Not in the chain: if packets arrive here, the rest can be tested as well.
    yield from replies.hop_limits(case)
    for rule in CHAIN:
        broken = False
        for one in rule(record, case, now):
            yield one
            broken |= one.severity is FAIL
        if broken:
            return
