"""A run of a rotation: from wherever the last one stopped, with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from signalpost.credentials import Secret
from turnctl.rotation.keyring import Keyring
from turnctl.rotation.proofs import RotationError
from turnctl.rotation.run import Run, service_url
from turnctl.rotation.steps import MARGIN, Kind, Stage

OLD = Secret("0123456789abcdef0123456789abcdef")
LIFETIME = 600


@dataclass
class Proof:
    """Everything is as it should be, except at the step that `fails`."""

    fails: str = ""
    asked: list[str] = field(default_factory=list)

    def _ask(self, step: str) -> int:
        self.asked.append(step)
        if step == self.fails:
            raise RotationError(step)
        return LIFETIME

    def ready(self, values: Sequence[Secret]) -> int:
        return self._ask("ready")

    def verified(self, new: Secret) -> None:
        self._ask("verified")

    def adopted(self, new: Secret) -> int:
        return self._ask("adopted")

    def removed(self, old: Sequence[Secret]) -> None:
        self._ask("removed")


@dataclass
class World:
    """A data directory, and a clock that moves when somebody sleeps."""

    data: Path
    kind: Kind = Kind.TURN
    now: float = 1_000_000.0
    said: list[str] = field(default_factory=list)
    proof: Proof = field(default_factory=Proof)
    while_asleep: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        path = self.data / self.kind
        path.write_text(OLD.reveal() + "\n")
        path.chmod(0o600)

    @property
    def ring(self) -> Keyring:
        return Keyring(self.data, self.kind)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_asleep()

    def run(self, *, wait: bool = True, revoke: bool = False) -> None:
        run = Run(self.ring, self.proof, self.said.append, lambda: self.now, self.sleep)
        run.run(wait=wait, revoke=revoke)

    def values(self) -> tuple[Secret, ...]:
        return self.ring.progress(self.now).values


def test_it_waits_until_the_last_credential_has_expired(tmp_path: Path) -> None:
    """Then the old secret is removed, and that is proved."""
    world = World(tmp_path)
    begun = world.now
    world.run()
    assert ["ready", "verified", "adopted", "removed"] == world.proof.asked
    assert OLD not in world.values()
    assert begun + LIFETIME + MARGIN == pytest.approx(world.now, abs=1)


def test_without_waiting(tmp_path: Path) -> None:
    """It returns when the new secret is in use; a run after the old one's end removes that."""
    world = World(tmp_path)
    world.run(wait=False)
    assert OLD == world.values()[1]
    assert "The old secret is valid until 1970-01-12 13:56:45 UTC." in world.said
    world.now += LIFETIME + MARGIN
    world.run()
    assert OLD not in world.values()
    assert "continuing the rotation that an earlier run began" in world.said


@pytest.mark.parametrize("fails", ["ready", "verified", "adopted"])
def test_a_proof_that_fails_is_made_again(tmp_path: Path, fails: str) -> None:
    """The run stops there; the next one takes the step again, with the same new secret."""
    world = World(tmp_path, proof=Proof(fails))
    with pytest.raises(RotationError, match=fails):
        world.run()
    before = world.values()
    world.proof = Proof()
    world.run()
    assert OLD not in world.values()
    if fails != "ready":
        assert world.values()[0] in before


def test_a_removed_secret_that_still_works(tmp_path: Path) -> None:
    """It is reported, and is in no file any more."""
    world = World(tmp_path, proof=Proof("removed"))
    with pytest.raises(RotationError, match="removed"):
        world.run()
    assert OLD not in world.values()


def test_revoked_at_once(tmp_path: Path) -> None:
    """No time passes, and what that means is printed."""
    world = World(tmp_path)
    begun = world.now
    world.run(revoke=True)
    assert begun == world.now
    assert OLD not in world.values()
    assert world.said[-1].startswith("Running allocations continue until they end.")


def test_a_revocation_of_a_rotation_that_has_begun(tmp_path: Path) -> None:
    """Its new secret stays: if that leaked too, another run is needed."""
    world = World(tmp_path)
    world.run(wait=False)
    new = world.values()[0]
    world.run(revoke=True)
    assert (new,) == world.values()
    assert "The new secret stays. If it leaked too, run this again." in world.said


def test_an_api_key_stays_until_it_is_revoked(tmp_path: Path) -> None:
    """Back ends have to get the new one first: nobody knows when they all have it."""
    world = World(tmp_path, Kind.API)
    world.run()
    assert OLD == world.values()[1]
    assert Stage.SETTLE is world.ring.progress(world.now).stage
    assert "Both keys are accepted now." in world.said[-1]
    world.run(revoke=True)
    assert OLD not in world.values()


def test_init_was_faster(tmp_path: Path) -> None:
    """It removed the old secret while this run waited."""
    world = World(tmp_path)
    world.while_asleep = world.ring.remove
    world.run()
    assert "`turnctl init` has already removed the old secret" == world.said[-1]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (None, "http://127.0.0.1:8080"),
        ("http: {host: '::', port: 8081}", "http://127.0.0.1:8081"),
        ("http: {host: '2001:db8::1'}", "http://[2001:db8::1]:8080"),
        ("turn: {}", "http://127.0.0.1:8080"),
    ],
)
def test_where_the_service_is(tmp_path: Path, settings: str | None, url: str) -> None:
    """By its own settings, on this host."""
    if settings is not None:
        (tmp_path / "signalpost.yaml").write_text(settings)
    assert url == service_url(tmp_path)


@pytest.mark.parametrize("settings", ["http: [", "http: {port: x}", "[]"])
def test_settings_that_do_not_say(tmp_path: Path, settings: str) -> None:
    """The address has to be given then."""
    (tmp_path / "signalpost.yaml").write_text(settings)
    with pytest.raises(RotationError, match="give its address with --service"):
        service_url(tmp_path)
