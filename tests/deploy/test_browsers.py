"""Two people at the call page, each behind a network of their own, and nothing but the relay
between them: through `docker compose up` with a name, and through `make up` without one.

With SCREENSHOTS=FOLDER what they saw is kept there; the README's pictures are from such a run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Playwright, ViewportSize, sync_playwright

from tests.browser import stand
from tests.browser.stand import Person
from tests.lab import browser, netns
from tests.lab.composed import Composed
from tests.lab.deployment import DOMAIN
from tests.lab.names import names
from tests.lab.netns import SERVER, Internet, Kind, Site
from tests.lab.programs import started

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = os.environ.get("SCREENSHOTS")

Transport = Literal["", "TCP", "TLS"]
"""How the relay has to be reached. Behind a symmetric NAT each way is open and the browser chooses:
by UDP it finds no name that stands in /etc/hosts alone, as the lab's do."""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as made:
        yield made


@contextlib.contextmanager
def people(
    playwright: Playwright, sites: tuple[Site, Site], url: str, home: Path, *options: str
) -> Iterator[tuple[Person, Person]]:
    """Ada at a desk and Bob with a phone, each in one of the sites; neither page may fail."""
    with contextlib.ExitStack() as stack:

        def come(site: Site, name: str, viewport: ViewportSize) -> Person:
            window = browser.inside(
                site.client, home / name, playwright, *options, viewport=viewport
            )
            return stand.person(stack.enter_context(window), url, name)

        ada = come(sites[0], "Ada", {"width": 1000, "height": 640})
        bob = come(sites[1], "Bob", {"width": 360, "height": 640})
        yield ada, bob
        assert [] == [*ada.faults, *bob.faults]


def keep(one: Person, name: str) -> None:
    """A screenshot, where they are wanted."""
    if SCREENSHOTS:
        one.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def talk(ada: Person, bob: Person, over: Transport, picture: str) -> None:
    """Each sees the other through a relay, reached as it must be, and reads what they write."""
    for one in (ada, bob):
        one.sees()
        one.is_with(1, path="relayed")
        one.tile.locator(f".path[title^='relayed over {over}']").wait_for()
    ada.say("Good morning, do you see me?")
    bob.hears("Good morning, do you see me?")
    bob.say("I do, over the relay.")
    ada.hears("I do, over the relay.")
    for one in (ada, bob):
        one.goes_on_seeing()
    keep(ada, picture)
    bob.page.click("#chat-toggle")  # where it lies over the picture
    keep(bob, f"{picture}-phone")


def meet(ada: Person, bob: Person, over: Transport, picture: str) -> None:
    """A call with its end, and then a room by its link."""
    for one in (ada, bob):
        one.enter_lobby()
    ada.call(bob)
    bob.page.wait_for_selector("#incoming[open]")
    keep(bob, f"{picture}-incoming")
    bob.page.click("#accept")
    talk(ada, bob, over, f"{picture}-call")
    bob.hang_up()
    for one in (ada, bob):
        one.page.wait_for_selector("#lobby:not([hidden])")
    ada.page.fill("#room-name", "Tuesday noon")
    ada.page.press("#room-name", "Enter")
    ada.page.wait_for_selector("#stage:not([hidden])")
    bob.page.goto(ada.page.url)
    bob.page.reload()  # another fragment alone loads nothing
    bob.enter()
    talk(ada, bob, over, f"{picture}-room")
    ada.hang_up()
    bob.is_with(0, path="relayed")


@pytest.mark.parametrize(("kind", "over"), [("symmetric", ""), ("only-80-443", "TLS")])
def test_composed_with_a_name(
    playwright: Playwright, composed: Composed, tmp_path: Path, kind: Kind, over: Transport
) -> None:
    """Call, pictures both ways, chat, hang up, and again by room link: page and signaling over
    HTTPS, media through the relay; by TURN over TLS where nothing but 80 and 443 is open."""
    sites = composed.internet.join(kind), composed.internet.join(kind)
    # Chromium asks only the system's roots for WebRTC's own TLS, unless it is told so.
    pinned = f"--ignore-certificate-errors-spki-list={composed.pinned}"
    with contextlib.ExitStack() as stack:
        for site in sites:
            stack.enter_context(names(site.client, DOMAIN, [SERVER]))
        with people(playwright, sites, f"https://{DOMAIN}/", tmp_path, pinned) as (ada, bob):
            meet(ada, bob, over, f"composed-{kind}")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """`make up` with local processes, on ports that such networks let through."""
    clone = tmp_path_factory.mktemp("local")
    shutil.copytree(ROOT / "deploy", clone / "deploy")
    (clone / ".venv").symlink_to(ROOT / ".venv")
    with netns.internet() as made:
        server = made.server.name
        with started(
            [sys.executable, "-m", "deploy.up"],
            clone / "up.log",
            ready=lambda: "Ctrl-C stops everything" in (clone / "up.log").read_text(),
            namespace=server,
            environment={
                "PYTHONPATH": str(clone),
                "ENGINE": "local",
                "EXTERNAL_IP": SERVER,
                "PORT": "80",
                "TURN_PORT": "443",
                "SIGNALPOST_HTTP__HOST": "0.0.0.0",
            },
        ):
            yield made


@pytest.mark.parametrize(("kind", "over"), [("symmetric", ""), ("only-80-443", "TCP")])
def test_a_local_deployment(
    playwright: Playwright, local: Internet, tmp_path: Path, kind: Kind, over: Transport
) -> None:
    """The same without a name and without TLS; the browser is told to give the page a camera."""
    sites = local.join(kind), local.join(kind)
    secure = f"--unsafely-treat-insecure-origin-as-secure=http://{SERVER}"
    with people(playwright, sites, f"http://{SERVER}/", tmp_path, secure) as (ada, bob):
        meet(ada, bob, over, f"local-{kind}")
