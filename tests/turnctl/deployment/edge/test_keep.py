"""What `turnctl edge certify` runs: the certificate's source, and the loop's signals."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from turnctl.deployment.edge.acme import Acme
from turnctl.deployment.edge.certificate import Certificate
from turnctl.deployment.edge.keep import Certification, keep
from turnctl.deployment.edge.keeper import Keeper
from turnctl.deployment.edge.source import OwnFiles

NAME = "turn.example.org"


class Edge:
    """An edge that serves something."""

    async def served(self, domain: str) -> str:
        return "sha256"

    async def load(self, name: str, pem: str) -> None:
        raise AssertionError("there is nothing to load")


class Source:
    """Never due; says when it is asked to be."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self.insisted = asyncio.Event()

    def due(self, present: Certificate | None) -> bool:
        self.looked.set()
        return False

    def insist(self) -> None:
        self.looked.clear()
        self.insisted.set()

    async def get(self) -> Certificate:
        raise AssertionError("it isn't due")


def test_a_ca_or_files_of_ones_own(tmp_path: Path) -> None:
    """No CA is asked for a certificate that the operator has."""
    assert isinstance(Certification(domain=NAME).source(), Acme)
    own = Certification(domain=NAME, certificate_file=tmp_path / "chain.pem")
    assert isinstance(own.source(), OwnFiles)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Certification(), "no domain: give --domain"),
        (Certification(domain=NAME, certificate_key_file=Path("key")), "needs --certificate-file"),
        (Certification(domain=NAME, acme_directory="http://ca"), "isn't an https:// URL"),
    ],
)
def test_options_that_cannot_work(wanted: Certification, said: str) -> None:
    """They are refused before anything starts."""
    with pytest.raises(ValueError, match=said):
        wanted.keeper(lambda *_: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals(tmp_path: Path, number: signal.Signals) -> None:
    """SIGHUP renews now, without the wait for the next round; the others end it."""
    source = Source()
    keeper = Keeper(NAME, tmp_path / "edge.pem", source, Edge(), lambda *_: None)
    running = asyncio.create_task(keep(keeper))
    await source.looked.wait()
    os.kill(os.getpid(), signal.SIGHUP)
    await source.insisted.wait()
    await source.looked.wait()
    os.kill(os.getpid(), number)
    await running
