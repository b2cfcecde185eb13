"""The files of a deployment, and the order in which they appear."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from turnctl.coturn.rendering import Limits
from turnctl.coturn.versions import Version
from turnctl.deployment.installation import KEY_FILES, Installation, install
from turnctl.deployment.placement import Placement
from turnctl.deployment.relays import relays
from turnctl.host.files import Unusable

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
RELAYS = relays(3478, next_port=3479)
WANTED = Installation(
    version=Version(4, 18, 0),
    realm="signalpost",
    where=Placement(("192.0.2.1",), None, "192.0.2.1: from a test."),
    relays=RELAYS,
    handed_out=RELAYS[0],
    limits=Limits(),
    http=("::", 8080),
    domain=None,
    edge_http=80,
    edge_https=443,
)


def test_secrets_relays_settings(tmp_path: Path) -> None:
    """In this order: a run that is killed has handed out nothing that doesn't work."""
    names = [*install(tmp_path, WANTED, force=False, now=NOW)]
    assert ["turn-secret", *KEY_FILES] == names[:4]
    assert "signalpost.yaml" == names[-1]
    assert {"coturn/turnserver.conf", "coturn-next/turnserver.conf"} <= {*names[4:-1]}


def test_what_others_read_is_copied_where_they_look(tmp_path: Path) -> None:
    """The probe and Prometheus have directories of their own, if they are deployed."""
    for name in ("probe", "prometheus"):
        (tmp_path / name).mkdir()
    done = install(tmp_path, WANTED, force=False, now=NOW)
    assert ("copied", "written") == (done["probe/api-key"], done["prometheus/targets.json"])
    assert (tmp_path / "api-key").read_text() == (tmp_path / "probe" / "api-key").read_text()
    assert 2 == len(json.loads((tmp_path / "prometheus" / "targets.json").read_text()))


def test_only_some_relays(tmp_path: Path) -> None:
    """The others may run another version."""
    done = install(tmp_path, replace(WANTED, only=("coturn-next",)), force=False, now=NOW)
    assert "coturn-next/turnserver.conf" in done
    assert not (tmp_path / "coturn").exists()


def test_a_certificate_to_start_with(tmp_path: Path) -> None:
    """Written once, and again only if the edge couldn't read it."""
    wanted = replace(WANTED, domain="turn.example.org")
    first = install(tmp_path, wanted, force=False, now=NOW)
    again = install(tmp_path, wanted, force=False, now=NOW)
    path = tmp_path / "certificates" / "edge.pem"
    path.chmod(0o600)
    path.write_text("")
    spoiled = install(tmp_path, wanted, force=False, now=NOW)
    assert [
        "self-signed, until the edge gets a real one",
        "kept",
        "has no PEM certificate: self-signed, until the edge gets a real one",
    ] == [done["certificates/edge.pem"] for done in (first, again, spoiled)]


def test_edited_settings_stop_an_upgrade(tmp_path: Path) -> None:
    """Clients would not get the relay that they are to be sent to."""
    install(tmp_path, WANTED, force=False, now=NOW)
    (tmp_path / "signalpost.yaml").write_text("http: {}\n")
    with pytest.raises(Unusable, match="clients would not be sent to coturn-next"):
        install(tmp_path, replace(WANTED, handed_out=RELAYS[1]), force=False, now=NOW)
