"""Where a relay is placed, for every kind of host."""

from __future__ import annotations

import pytest

from turnctl.coturn.versions import Version
from turnctl.deployment.placement import NoPlace, Placement, place
from turnctl.host.addresses import MappedAddress, OwnAddresses

CURRENT, OLD = Version(4, 18, 0), Version(4, 6, 1)
LAPTOP = OwnAddresses(("192.168.1.5", "172.17.0.1"))
PUBLIC = OwnAddresses(("10.0.0.5", "8.8.4.4"), ("2a00:1450::5",))
SEEN = MappedAddress("8.8.4.4", "stun.example.org:3478")


def placed(own: OwnAddresses, *, version: Version = CURRENT, **options: object) -> Placement:
    """A decision for a host that STUN does not see and no packet comes back to."""
    defaults = {"ask": lambda: "nobody answers", "comes_back": lambda public, own: False}
    return place(own, version=version, **(defaults | options))  # type: ignore[arg-type]


def test_named_address_of_an_interface() -> None:
    """EXTERNAL_IP that is this host's own needs no translation."""
    placement = placed(PUBLIC, external_ip="8.8.4.4")
    assert (placement.listen, placement.external) == (("8.8.4.4", "2a00:1450::5"), None)
    assert "EXTERNAL_IP" in placement.note


def test_named_address_behind_nat() -> None:
    """EXTERNAL_IP that no interface has is the outside of a NAT, and clients are given it."""
    placement = placed(LAPTOP, external_ip="8.8.8.8")
    assert (placement.listen, placement.external) == (("192.168.1.5",), "8.8.8.8")
    assert placement.advertised == ("8.8.8.8",)


def test_named_ipv6_address_has_to_be_own() -> None:
    """IPv6 is not translated, so a foreign IPv6 address is a mistake."""
    with pytest.raises(NoPlace, match="2a00:1450::5"):
        placed(PUBLIC, external_ip="2a00:1450::6")
    assert placed(PUBLIC, external_ip="2a00:1450::5").listen == ("10.0.0.5", "2a00:1450::5")


def test_public_interface_is_found() -> None:
    """A public address of an interface is taken, with the host's IPv6 address beside it."""
    placement = placed(PUBLIC)
    assert placement.listen == ("8.8.4.4", "2a00:1450::5")
    assert placement.advertised == placement.listen
    assert "public address of this host" in placement.note


def test_stun_address_counts_when_packets_come_back() -> None:
    """Behind a NAT that forwards, the pair is used and the STUN server is named."""
    asked = []

    def comes_back(public: str, own: str) -> bool:
        asked.append((public, own))
        return True

    placement = placed(LAPTOP, ask=lambda: SEEN, comes_back=comes_back)
    assert (placement.listen, placement.external) == (("192.168.1.5",), "8.8.4.4")
    assert asked == [("8.8.4.4", "192.168.1.5")]
    assert "stun.example.org:3478" in placement.note


def test_stun_address_without_a_way_back_is_for_the_local_network() -> None:
    """A NAT that forwards nothing leaves a relay for the local network, and it says so."""
    placement = placed(LAPTOP, ask=lambda: SEEN)
    assert (placement.listen, placement.external) == (("192.168.1.5",), None)
    assert "local network only" in placement.note
    assert "didn't come back" in placement.note


def test_without_stun_the_local_network() -> None:
    """No answer from STUN leaves the local network, and the reason is told."""
    placement = placed(LAPTOP)
    assert placement.listen == ("192.168.1.5",)
    assert "nobody answers" in placement.note


def test_documentation_address_is_not_called_local() -> None:
    """A lab's documentation address works for whoever routes there."""
    assert "hosts that can reach it" in placed(OwnAddresses(("203.0.113.1",))).note


def test_named_listeners() -> None:
    """--listen overrides what the interfaces have."""
    assert placed(LAPTOP, listen=("172.17.0.1",)).listen == ("172.17.0.1",)


def test_named_listener_behind_nat() -> None:
    """With both named, as in a bridge network, the pair is exactly these."""
    placement = placed(OwnAddresses(()), listen=("172.30.77.2",), external_ip="192.168.1.5")
    assert (placement.listen, placement.external) == (("172.30.77.2",), "192.168.1.5")


@pytest.mark.parametrize(
    "options", [{"external_ip": "8.8.8.8"}, {"listen": ("8.8.4.4",)}, {"external_ip": "8.8.4.4"}]
)
def test_old_coturn_is_refused_on_the_internet(options: dict[str, object]) -> None:
    """An old coturn is not put on a public address, even when asked; the way out is named."""
    with pytest.raises(NoPlace, match=r"4\.6\.1.*CVE-2026-27624.*Docker"):
        placed(PUBLIC, version=OLD, **options)


def test_old_coturn_takes_the_private_address() -> None:
    """Beside a public address an old coturn takes the private one, IPv6 left out, STUN unasked."""

    def ask() -> str:
        raise AssertionError

    placement = placed(PUBLIC, version=OLD, ask=ask)
    assert (placement.listen, placement.external) == (("10.0.0.5",), None)
    assert "known holes" in placement.note


def test_old_coturn_on_a_public_host_alone_is_refused() -> None:
    """A host with nothing but a public address does not run an old coturn."""
    with pytest.raises(NoPlace, match=r"8\.8\.4\.4"):
        placed(OwnAddresses(("8.8.4.4",)), version=OLD)


def test_loopback_alone_is_refused() -> None:
    """A host without a network cannot relay."""
    with pytest.raises(NoPlace, match="--listen"):
        placed(OwnAddresses(()))


def test_ipv6_alone() -> None:
    """A host with IPv6 only relays on that."""
    assert placed(OwnAddresses((), ("2a00:1450::5",))).listen == ("2a00:1450::5",)
