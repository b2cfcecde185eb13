"""The files of a rotation, without any program that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from signalpost.credentials import Secret
from turnctl.coturn import database
from turnctl.host.files import Unusable
from turnctl.rotation.keyring import NOTE, Keyring, configured_relays, finish_overdue
from turnctl.rotation.steps import Kind, Stage

OLD = Secret("0123456789abcdef0123456789abcdef")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with one relay."""
    for name in ("turn-secret", "api-key"):
        (tmp_path / name).write_text(OLD.reveal() + "\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "coturn").mkdir()
    conf = "realm=signalpost\nlistening-ip=192.0.2.1\nexternal-ip=8.8.4.4/192.0.2.1\n"
    (tmp_path / "coturn" / "turnserver.conf").write_text(conf)
    return tmp_path


def in_database(data: Path) -> frozenset[Secret]:
    return database.get(data / "coturn" / "turndb", "signalpost")


def test_the_whole_way(data: Path) -> None:
    """Each step is read from the files, and the relay's database follows them."""
    ring = Keyring(data, Kind.TURN)
    steps = [ring.progress(0).stage]
    ring.begin(60, first=False)
    new = ring.progress(0).new
    steps.append(ring.progress(0).stage)
    assert ((OLD, new), frozenset({OLD, new})) == (ring.progress(0).values, in_database(data))
    ring.switch()
    steps.append(ring.progress(0).stage)
    assert (new, OLD) == ring.progress(0).values
    ring.settle(1000.0, 60)
    steps += [ring.progress(now).stage for now in (1000, 2000)]
    assert [Stage.BEGIN, Stage.SWITCH, Stage.SETTLE, Stage.WAIT, Stage.REMOVE] == steps
    assert (OLD,) == ring.progress(0).old
    ring.remove()
    assert ((new,), frozenset({new})) == (ring.progress(0).values, in_database(data))
    assert not (data / NOTE).exists()


@pytest.mark.parametrize(
    "change", [Keyring.switch, Keyring.remove, lambda ring: ring.settle(0.0, 1)]
)
def test_a_step_that_is_not_due_changes_nothing(
    data: Path, change: Callable[[Keyring], None]
) -> None:
    """Two runs at once agree: the second finds its step already taken."""
    ring = Keyring(data, Kind.TURN)
    change(ring)
    assert (OLD,) == ring.progress(0).values


def test_the_old_one_stays_until_the_new_one_is_first(data: Path) -> None:
    """Nothing would mint with a secret that is removed."""
    ring = Keyring(data, Kind.TURN)
    ring.begin(60, first=False)
    ring.remove()
    assert OLD in ring.progress(0).values


def test_only_what_has_expired_is_finished(data: Path) -> None:
    """By `turnctl init`, for each kind by itself."""
    ring = Keyring(data, Kind.API)
    ring.begin(0, first=True)
    assert [] == finish_overdue(data, 10_000.0)
    ring.settle(1000.0, 60)
    assert [] == finish_overdue(data, 1064.0)
    assert [Kind.API] == finish_overdue(data, 1065.0)
    assert OLD not in ring.progress(0).values


def test_the_probes_copy(data: Path) -> None:
    """It is the key that will stay; without a probe nothing is written."""
    ring = Keyring(data, Kind.API)
    ring.begin(0, first=True)
    ring.copy_to_probe()
    assert not (data / "probe").exists()
    (data / "probe").mkdir()
    ring.copy_to_probe()
    assert ring.progress(0).new.reveal() + "\n" == (data / "probe" / "api-key").read_text()


def test_a_relay_by_its_configuration(data: Path) -> None:
    """Clients reach it at its own address, and at the one that a NAT maps to it."""
    (relay,) = configured_relays(data)
    assert ("coturn", "signalpost", "192.0.2.1", 3478, False) == (
        relay.name,
        relay.realm,
        relay.address,
        relay.port,
        relay.proxied,
    )
    assert {"192.0.2.1", "8.8.4.4"} == relay.addresses


def read(data: Path) -> None:
    """All files of a rotation."""
    Keyring(data, Kind.API).progress(0)
    configured_relays(data)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("api-key", None, "api-key doesn't exist; give the data directory with --dir"),
        (NOTE, "half", r"Remove the file to start rotations over"),
        ("coturn/turnserver.conf", "realm=x\n", "has no listening-ip; run `turnctl init`"),
    ],
)
def test_files_that_cannot_be_used(data: Path, name: str, content: str | None, said: str) -> None:
    """Each is named, with what to do."""
    path = data / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(Unusable, match=said):
        read(data)
