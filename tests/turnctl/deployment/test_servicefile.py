"""signalpost.yaml as init writes it, and as somebody edits it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from turnctl.deployment.servicefile import EDGE_ADDRESS, put, render
from turnctl.host.files import Unusable


def settings(port: int = 3478, domain: str | None = None) -> str:
    return render(
        hosts=["198.51.100.7"],
        port=port,
        http=("::", 8080),
        metrics=9464,
        note="198.51.100.7: from a test.",
        domain=domain,
    )


def test_relays_by_address_or_by_name() -> None:
    """With a domain TLS comes too, and the edge alone is trusted to name clients."""
    plain, named = yaml.safe_load(settings()), yaml.safe_load(settings(domain="turn.example.org"))
    assert [{"host": "198.51.100.7", "udp": 3478, "tcp": 3478}] == plain["turn"]["relays"]
    assert [{"host": "turn.example.org", "udp": 3478, "tcp": 3478, "tls": 443}] == (
        named["turn"]["relays"]
    )
    assert [EDGE_ADDRESS] == named["http"]["trusted_proxies"]
    assert "trusted_proxies" not in plain["http"]


def test_a_file_of_our_own_is_replaced(tmp_path: Path) -> None:
    """Whatever it holds, as long as nobody edited it."""
    path = tmp_path / "signalpost.yaml"
    assert "written" == put(path, settings(), force=False)
    assert "written" == put(path, settings(3479), force=False)
    assert settings(3479) == path.read_text()


@pytest.mark.parametrize("before", [settings().replace("8080", "8081"), "http: {}\n", ""])
def test_an_edited_file_stays(tmp_path: Path, before: str) -> None:
    """The new relays are printed, so that they can be copied; --force replaces it."""
    path = tmp_path / "signalpost.yaml"
    path.write_text(before)
    said = put(path, settings(3479), force=False)
    assert before == path.read_text()
    assert '"udp": 3479' in said
    assert "written" == put(path, settings(3479), force=True)


def test_settings_that_have_to_change(tmp_path: Path) -> None:
    """An edited file is refused then: its owner has to choose."""
    path = tmp_path / "signalpost.yaml"
    path.write_text("http: {}\n")
    with pytest.raises(Unusable, match=r"clients would stay\. Set turn\.relays in it to"):
        put(path, settings(), force=False, must="clients would stay")
    assert "http: {}\n" == path.read_text()


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """It is named, and left alone."""
    path = tmp_path / "signalpost.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Unusable, match="isn't UTF-8 text; fix it or remove it"):
        put(path, settings(), force=True)
