"""One URL tried three ways: by `turnctl check`, by Chromium, by Firefox; and where they disagree."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.coturn import Version
from tests.lab.scripted import Browser
from tests.referee.checker import Checker
from tests.referee.configuration import Configuration
from tests.referee.server import Place, credential, fill, running, values

__all__ = ["Clients", "Row", "disagreement", "run"]

SIDE_BY_SIDE = 12
"""Servers at once, each with one URL at a time."""
TIMEOUT = "8"
"""Seconds a URL that check has, three more than by default: six run at once here."""
SCRIPT = (Path(__file__).parent / "page.js").read_text()
OF_LISTS = {"no-tcp-fallback", "no-tls-443"}
"""Codes about what a list lacks: one URL alone lacks it always."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was seen of one URL. `url` is as the configuration has it, ports not filled in."""

    configuration: str
    url: str
    version: Version
    chromium: str
    firefox: str
    verdict: str
    codes: tuple[str, ...]
    """Failing and warning codes, sorted."""

    @property
    def key(self) -> tuple[str, str, Version]:
        return self.configuration, self.url, self.version


WORKS = {"relay and data", "srflx"}
"""What a browser makes of a URL that works."""


def disagreement(row: Row) -> str | None:
    """How check and the browsers contradict each other, if they do."""
    browsers = {"Chromium": row.chromium, "Firefox": row.firefox}
    failing = [name for name, seen in browsers.items() if seen not in WORKS]
    if row.verdict != "fail" and failing:
        return f"check passes, {' and '.join(failing)}: {browsers[failing[0]]}"
    if row.verdict == "fail" and not failing:
        return f"both browsers carry data, check fails: {', '.join(row.codes)}"
    return None


@dataclass(frozen=True, slots=True)
class Clients:
    """Both browsers, in the network that check runs in; the STUN server for a peer without a
    relay."""

    checker: Checker
    chromium: Browser
    firefox: Browser
    stun: str
    root: Path

    def check(self, url: str, login: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
        """Verdict and codes of `turnctl check` with this URL alone."""
        server = {"urls": url}
        if not url.strip().lower().startswith("stun"):
            server |= {"username": login[0], "credential": login[1]}
        # By a list and not as an argument: so a browser gets it too.
        status, said = self.checker.run(
            *("check", "-", "--format", "json", "--ca", str(self.root), "--timeout", TIMEOUT),
            said=json.dumps({"iceServers": [server]}),
        )
        if status not in {0, 1}:
            return f"status {status}", ()
        report = json.loads(said)
        codes = {
            one["code"]
            for one in report["findings"]
            if one["severity"] != "info" and one["code"] not in OF_LISTS
        }
        verdict = "fail" if status else "warn" if codes else "pass"
        return verdict, tuple(sorted(codes))

    def ask(self, browser: Browser, url: str, login: tuple[str, str]) -> str:
        """What a browser makes of the URL, in a few words."""
        server = {"urls": url}
        if not url.strip().lower().startswith("stun"):
            server |= {"username": login[0], "credential": login[1]}
        seen = browser.run(SCRIPT, {"server": server, "stun": self.stun}, timeout=120)
        if "throws" in seen:
            return f"throws {seen['throws']}"
        if "srflx" in seen:
            return "srflx" if seen["srflx"] else "nothing"
        if not seen["relay"]:
            return "nothing"
        if seen["data"] and seen["direct"]:
            return "relay and data"
        if seen["data"]:
            return "data between relays alone"
        return "data to direct peers alone" if seen["direct"] else "relay, no data"


def run(
    corpus: Sequence[tuple[int, Configuration]], place: Place, clients: Clients
) -> list[Row]:
    """Try these configurations, each with its number in the whole corpus, in every version."""
    jobs = [(number, one, version) for number, one in corpus for version in one.versions]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        rows = pool.map(lambda job: _try(*job, place, clients), jobs)
        return [row for several in rows for row in several]


def _try(
    number: int, configuration: Configuration, version: Version, place: Place, clients: Clients
) -> list[Row]:
    known = values(number, version, place.authority)
    server = partial(running, configuration, version, known, place)
    with nullcontext() if configuration.alone else server():
        each = server if configuration.alone else nullcontext
        return [_row(configuration, url, version, known, clients, each) for url in
                configuration.urls]


def _row(
    configuration: Configuration,
    url: str,
    version: Version,
    known: Mapping[str, str],
    clients: Clients,
    server: partial[AbstractContextManager[None]] | type[nullcontext[None]],
) -> Row:
    full = fill(url, known)
    now = time.time()

    def login(user: str) -> tuple[str, str]:
        return credential(configuration.login, user, now)

    def timed(f):
        def g():
            t=time.time(); r=f(); spent.append(round(time.time()-t,1)); return r
        return g
    spent=[]
    asks = [
        lambda: clients.check(full, login("check")),
        lambda: clients.ask(clients.chromium, full, login("chromium")),
        lambda: clients.ask(clients.firefox, full, login("firefox")),
    ]
    asks=[timed(a) for a in asks]

    def alone(ask: object) -> object:
        with server():
            return ask()  # type: ignore[operator]

    if configuration.alone:
        checked, chromium, firefox = [alone(ask) for ask in asks]
    else:
        with ThreadPoolExecutor(3) as pool:
            checked, chromium, firefox = [one.result() for one in map(pool.submit, asks)]
    verdict, codes = checked  # type: ignore[misc]
    row = Row(configuration.name, url, version, chromium, firefox, verdict, codes)  # type: ignore[arg-type]
    import sys
    print(row.configuration, row.version, row.url, "|", row.chromium, "|", row.firefox, "|", row.verdict, *row.codes, "|", disagreement(row) or "", spent, file=sys.stderr)
    return row
