"""One URL tried by `turnctl check`, by Chromium and by Firefox; and where they disagree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.coturn import Version
from tests.lab.forked import Checker
from tests.lab.scripted import Browser
from tests.referee.configuration import Configuration
from tests.referee.corpus import CORPUS
from tests.referee.server import Place, credential, fill, running, values

__all__ = ["BY_CHANCE", "Clients", "Row", "disagreement", "run"]

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


def _ice_server(url: str, login: tuple[str, str]) -> dict[str, str]:
    if url.strip().lower().startswith("stun"):
        return {"urls": url}
    return {"urls": url, "username": login[0], "credential": login[1]}


WORKS = {"relay and data", "srflx"}
"""What a browser makes of a URL that works."""
RELAYS = {*WORKS, "data between relays alone"}
"""And of one whose relays work: that they reach no peer beside may be meant (denied-peer-ip)."""


BY_CHANCE = {one.name for one in CORPUS if one.by_chance}


def disagreement(row: Row) -> str | None:
    """How check and the browsers contradict each other, if they do."""
    if row.configuration in BY_CHANCE:
        return None
    browsers = {"Chromium": row.chromium, "Firefox": row.firefox}
    failing = [name for name, seen in browsers.items() if seen not in RELAYS]
    if row.verdict != "fail" and failing:
        return f"check passes, {' and '.join(failing)}: {browsers[failing[0]]}"
    if row.verdict == "fail" and {*browsers.values()} <= WORKS:
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
        server = _ice_server(url, login)
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
        server = _ice_server(url, login)
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
    corpus: Sequence[tuple[int, Configuration]],
    place: Place,
    clients: Clients,
    *,
    side_by_side: int = SIDE_BY_SIDE,
    report: Callable[[Row], object] = lambda _: None,
) -> list[Row]:
    """Try these configurations, each with its number in the whole corpus, in every version.

    `report` gets each row as soon as it is there.
    """
    jobs = [(number, one, version) for number, one in corpus for version in one.versions]

    def try_one(job: tuple[int, Configuration, Version]) -> list[Row]:
        rows = []
        for row in _Trial(*job, place, clients).rows():
            report(row)
            rows.append(row)
        return rows

    with ThreadPoolExecutor(side_by_side) as pool:
        return [row for several in pool.map(try_one, jobs) for row in several]


@dataclass(frozen=True, slots=True)
class _Trial:
    """One configuration in one version, with all its URLs."""

    number: int
    configuration: Configuration
    version: Version
    place: Place
    clients: Clients

    def rows(self) -> Iterator[Row]:
        if self.configuration.alone:
            yield from map(self._one_after_the_other, self.configuration.urls)
        else:
            with self._server():
                yield from map(self._at_once, self.configuration.urls)

    def _server(self) -> AbstractContextManager[None]:
        return running(self.configuration, self.version, self._known, self.place)

    @property
    def _known(self) -> Mapping[str, str]:
        return values(self.number, self.version, self.place.authority)

    def _one_after_the_other(self, url: str) -> Row:
        """Each client with a server of its own."""
        full, login = fill(url, self._known), self._login(url)
        with self._server():
            checked = self.clients.check(full, login("check"))
        with self._server():
            chromium = self.clients.ask(self.clients.chromium, full, login("chromium"))
        with self._server():
            firefox = self.clients.ask(self.clients.firefox, full, login("firefox"))
        return Row(self.configuration.name, url, self.version, chromium, firefox, *checked)

    def _at_once(self, url: str) -> Row:
        full, login, clients = fill(url, self._known), self._login(url), self.clients
        with ThreadPoolExecutor(3) as pool:
            checked = pool.submit(clients.check, full, login("check"))
            chromium = pool.submit(clients.ask, clients.chromium, full, login("chromium"))
            firefox = pool.submit(clients.ask, clients.firefox, full, login("firefox"))
            seen = chromium.result(), firefox.result()
            return Row(self.configuration.name, url, self.version, *seen, *checked.result())

    def _login(self, url: str) -> Callable[[str], tuple[str, str]]:
        """Each client is another user, for each URL anew: quotas count what users released."""
        number, login = self.configuration.urls.index(url), self.configuration.login
        return lambda client: credential(login, f"{client}{number}", time.time())
