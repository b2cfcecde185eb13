"""Chromium inside a site, driven by Playwright: a page of the deployment in a client's network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.async_api import Page, async_playwright

from tests.lab.netns import Namespace
from tests.lab.parts import find, require

__all__ = ["PATIENCE", "page", "pin"]

PATIENCE = 60_000
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


def pin(pem: bytes) -> str:
    """The hash by which Chromium takes a certificate that its roots do not lead to: base64 of
    SHA-256 over the public key of one certificate in the chain."""
    spki = (
        x509.load_pem_x509_certificate(pem)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


@contextlib.asynccontextmanager
async def page(inside: Namespace, home: Path, *, pinned: str) -> AsyncIterator[Page]:
    """A blank page of a new browser in that namespace; `home` is a folder for it alone.

    `pinned` is the certificate that the page and the relay show. Chromium asks only the system's
    roots for WebRTC's own TLS, unless it is told so.
    """
    require("chromium", "ip", root=True)
    start = home / "chromium"
    argv = ["ip", "netns", "exec", inside.name, str(find("chromium"))]
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
