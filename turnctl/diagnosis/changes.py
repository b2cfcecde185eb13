"""Find what changed between two checks, so that `watch` writes a line only if something did.

A change is a new verdict, or another set of finding codes, of one URL over one family. Round trips
and wording differ from check to check and don't count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.diagnosis.report import Report
from turnctl.wire.outcome import Family

__all__ = ["Change", "Standing", "changes", "standings"]

Key = tuple[str, Family | None]

GONE = "gone"
"""The verdict of a URL that is no longer handed out, or no longer has an address."""

_WORST_FIRST = list(Severity)
_VERDICTS = {Severity.FAIL: "fail", Severity.WARN: "warn", Severity.INFO: "pass"}


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one URL; `cause` is the summary of its worst finding."""

    verdict: str
    codes: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """`was` is None the first time. `family` is None if there is none, as for the issuer."""

    url: str
    family: Family | None
    was: Standing | None
    now: Standing


def standings(report: Report) -> dict[Key, Standing]:
    """Every URL over every family that it has, then findings about anything else."""
    found: dict[Key, Standing] = {}
    used: set[int] = set()
    for case, verdict in report.verdicts:
        own = [
            one
            for one in report.findings
            if one.url == case.probe.url and one.family in (None, case.probe.family)
        ]
        used |= set(map(id, own))
        if verdict != "skipped":
            found[case.probe.url, case.probe.family] = _standing(verdict, own)
    rest = [one for one in report.findings if id(one) not in used]
    for url in dict.fromkeys(one.url for one in rest):
        own = [one for one in rest if one.url == url]
        worst = min((one.severity for one in own), key=_WORST_FIRST.index)
        found[url, None] = _standing(_VERDICTS[worst], own)
    return found


def _standing(verdict: str, own: list[Finding]) -> Standing:
    ordered = sorted(own, key=lambda one: _WORST_FIRST.index(one.severity))
    codes = tuple(dict.fromkeys(one.code for one in ordered))
    return Standing(verdict, codes, ordered[0].summary if ordered else "")


def changes(before: Mapping[Key, Standing], after: Mapping[Key, Standing]) -> Iterator[Change]:
    """What changed in `after`, in its order, then what is gone."""
    for (url, family), now in after.items():
        was = before.get((url, family))
        if was is None or (was.verdict, set(was.codes)) != (now.verdict, set(now.codes)):
            yield Change(url, family, was, now)
    for (url, family), was in before.items():
        if (url, family) not in after:
            # A finding without a URL is over; a URL is no longer in the list.
            yield Change(url, family, was, Standing("pass" if family is None else GONE))
