"""Real parts for the browser tests: one coturn and one Chromium a module, a service a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser import stand
from tests.browser.stand import Person, Service
from tests.lab import coturn
from tests.lab.coturn import Server

People = Callable[..., Person]


@pytest.fixture(scope="module")
def relay(own_address: str) -> Iterator[Server]:
    with coturn.running(own_address) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with stand.chromium() as launched:
        yield launched


@pytest.fixture
def service(tmp_path: Path, relay: Server) -> Iterator[Service]:
    with stand.service(tmp_path, relay) as running:
        yield running


@pytest.fixture
def people(browser: Browser, service: Service) -> Iterator[People]:
    """People at the call page, each in a context of their own; none of their pages may fail."""
    contexts = []
    met: list[Person] = []

    def come(name: str, *, path: str = "", url: str | None = None, **options: Any) -> Person:
        context = browser.new_context(**options)
        contexts.append(context)
        met.append(stand.person(context, (url or service.url) + path, name))
        return met[-1]

    yield come
    faults = [fault for one in met for fault in one.faults]
    for context in contexts:
        context.close()
    assert [] == faults
