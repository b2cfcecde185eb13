"""Two people at the call page, each behind a network of their own, and nothing but the relay
between them: through `docker compose up` with a name, and through `make up` without one.

With SCREENSHOTS=FOLDER what they saw is kept there; the README's pictures are from such a run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Playwright, ViewportSize, sync_playwright

from tests.browser import stand
from tests.browser.stand import Person
from tests.lab import browser, docker, netns
from tests.lab.coturn import within
from tests.lab.deployment import DOMAIN, wait_until
from tests.lab.docker import Project
from tests.lab.names import names
from tests.lab.netns import SERVER, Internet, Kind, Site
from tests.lab.programs import accepts, started

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


@dataclass(frozen=True, slots=True)
class Composed:
    """`docker compose up` with a name, in the servers' namespace; `pinned` is its certificate."""

    internet: Internet
    pinned: str


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("composed")
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    with contextlib.ExitStack() as stack:
        stack.enter_context(docker.engine())
        images = docker.images()
        environment = {
            "DOMAIN": DOMAIN,
            "COMPOSE_PROFILES": "tls",
            "EXTERNAL_IP": SERVER,
            "NO_STUN": "1",
            # Nobody answers there, so the edge keeps the certificate that it starts with.
            "ACME_DIRECTORY": "https://127.0.0.1:1/directory",
            "PYTHON_IMAGE": images.python,
            "COTURN_IMAGE": images.coturn,
            "COTURN_VERSION": images.coturn_version,
            "EDGE_IMAGE": docker.edge_image(),
            "ACME_IMAGE": docker.acme_image(),
            "SIGNALPOST_IMAGE": "signalpost-test/service:latest",
            "SIGNALPOST_ACME_IMAGE": "signalpost-test/acme:latest",
        }
        override = folder / "test.yaml"
        override.write_text(
            "services: {init: {build: {network: host}}, acme: {build: {network: host}}}"
        )
        building = Project("signalpost-browsers", environment, (ROOT / "compose.yaml", override))
        building.compose("build", "init", "acme")
        needed = ("COTURN_IMAGE", "EDGE_IMAGE", "SIGNALPOST_IMAGE", "SIGNALPOST_ACME_IMAGE")
        made = stack.enter_context(netns.internet())
        inside = stack.enter_context(
            docker.engine_inside(made.server, [environment[name] for name in needed])
        )
        project = Project(
            *("signalpost-browsers", environment | {"DOCKER_HOST": inside}),
            (folder / "compose.yaml",),
        )
        stack.callback(project.compose, "down", "--volumes", "--timeout", "5", check=False)
        project.compose("up", "--detach", "--no-build")
        wait_until(
            lambda: (
                accepts(SERVER, 443, made.server.name) and project.health("signal") == "healthy"
            ),
            lambda: project.compose("logs").stdout,
        )
        pem = within(made.server.name, lambda: ssl.get_server_certificate((SERVER, 443)))
        yield Composed(made, browser.pin(pem.encode()))


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
