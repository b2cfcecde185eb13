"""What the tests of a check's steps share: an attempt at a server on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable

from signalpost.credentials import Secret
from signalpost.iceservers import parse_uri
from turnctl.check.credentials import SecretSource
from turnctl.check.probes.attempt import Attempt
from turnctl.check.shared import Options, Shared
from turnctl.diagnosis.observations import Observation
from turnctl.diagnosis.plan import Probe
from turnctl.wire import tls

__all__ = ["NOWHERE", "attempt", "probe", "shared"]

NOWHERE = "turn:127.0.0.1:9?transport=tcp"
"""The discard port, where nothing listens."""


def probe(url: str, family: int = 4) -> Probe:
    uri = parse_uri(url)
    username, credential = ("1:lab", "password") if uri.relays else (None, None)
    return Probe(url, uri, 6 if family == 6 else 4, username, credential, uri.port)


def shared(
    report: Callable[[Observation], None] = lambda _: None,
    *,
    clock: Callable[[], float] = time.monotonic,
    timeout: float = 5.0,
    relay_only: bool = True,
) -> Shared:
    """A run without a reference; without srflx legs unless they are asked for."""
    options = Options(timeout=timeout, relay_only=relay_only)
    sources = {"1:lab": SecretSource(Secret("a-secret-of-the-test"), time.time)}
    return Shared(
        options, report, sources, clock, time.time, clock(), lambda v: tls.context(verify=v)
    )


def attempt(
    url: str,
    report: Callable[[Observation], None] = lambda _: None,
    *,
    family: int = 4,
    address: str = "127.0.0.1",
    clock: Callable[[], float] = time.monotonic,
    timeout: float = 5.0,
) -> Attempt:
    made = shared(report, clock=clock, timeout=timeout).attempt(probe(url, family))
    made.address = made.local = address
    return made
