"""The issuer: who gets a credential, for how long, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signalpost.access.auth import Kind, Principal
from signalpost.access.bans import Bans
from signalpost.access.issuer import Issuer
from signalpost.config.settings import Limits, Turn
from signalpost.credentials import TtlPolicy, read_username
from signalpost.errors import Banned, NoRelays, PermissionDenied, RateLimited
from signalpost.iceservers import Relay
from signalpost.ids import PeerId, RoomId, UserId
from signalpost.limits import Rate
from tests.signalpost.running import NOW, SETTINGS, Clocks

ANN = Principal(Kind.USER, "ann")
GUEST = Principal(Kind.GUEST, "guest")
SERVER = Principal(Kind.SERVER, "server")
OFTEN = Limits(mints_per_user=Rate(2, 60), mints_per_address=Rate(3, 60))


class Desk:
    """An issuer, its bans and its clocks."""

    def __init__(self, turn: Turn = SETTINGS.turn, limits: Limits = OFTEN) -> None:
        self.clocks = Clocks()
        self.bans = Bans(lambda: self.clocks.unix)
        unix, monotonic = (lambda: self.clocks.unix), (lambda: self.clocks.monotonic)
        self.issuer = Issuer(turn, limits, unix, monotonic, self.bans)

    def issue(self, principal: Principal = ANN, network: str = "192.0.2.1", **options: int) -> str:
        issued = self.issuer.issue(principal, network, **options)  # type: ignore[arg-type]
        return issued.credential.username


def test_the_user_is_the_opaque_id() -> None:
    """The credential names the principal's opaque id, and ends with its audience's lifetime."""
    name = read_username(Desk().issue())
    assert ("ann", int(NOW) + TtlPolicy().page) == (name.user, name.expires)


@pytest.mark.parametrize(
    ("principal", "native", "asked", "ttl"),
    [
        (ANN, False, None, 14_400),
        (ANN, True, None, 600),
        (ANN, False, 60, 60),
        (ANN, False, 999_999, 86_400),
        (GUEST, False, None, 3_600),
        (GUEST, False, 999_999, 3_600),
    ],
)
def test_lifetimes(principal: Principal, native: bool, asked: int | None, ttl: int) -> None:
    """By audience, less when it is asked for, never more than the cap; a guest never gets more."""
    issued = Desk().issuer.issue(principal, "192.0.2.1", native=native, ttl=asked)
    assert ttl == issued.credential.ttl


def test_a_user_is_limited() -> None:
    """A user that mints too often waits, wherever it comes from; others don't."""
    desk = Desk()
    desk.issue(network="192.0.2.1")
    desk.issue(network="192.0.2.2")
    with pytest.raises(RateLimited, match="for this user") as refusal:
        desk.issue(network="192.0.2.3")
    desk.issue(GUEST)
    desk.clocks.advance(refusal.value.retry_after or 0)
    desk.issue(network="192.0.2.3")


def test_an_address_is_limited() -> None:
    """So is an address, whoever is there; a back end isn't, since it mints for many."""
    desk = Desk()
    for number in range(3):
        desk.issue(Principal(Kind.USER, f"user-{number}"))
    with pytest.raises(RateLimited, match="for this address"):
        desk.issue(Principal(Kind.USER, "another"))
    for number in range(9):
        desk.issue(replace(SERVER, user_id=f"user-{number}"))


def test_a_refusal_costs_nothing() -> None:
    """A principal that is refused by its own limit takes no token of its address."""
    desk = Desk()
    desk.issue()
    desk.issue()
    for _ in range(5):
        with pytest.raises(RateLimited):
            desk.issue()
    desk.issue(GUEST)


def test_refused() -> None:
    """Without the permission, while banned, and without a relay."""
    with pytest.raises(PermissionDenied):
        Desk().issue(replace(ANN, permissions=frozenset()))
    desk = Desk()
    desk.bans.add("ann", UserId("ann"), PeerId("p"), RoomId("r"), 60)
    with pytest.raises(Banned):
        desk.issue()
    with pytest.raises(NoRelays):
        Desk(replace(SETTINGS.turn, relays=())).issue()


def test_the_region_comes_first() -> None:
    """Relays of the region come first; an unknown one changes nothing."""
    relays = (Relay("a.example.org", region="a"), Relay("b.example.org", region="b"))
    issuer = Desk(replace(SETTINGS.turn, relays=relays), Limits()).issuer

    def first(region: str | None) -> str:
        return issuer.issue(ANN, "n", region=region).servers[-1].urls[0].split(":")[1]

    assert ["a.example.org", "b.example.org", "a.example.org", "a.example.org"] == [
        first(region) for region in ("a", "b", None, "nowhere")
    ]


def test_a_change_keeps_the_counts() -> None:
    """Other limits hold at once, and what was minted still counts."""
    desk = Desk()
    desk.issue()
    desk.issue()
    desk.issuer.change(SETTINGS.turn, replace(OFTEN, mints_per_user=Rate(4, 60)))
    desk.issue(network="192.0.2.2")
    desk.issue(network="192.0.2.2")
    with pytest.raises(RateLimited):
        desk.issue(network="192.0.2.2")


def test_usable() -> None:
    """Ready means that a credential can be minted."""
    assert Desk().issuer.usable()
    assert not Desk(replace(SETTINGS.turn, secrets=())).issuer.usable()
