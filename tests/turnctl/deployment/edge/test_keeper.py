"""The loop that keeps the edge's certificate, before an edge that does what the test says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.lab.certs import Authority
from turnctl.deployment.edge.certificate import Certificate, fingerprint, read
from turnctl.deployment.edge.keeper import LATER, SOON, Keeper
from turnctl.deployment.edge.placeholder import placeholder
from turnctl.deployment.edge.runtime import NotThere, Refused
from turnctl.deployment.edge.source import Unobtainable, utc_now

NAME = "turn.example.org"


class Edge:
    """Serves what it was given last, unless it is down or refuses."""

    def __init__(self) -> None:
        self.now = ""
        self.down = self.deaf = False
        self.refuses = ""
        self.loaded: list[str] = []

    async def served(self, domain: str) -> str:
        if self.down:
            raise NotThere("no TLS on 127.0.0.1:443: Connection refused")
        return self.now

    async def load(self, name: str, pem: str) -> None:
        if self.refuses:
            raise Refused(self.refuses)
        self.loaded.append(name)
        if not self.deaf:
            self.now = read(pem.encode(), pem.encode()).fingerprint


class Source:
    def __init__(self) -> None:
        self.next: Certificate | Unobtainable | None = None
        self.presents: list[str | None] = []

    def due(self, present: Certificate | None) -> bool:
        self.presents.append(present.fingerprint if present else None)
        return self.next is not None

    def insist(self) -> None:
        raise AssertionError("nobody asked")

    async def get(self) -> Certificate:
        made, self.next = self.next, None
        if isinstance(made, Unobtainable):
            raise made
        assert made is not None
        return made


class World:
    """A keeper with its surroundings; `events` are what it logged, `said` the sentences."""

    def __init__(self, home: Path) -> None:
        self.authority = Authority(home)
        self.edge, self.source = Edge(), Source()
        self.events: list[str] = []
        self.said: list[str] = []
        self.file = home / "certificates" / "edge.pem"
        self.keeper = Keeper(NAME, self.file, self.source, self.edge, self._log)

    def _log(self, event: str, said: str, detail: str) -> None:
        self.events.append(event)
        self.said.append(said)

    def certificate(self, days: float = 90) -> Certificate:
        made = self.authority.issue([NAME], ends=dt.timedelta(days=days))
        return read(made.chain.read_bytes(), made.key.read_bytes())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_new_certificate(world: World) -> None:
    """It is written, loaded by the name the edge knows, seen to be served, and told once."""
    made = world.source.next = world.certificate()
    assert LATER == await world.keeper.look()
    assert made.pem == world.file.read_text()
    assert 0o440 == world.file.stat().st_mode & 0o777
    assert [str(world.file)] == world.edge.loaded
    assert made.fingerprint == world.edge.now
    assert LATER == await world.keeper.look()
    assert ["certificate-written", "certificate-served"] == world.events
    assert [None, made.fingerprint] == world.source.presents


async def test_an_edge_that_is_not_up_yet(world: World) -> None:
    """Nobody is asked for a certificate before the edge can answer a challenge."""
    world.edge.down = True
    world.source.next = world.certificate()
    assert SOON == await world.keeper.look()
    assert SOON == await world.keeper.look()
    assert ["edge-missing"] == world.events
    assert [] == world.source.presents
    world.edge.down = False
    assert LATER == await world.keeper.look()
    assert world.edge.now


async def test_an_edge_that_lost_it(world: World) -> None:
    """What the edge serves is compared at each look, and mended from the file."""
    made = world.source.next = world.certificate()
    await world.keeper.look()
    world.edge.now = "another"
    assert LATER == await world.keeper.look()
    assert made.fingerprint == world.edge.now
    assert 2 == len(world.edge.loaded)


async def test_an_edge_that_refuses(world: World) -> None:
    """Its own words, once; and another try soon."""
    world.source.next = world.certificate()
    world.edge.refuses = "unable to load certificate"
    assert SOON == await world.keeper.look()
    assert SOON == await world.keeper.look()
    assert ["certificate-written", "edge-refused"] == world.events
    assert "unable to load certificate" in world.said[-1]
    world.edge.refuses = ""
    assert LATER == await world.keeper.look()
    assert "certificate-served" == world.events[-1]


async def test_an_edge_that_serves_another_all_the_same(world: World) -> None:
    """Loaded is not served: the fingerprint decides."""
    world.source.next = world.certificate()
    world.edge.deaf = True
    assert SOON == await world.keeper.look()
    assert "edge-differs" == world.events[-1]


async def test_none_to_be_had(world: World) -> None:
    """The reason, and what clients see until then; what there is goes on being served."""
    world.source.next = Unobtainable("port 80 is closed.")
    assert LATER == await world.keeper.look()
    assert ["certificate-missing"] == world.events
    assert world.said[-1].endswith(
        "port 80 is closed. Until there is one, the edge serves a certificate that nobody trusts."
    )
    good = world.source.next = world.certificate(days=20.5)
    await world.keeper.look()
    world.source.next = Unobtainable("port 80 is closed.")
    assert LATER == await world.keeper.look()
    assert world.said[-1].endswith("The current one is valid for 20 more days.")
    assert good.fingerprint == world.edge.now


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nMII", "placeholder", "over"])
async def test_what_is_present_and_no_good(world: World, content: str) -> None:
    """A half-written file, a placeholder and what is over count as none: they are never loaded."""
    made = {
        "placeholder": placeholder(NAME, utc_now()),
        "over": world.certificate(days=-1).pem,
    }.get(content, content)
    world.file.parent.mkdir()
    world.file.write_text(made)
    assert LATER == await world.keeper.look()
    assert [None] == world.source.presents
    assert [] == world.edge.loaded


async def test_a_full_disk(world: World) -> None:
    """A file that cannot be written is told of once, and the loop goes on."""
    world.file.parent.write_text("no folder")
    for _ in range(2):
        world.source.next = world.certificate()
        assert LATER == await world.keeper.look()
    assert ["certificate-missing"] == world.events
    assert "certificates" in world.said[0]


def test_fingerprints() -> None:
    """Hexadecimal SHA-256 of the DER, as `openssl x509 -fingerprint -sha256` without colons."""
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == fingerprint(b"")
