"""iceServers lists: what check says of one is what browsers do with it, member by member."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import browser, coturn, firefox, netns
from tests.lab.prober import Checked, check
from tests.lab.scripted import Browser
from tests.referee.lists import CASES, CONF, ListCase, constructed, gathered
from turnctl.diagnosis import icelist
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.observations import ListFault
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.rules import listing

SOAK = bool(os.environ.get("SOAK"))

PORT = 20478

MISREAD = {"username-null", "credential-null"}
"""Lists that browsers use, with a text that nobody meant: null becomes "null"."""

REFUSED = {"username-colon-password", "credential-newline"}
"""Lists in which nothing is wrong but the credential: the server says so, and not the list."""

WIRE = {"url-lead-blank", "url-ipv4-decimal", "username-number", "urls-nested", "url-upper-stun"}
"""Lists that are checked on the wire in every run: unusual, and both browsers use them."""


def ids(case: ListCase) -> str:
    return case.name


def findings(ice_servers: object) -> list[str]:
    """The findings of a list by itself, in which order does not matter."""
    read = icelist.read({"iceServers": ice_servers})
    plan = make_plan(read.servers, complete=True, places=read.places)
    faults = [
        ListFault(url="list", kind=one.kind, where=one.where, detail=one.detail, urls=one.urls)
        for one in read.faults
    ]
    record = Record.of(plan, faults)
    found = [
        *listing.issuer(plan, record),
        *listing.members(record),
        *listing.rejected(plan),
    ]
    return sorted(
        f"{one.severity} {one.code} {one.evidence.get('member', '')}".strip() for one in found
    )


# --- the table and the rules -------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_each_member_is_judged(case: ListCase) -> None:
    """The findings are those of the table, each with its member."""
    assert sorted(case.findings) == findings(case.ice_servers)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_verdict_is_the_browsers(case: ListCase) -> None:
    """A list that a browser throws at fails, one that both use does not, and one that a browser
    passes over is not silent.
    """
    severities = {one.split()[0] for one in case.findings}
    if case.throws:
        assert "fail" in severities
    elif case.seen == {"uses"} and case.name not in MISREAD:
        assert "fail" not in severities
    elif "ignores" in case.seen and case.name not in REFUSED:
        assert severities & {"warn", "fail"}


def test_the_table_is_large_and_its_names_differ() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
    assert MISREAD | REFUSED | WIRE <= {case.name for case in CASES}


# --- the browsers ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lab:
    site: netns.Site
    chromium: Browser
    firefox: Browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Both browsers behind one NAT, and the server of the lists beyond it."""
    home = tmp_path_factory.mktemp("lists")
    with (
        netns.site("port-restricted") as site,
        coturn.running(
            site.server.address, namespace=site.server.name, port=PORT, auth=False, lines=CONF
        ),
        browser.scripted(site.client, home / "chromium") as chromium,
        firefox.inside(site.client, home / "firefox") as gecko,
    ):
        yield Lab(site, chromium, gecko)


def differences(said: dict[str, str], cases: Sequence[ListCase], who: str) -> dict[str, object]:
    """Name → what the table has, and what the browser did, where these differ."""
    return {
        case.name: (getattr(case, who), said[case.name])
        for case in cases
        if getattr(case, who) != said[case.name]
        and not (said[case.name] == "constructs" and getattr(case, who) in ("uses", "ignores"))
        and not (said[case.name] == "constructs" and getattr(case, who) == "accepts")
    }


@pytest.mark.parametrize("who", ["chromium", "firefox"])
def test_what_browsers_throw_at(lab: Lab, who: str) -> None:
    """Every list of the table, in the constructor."""
    said = constructed(getattr(lab, who), CASES)
    assert {} == differences(said, CASES, who)


@pytest.mark.parametrize("who", ["chromium", "firefox"])
def test_what_browsers_gather_from(lab: Lab, who: str) -> None:
    """The lists that a browser uses; with SOAK=1 those that it passes over as well, which takes
    longer.
    """
    cases = tuple(case for case in CASES if case.gathers and (SOAK or getattr(case, who) == "uses"))
    said = gathered(getattr(lab, who), cases)
    assert {} == differences(said, cases, who)


# --- the check itself --------------------------------------------------------------------------


def checked(lab: Lab, folder: Path, document: object) -> Checked:
    path = folder / "ice.json"
    path.write_text(json.dumps(document))
    return check(
        "--relay-only" if "turn" in str(document) else "-v", str(path), inside=lab.site.client
    )


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if case.seen == {"uses"} and case.name not in MISREAD and (SOAK or case.name in WIRE)
    ],
    ids=ids,
)
def test_check_uses_what_browsers_use(lab: Lab, tmp_path: Path, case: ListCase) -> None:
    """On the wire no failing finding, and the relay carries data."""
    done = checked(lab, tmp_path, {"iceServers": case.ice_servers})
    assert (0, set()) == (done.status, done.codes("fail")), done.report["findings"]


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if (case.throws or case.name in REFUSED)
        and (SOAK or case.name in {"list-object", "entry-string", "username-510"} | REFUSED)
    ],
    ids=ids,
)
def test_check_fails_where_browsers_throw(lab: Lab, tmp_path: Path, case: ListCase) -> None:
    """Exit status 1, and the member is named."""
    done = checked(lab, tmp_path, {"iceServers": case.ice_servers})
    assert 1 == done.status
    said = {
        f"{one['severity']} {one['code']} {one['evidence'].get('member', '')}".strip()
        for one in done.report["findings"]
    }
    assert {*case.findings} <= said
