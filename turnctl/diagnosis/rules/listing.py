"""Judge the list of URLs and the service that hands it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypedDict

from signalpost.iceservers import DEFAULT_PORTS, IceUri
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding, Severity, finding
from turnctl.diagnosis.icelist import Kind
from turnctl.diagnosis.observations import Binding, Issuer, ListFault, Resolution
from turnctl.diagnosis.plan import Plan
from turnctl.diagnosis.rules import FAIL, INFO, WARN
from turnctl.host.addresses import is_private
from turnctl.wire.outcome import Outcome

__all__ = ["fallbacks", "issuer", "members", "names", "ports", "reference", "rejected"]

SHORT_TTL = 300
"""Seconds: a page may wait longer for its call than a shorter credential lasts."""

BAD_PORTS = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995),
        *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667),
        *(6668, 6669, 6679, 6697, 10080),
    )
)
"""Fetch's "bad ports", which browsers apply to STUN and TURN as well."""


def issuer(plan: Plan, record: Record) -> Iterator[Finding]:
    for one in record.each(Issuer):
        match one.outcome:
            case Outcome.OK if not plan and not any(record.each(ListFault)):
                summary = "the service hands out no STUN or TURN URL"
                yield finding("issuer-bad-response", FAIL, summary, url=one.url, status=one.code)
            case Outcome.OK:
                yield from _credentials_as_issued(one)
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
    known = {url for one in record.each(ListFault) for url in one.urls}
    for url in (one for one in plan.unauthenticated if one not in known):
        summary = "this URL has no username and credential, and browsers reject it"
        yield finding("issuer-bad-response", FAIL, summary, url=url)


def _credentials_as_issued(one: Issuer) -> Iterator[Finding]:
    if one.ttl is not None and one.ttl < SHORT_TTL:
        summary = f"the credential lasts {one.ttl:.0f} s, and the wait for a call may take longer"
        yield finding("issuer-ttl-short", WARN, summary, url=one.url, ttl=one.ttl)
    if one.cacheable:
        summary = "a cache on the way may keep the answer and hand its credential to others"
        yield finding("issuer-cacheable", WARN, summary, url=one.url)


UNFILLED = frozenset({"undefined", "null", "none", "nil", "nan", "your_server"})
"""Host names that show an unfilled template, if they have no address."""


class Where(TypedDict):
    """The URL of the list that a finding is about."""

    url: str
    host: str
    port: int


def rejected(plan: Plan) -> Iterator[Finding]:
    for one in plan.rejected:
        summary = f"{_standing(one.where)}isn't a valid URL: {one.reason}"
        yield finding("url-malformed", FAIL, summary, url=one.url, member=one.where)
    for other in plan.disputed:
        summary = f"{_standing(other.where)}works only in some clients: {other.reason}"
        severity = FAIL if other.throws else WARN
        yield finding("url-malformed", severity, summary, url=other.url, member=other.where)


