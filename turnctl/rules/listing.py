"""The list of URLs and who hands it out: judged before and beside what the servers answered."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.case import Case, Record
from turnctl.findings import Finding, finding
from turnctl.observations import Issuer, Outcome, Resolution
from turnctl.plan import Plan
from turnctl.rules import FAIL

__all__ = ["issuer", "names", "rejected"]


def issuer(plan: Plan, record: Record) -> Iterator[Finding]:
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


def rejected(plan: Plan) -> Iterator[Finding]:
    for one in plan.rejected:
        yield finding("url-malformed", FAIL, f"is no valid URL: {one.reason}", url=one.url)


def names(record: Record) -> Iterator[Finding]:
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
