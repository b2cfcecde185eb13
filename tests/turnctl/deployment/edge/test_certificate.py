"""Certificates as the edge serves them: what is taken, what is refused, when one is renewed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.lab.certs import Authority
from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read, renewal

NAME = "turn.example.org"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def made(starts: dt.timedelta, ends: dt.timedelta, *names: str) -> Certificate:
    """One with this time and these names; nothing else of it counts."""
    return Certificate("", names or (NAME,), "CN=CA", NOW + starts, NOW + ends, "")


def test_a_chain_with_its_key(authority: Authority) -> None:
    """Chain and key become one text without blank lines: an empty one ends HAProxy's payload."""
    _, whole = authority.issue_by_intermediate([NAME, "other.example.org"])
    found = read(
        whole.chain.read_bytes().replace(b"-----BEGIN", b"\n\n-----BEGIN"), whole.key.read_bytes()
    )
    assert (NAME, "other.example.org") == found.names
    assert "CN=Signalpost test intermediate" == found.issuer
    assert 2 == found.pem.count("BEGIN CERTIFICATE")
    assert 1 == found.pem.count("BEGIN PRIVATE KEY")
    assert "" not in found.pem.rstrip("\n").split("\n")


def test_all_in_one_file(authority: Authority) -> None:
    """A file with everything serves as chain and as key: what is written can be read again."""
    issued = authority.issue([NAME])
    found = read(issued.chain.read_bytes(), issued.key.read_bytes())
    again = read(found.pem.encode(), found.pem.encode())
    assert found == again


def test_the_secret_key_is_not_shown(authority: Authority) -> None:
    """Its repr has no key in it."""
    issued = authority.issue([NAME])
    found = read(issued.chain.read_bytes(), issued.key.read_bytes())
    assert "PRIVATE" not in repr(found)


def test_what_is_no_certificate(authority: Authority) -> None:
    """Each wrong file has its own sentence."""
    issued, other = authority.issue([NAME]), authority.issue([NAME])
    chain, key = issued.chain.read_bytes(), issued.key.read_bytes()
    locked = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    for wrong_chain, wrong_key, said in (
        (b"", key, "has no PEM certificate"),
        (b"\xff\xfe", key, "has no PEM certificate"),
        (chain[: len(chain) // 2], key, "has no PEM certificate"),
        (chain, b"", "has no PEM private key"),
        (chain, chain, "has no PEM private key"),
        (chain, locked, "the private key has a passphrase"),
        (chain, other.key.read_bytes(), "the key doesn't belong to the first certificate"),
    ):
        with pytest.raises(Bad, match=said):
            read(wrong_chain, wrong_key)


def test_issuers_first(authority: Authority) -> None:
    """A chain in the wrong order is told of as that."""
    alone, whole = authority.issue_by_intermediate([NAME])
    pem = whole.chain.read_bytes()
    turned = pem.removeprefix(alone.chain.read_bytes()) + alone.chain.read_bytes()
    with pytest.raises(Bad, match="server's own certificate must come first"):
        read(turned, whole.key.read_bytes())


@pytest.mark.parametrize(
    ("names", "domain", "fits"),
    [
        ((NAME,), NAME, True),
        (("TURN.example.ORG",), NAME, True),
        (("other.example.org", NAME), NAME, True),
        (("*.example.org",), NAME, True),
        (("*.example.org",), "a.turn.example.org", False),
        (("*.example.org",), "example.org", False),
        (("t*.example.org",), NAME, False),
        (("example.org",), NAME, False),
    ],
)
def test_names(names: tuple[str, ...], domain: str, fits: bool) -> None:
    """It is for the names it holds, a wildcard for one label (RFC 9525)."""
    said = flaw(made(-DAY, DAY, *names), domain, NOW)
    assert (None if fits else f"is for {', '.join(names)}, not for {domain}") == said


def test_time() -> None:
    """Over, or not begun: both are told with the date."""
    assert f"expired on {NOW - DAY:%Y-%m-%d %H:%M} UTC" == flaw(made(-2 * DAY, -DAY), NAME, NOW)
    said = flaw(made(DAY, 2 * DAY), NAME, NOW)
    assert f"isn't valid before {NOW + DAY:%Y-%m-%d %H:%M} UTC" == said


@pytest.mark.parametrize(
    ("lifetime", "left"), [(365, 30), (90, 30), (47, 47 / 3), (6, 2), (0.5, 0.5 / 3)]
)
def test_renewal(lifetime: float, left: float) -> None:
    """Thirty days before the end, of short ones a third; by chance a tenth of that sooner."""
    certificate = made(dt.timedelta(0), lifetime * DAY)
    assert pytest.approx(left) == (certificate.ends - renewal(certificate, 0.0)) / DAY
    assert pytest.approx(left * 1.1) == (certificate.ends - renewal(certificate, 1.0)) / DAY