def _standing(where: str) -> str:
    return f"{where} " if where else ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`says` continues the sentence after the member's name, with the fault's detail in braces."""

    code: str
    severity: Severity
    says: str


_MALFORMED = partial(_Verdict, "iceserver-malformed", FAIL)
_UNUSUAL = partial(_Verdict, "iceserver-malformed", WARN)

_FAULTS: Mapping[Kind, _Verdict] = {
    "not-a-list": _Verdict(
        "iceservers-not-a-list",
        FAIL,
        "is {}, and iceServers must be an array: browsers throw a TypeError and use nothing",
    ),
    "wrapped": _Verdict(
        "iceservers-wrapped",
        INFO,
        "is where this answer has the list: {}",
    ),
    "wrapped-object": _Verdict("iceservers-wrapped", WARN, "is where this answer has the list: {}"),
    "entry-not-object": _MALFORMED("is {}, and browsers throw"),
    "nested-list": _MALFORMED(
        "has another iceServers list instead of urls, and browsers throw: take its entries out"
    ),
    "urls-missing": _MALFORMED("has no urls, and browsers throw{}"),
    "urls-empty": _MALFORMED("is an empty list, and browsers throw"),
    "urls-type": _MALFORMED("is {} instead of a URL, and browsers throw"),
    "urls-nested": _UNUSUAL(
        "is a list within the list: browsers read its one URL, other clients may not"
    ),
    "login-missing": _Verdict(
        "issuer-bad-response", FAIL, "has a TURN URL, and browsers throw: {}"
    ),
    "member-empty": _MALFORMED(
        "is empty beside a TURN URL: browsers throw, or the server refuses them"
    ),
    "member-null": _MALFORMED("is null, and browsers send the text null for it"),
    "member-type": _MALFORMED("is {}, and browsers send meaningless text for it"),
    "member-converted": _UNUSUAL("is {}: browsers turn it into text, other clients may not"),
    "member-broken": _MALFORMED("contains half a character, which can't be sent"),
    "username-too-long": _Verdict(
        "username-too-long", FAIL, "has {}, and browsers throw above 509"
    ),
    "credential-type": _MALFORMED("isn't password, and Firefox throws: leave it out"),
}


LOGIN_FIX = (
    "Write username and credential, under these names, into each entry that has a turn: or turns: "
    "URL."
)


def members(record: Record) -> Iterator[Finding]:
    """Faults in the list itself, judged by what browsers do with them."""
    for one in record.each(ListFault):
        verdict = _FAULTS[one.kind]
        detail = one.detail
        if one.kind == "urls-missing" and detail:
            detail = f": {detail}"
        summary = f"{one.where} {verdict.says.format(detail)}"
        made = finding(verdict.code, verdict.severity, summary, url=one.url, member=one.where)
        yield replace(made, fix=LOGIN_FIX) if one.kind == "login-missing" else made


def ports(plan: Plan) -> Iterator[Finding]:
    """Ports that browsers block, and ports that look swapped."""
    for url, uri in {probe.url: probe.uri for probe in plan.probes}.items():
        where = Where(url=url, host=uri.host, port=uri.port)
        # Chromium gathers srflx from other ports below 1024, and no relay.
        low = uri.relays and uri.port < 1024 and uri.port not in {80, 443}
        if low or uri.port in BAD_PORTS:
            summary = f"browsers block port {uri.port} and gather no candidates from it"
            yield finding("url-blocked-port", FAIL, summary, **where)
        elif uri.port == DEFAULT_PORTS["stun" if uri.secure else "stuns"]:
            summary = (
                f"the URL has {uri.scheme}: with {uri.port}, the usual port for TURN "
                f"{'without' if uri.secure else 'over'} TLS"
            )
            yield finding("url-port-unusual", WARN, summary, **where)


def fallbacks(plan: Plan, record: Record) -> Iterator[Finding]:
    """URLs that a client behind a strict network would need and the whole list lacks."""
    relays = [case for case in record.cases if case.probe.uri.relays and case.address]
    # A relay on the local network isn't meant for clients elsewhere.
    if not plan.complete or not relays or all(_is_near(case) for case in relays):
        return
    first = relays[0].probe
    where = Where(url=first.url, host=first.uri.host, port=first.uri.port)
    if all(case.probe.protocol == "udp" for case in relays):
        summary = "the list offers only UDP, which many company networks block"
        yield finding("no-tcp-fallback", WARN, summary, **where)
    elif not any(case.probe.protocol == "tls" and case.probe.uri.port == 443 for case in relays):
        summary = (
            "the list has no turns: URL on port 443, the only way out of the strictest networks"
        )
        yield finding("no-tls-443", WARN, summary, **where)


def _is_near(case: Case) -> bool:
    binding = case.first(Binding)
    return is_private(case.address or "::1") or bool(binding and binding.same_host)


def names(record: Record) -> Iterator[Finding]:
    """Hosts without an address. Both families count together: one address is enough."""
    by_url: dict[tuple[str, int], list[Case]] = {}
    for case in record.cases:
        by_url.setdefault((case.probe.url, case.probe.entry), []).append(case)
    for (url, entry), cases in by_url.items():
        if any(case.address for case in cases):
            continue
        uri = cases[0].probe.uri
        said = "; ".join(
            dict.fromkeys(r.detail for c in cases for r in c.each(Resolution) if r.detail)
        )
        if any(one.outcome is Outcome.SILENT for c in cases for one in c.each(Resolution)):
            yield replace(_unanswered(record, url, uri, said), entry=entry)
            continue
        families = {case.probe.family for case in cases}
        if uri.host.lower().rstrip(".").replace("-", "_") in UNFILLED:
            said = "; ".join(filter(None, [said, "a variable or a template was not filled in"]))
        what = "no address" if len(families) > 1 else f"no IPv{families.pop()} address"
        yield finding(
            "dns-no-address",
            FAIL,
            f"{uri.host} has {what}" + (f": {said}" if said else ""),
            url=url,
            host=uri.host,
            entry=entry,
            resolver=said,
        )


def reference(record: Record) -> Iterator[Finding]:
    """An independent server that can't be looked up can't help to tell causes apart."""
    listed = {case.probe.url for case in record.cases}
    asked = [one for one in record.each(Resolution) if one.url not in listed]
    if not asked or any(one.addresses for one in asked):
        return
    unanswered = any(one.outcome is Outcome.SILENT for one in asked)
    said = "; ".join(dict.fromkeys(one.detail for one in asked if one.detail))
    what = "could not be looked up" if unanswered else "has no address"
    yield finding(
        "dns-unanswered" if unanswered else "dns-no-address",
        WARN,
        f"the independent server {asked[0].host} {what}" + (f": {said}" if said else ""),
        url=asked[0].url,
        host=asked[0].host,
        resolver=said,
    )


def _unanswered(record: Record, url: str, uri: IceUri, said: str) -> Finding:
    """If the resolver answers for other names, this name's own servers are at fault."""
    others = any(
        one.outcome is Outcome.OK and case.probe.uri.address is None
        for case in record.cases
        for one in case.each(Resolution)
    )
    return finding(
        "dns-unanswered",
        FAIL if others else WARN,
        f"{uri.host} could not be looked up: {said}",
        url=url,
        host=uri.host,
        resolver=said,
    )
