"""Chromium inside a site, driven by Playwright: a person's browser in a network of their own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.async_api import Page, async_playwright
from playwright.sync_api import BrowserContext, Playwright, ViewportSize

from tests.lab.firefox import trust
from tests.lab.netns import Namespace
from tests.lab.parts import find, require
from tests.lab.scripted import Browser, opened

__all__ = ["FAKE_MEDIA", "OPTIONS", "PATIENCE", "inside", "page", "pin", "scripted"]

PATIENCE = 180_000
"""Milliseconds: Chromium starts in one second, in twenty when the machine is busy."""

OPTIONS = [
    "--no-sandbox",  # root's
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Of Chromium's fake cameras the second gives depth (Y16), which makes no picture; the third does.
FAKE_MEDIA = [
    "--use-fake-device-for-media-stream=device-count=3",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    "--autoplay-policy=no-user-gesture-required",
]


def pin(pem: bytes) -> str:
    """The hash by which Chromium takes a certificate that its roots do not lead to: base64 of
    SHA-256 over the public key of one certificate in the chain."""
    spki = (
        x509.load_pem_x509_certificate(pem)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


@contextlib.contextmanager
def inside(
    namespace: Namespace,
    home: Path,
    playwright: Playwright,
    *options: str,
    viewport: ViewportSize,
) -> Iterator[BrowserContext]:
    """A new browser in that namespace, with fake media; `home` is a folder for it alone."""
    require("chromium", "ip", root=True)
    home.mkdir()
    start = home / "chromium"
    argv = ["ip", "netns", "exec", namespace.name, str(find("chromium"))]
    start.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    start.chmod(0o755)
    context = playwright.chromium.launch_persistent_context(
        home / "profile",
        executable_path=start,
        args=[*OPTIONS, *FAKE_MEDIA, *options],
        timeout=PATIENCE,
        viewport=viewport,
        locale="en-US",
    )
    try:
        yield context
    finally:
        context.close()


@contextlib.asynccontextmanager
async def page(namespace: Namespace, home: Path, *, pinned: str) -> AsyncIterator[Page]:
    """A blank page of a new browser in that namespace; `home` is a folder for it alone.

    `pinned` is the certificate that the page and the relay show. Chromium asks only the system's
    roots for WebRTC's own TLS, unless it is told so.
    """
    require("chromium", "ip", root=True)
    start = home / "chromium"
    argv = ["ip", "netns", "exec", namespace.name, str(find("chromium"))]
    start.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    start.chmod(0o755)
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            home / "profile",
            executable_path=start,
            args=[*OPTIONS, f"--ignore-certificate-errors-spki-list={pinned}"],
            timeout=PATIENCE,
        )
        try:
            yield context.pages[0] if context.pages else await context.new_page()
        finally:
            await context.close()


@contextlib.contextmanager
def scripted(namespace: Namespace, home: Path, *, root: Path | None = None) -> Iterator[Browser]:
    """A new browser in that namespace without Playwright, as `firefox.inside` makes one: it trusts
    the CA certificate `root`, for WebRTC's TLS as well. `home` is a folder for it alone.
    """
    require("chromium", "ip", root=True)
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    if root is not None:
        trust(database, root)
    argv = [str(find("chromium")), "--headless=new", f"--user-data-dir={home / 'profile'}"]
    environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    with opened(
        [*argv, *OPTIONS, *FAKE_MEDIA], namespace, home / "log", environment=environment
    ) as browser:
        said = subprocess.run([argv[0], "--version"], check=True, capture_output=True, text=True)
        browser.name, browser.version = "Chromium", said.stdout.split()[1]
        yield browser
