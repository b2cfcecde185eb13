"""The stage of a browser test: a service as a process, Chromium, people at the call page."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from tests.lab.browser import FAKE_MEDIA, OPTIONS, PATIENCE
from tests.lab.coturn import Server, own_address
from tests.lab.parts import find, require
from tests.lab.ports import free_port

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
START_DEADLINE = 60.0
POLL_MS = 50
ANNOUNCED = """addEventListener("DOMContentLoaded", () => {
  globalThis.announced = [];
  const place = document.querySelector("#announcer");
  const note = () => place.textContent && announced.push(place.textContent);
  if (place !== null) new MutationObserver(note).observe(place, { childList: true });
});"""
"""Keeps the page's announcements, which the page shows for six seconds."""


@dataclass(slots=True)
class Service:
    """A real process on one port, which can be killed and started again."""

    config: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def insecure_url(self) -> str:
        """The same by an address that browsers give no camera to."""
        return f"http://{own_address()}:{self.port}/"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As an operator does: SIGTERM, and time to drain."""
        self.process.terminate()
        self.process.wait(timeout=300)

    def start(self) -> None:
        self.process = _serve(self.config)
        _wait_until_ready(self.process, self.url)


@contextlib.contextmanager
def service(folder: Path, relay: Server, **settings_of: dict[str, Any]) -> Iterator[Service]:
    """The service, handing out that coturn with both of its transports; `settings_of` a section
    are added to it.
    """
    port = free_port()
    config = folder / "signalpost.yaml"
    settings: dict[str, dict[str, Any]] = {
        "http": {"host": "0.0.0.0", "port": port, "drain": 1},
        "metrics": {"port": None},
        "turn": {
            "secrets": [relay.secret],
            "relays": [{"host": relay.host, "udp": relay.port, "tcp": relay.port}],
        },
        "auth": {"id_key": "an-id-key-0123456789"},
    }
    for section, more in settings_of.items():
        settings[section] |= more
    config.write_text(json.dumps(settings))
    config.chmod(0o600)
    running = Service(config, port, _serve(config))
    try:
        _wait_until_ready(running.process, running.url)
        yield running
    finally:
        running.kill()


def _serve(config: Path) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if "SIGNALPOST" not in name}
    return subprocess.Popen(
        [SIGNALPOST, "serve", "--config", str(config)], env=clean, stderr=subprocess.DEVNULL
    )


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}healthz"):  # noqa: S310
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the service does not answer")
        time.sleep(0.02)


@contextlib.contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser with fake camera and microphone."""
    require("chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=find("chromium"),
            args=[*OPTIONS, *FAKE_MEDIA, *options],
            timeout=PATIENCE,
        )
        try:
            yield launched
        finally:
            launched.close()


def until(page: Page, condition: Callable[[], Any], *, patience: int = PATIENCE) -> None:
    """Wait for what only looking again can tell; the page's own events go on meanwhile.

    Playwright's wait_for_function evaluates text, which the pages' policy forbids.
    """
    deadline = time.monotonic() + patience / 1000
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        page.wait_for_timeout(POLL_MS)


@dataclass(slots=True)
class Person:
    """Somebody at the call page, in a browser context of their own."""

    page: Page
    name: str
    faults: list[str] = field(default_factory=list)

    @property
    def tile(self) -> Locator:
        """The first other person's."""
        return self.page.locator(".tile:not(.local)").first

    def enter(self) -> None:
        self.page.fill("#name", self.name)
        self.page.press("#name", "Enter")

    def enter_lobby(self) -> None:
        self.enter()
        self.page.wait_for_selector("#lobby:not([hidden])")

    def call(self, other: Person) -> None:
        self.page.locator("#people li", has_text=other.name).locator("button").click()

    def sees(self, frames: int = 10) -> None:
        """Wait until the other's pictures are decoded here."""
        self.tile.wait_for()
        until(self.page, lambda: self._decoded() >= frames)

    def goes_on_seeing(self, frames: int = 10) -> None:
        """Wait until so many further pictures are decoded."""
        before = self._decoded()
        until(self.page, lambda: self._decoded() >= before + frames)

    def _decoded(self) -> int:
        return int(self.tile.get_attribute("data-frames") or 0)

    def is_with(self, others: int, *, path: str = "direct") -> None:
        """Wait until exactly so many others are connected, by that path."""
        tiles, connected = (
            self.page.locator(f".tile:not(.local){which}") for which in ("", f"[data-path={path}]")
        )
        until(self.page, lambda: tiles.count() == connected.count() == others)

    def say(self, text: str) -> None:
        if not self.page.is_visible("#chat"):
            self.page.click("#chat-toggle")
        self.page.fill("#chat-text", text)
        self.page.press("#chat-text", "Enter")

    def hears(self, text: str) -> None:
        self.page.locator("#messages > div", has_text=text).wait_for(state="attached")

    def is_told(self, text: str) -> None:
        """Wait until this is the last that the page has announced."""
        until(self.page, lambda: self.page.evaluate("() => announced.at(-1)") == text)

    def hang_up(self) -> None:
        self.page.click("#hang-up")


def person(context: BrowserContext, url: str, name: str) -> Person:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(ANNOUNCED)
    made = Person(page, name)
    page.on("pageerror", lambda error: made.faults.append(str(error)))
    page.goto(url)
    return made
