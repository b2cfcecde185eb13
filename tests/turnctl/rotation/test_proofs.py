"""The proofs of a rotation, before a service and relays that say what the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from signalpost.credentials import Secret, mint, opaque_user_id
from turnctl.rotation.confirm import USER, Minted, ServiceClient, ServiceError
from turnctl.rotation.proofs import IdProof, KeyProof, RotationError, ServiceCheck, TurnProof
from turnctl.rotation.steps import Kind

OLD, NEW = Secret("0123456789abcdef0123456789abcdef"), Secret("fedcba9876543210fedcba9876543210")
URL = "http://127.0.0.1:8080"
STOPPED = ServiceError(f"the service at {URL} doesn't answer: Connection refused")


@dataclass
class Client:
    """A service that mints with `secret` for `user`, and accepts these bearers; or is `down`."""

    secret: Secret = OLD
    user: str = "somebody"
    bearers: set[str] | None = None
    down: ServiceError | None = None
    url: str = URL
    asked: list[str] = field(default_factory=list)

    def mint(self, bearer: str, *, user: bool = True) -> Minted:
        self.asked.append(bearer)
        if self.down is not None:
            raise self.down
        if self.bearers is not None and bearer not in self.bearers:
            raise ServiceError("the service answers 401: unknown key", 401)
        made = mint([self.secret], self.user, now=1_000_000, ttl=600)
        return Minted(("stun:192.0.2.1",), made.username, made.password, 600)

    def wait_for(self, condition: object, *, patience: float, must_answer: bool) -> bool:
        assert callable(condition)
        return bool(condition())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "api-key").write_text(OLD.reveal() + "\n")
    (tmp_path / "api-key").chmod(0o600)
    return tmp_path


def service(data: Path, client: Client, said: list[str], *, strict: bool = True) -> ServiceCheck:
    return ServiceCheck(data, cast(ServiceClient, client), said.append, strict)


def test_a_stopped_service_stops_the_rotation(data: Path) -> None:
    """The text says what to do, and what is valid."""
    check = service(data, Client(down=STOPPED), [])
    with pytest.raises(RotationError) as caught:
        check.require(lambda: bool(check.mint()), "", "Nothing was changed.", 0)
    assert (
        f"{STOPPED}. Start it and run this again, or give its address with --service URL. "
        "Nothing was changed."
    ) == str(caught.value)


def test_a_stopped_service_is_no_obstacle_to_a_revocation(data: Path) -> None:
    """It reads its files when it starts."""
    said: list[str] = []
    check = service(data, Client(down=STOPPED), said, strict=False)
    assert 0 == TurnProof(check).adopted(NEW)
    assert ["the service doesn't answer; it reads its files when it starts"] == said


def test_another_deployments_service(data: Path) -> None:
    """A 401 to the data directory's own key, even in a revocation."""
    check = service(data, Client(bearers=set()), [], strict=False)
    with pytest.raises(RotationError, match="It has other keys than this data directory"):
        TurnProof(check).adopted(NEW)


def test_the_service_reads_another_secret(data: Path) -> None:
    """It isn't one of the file: nothing is begun."""
    with pytest.raises(RotationError, match="mints with a secret that isn't in") as caught:
        TurnProof(service(data, Client(secret=NEW), [])).ready([OLD])
    assert str(caught.value).endswith("Nothing was changed.")


def test_the_service_mints_with_the_new_secret(data: Path) -> None:
    """The longest lifetime of its credentials is how long the old one stays."""
    said: list[str] = []
    assert 600 == TurnProof(service(data, Client(secret=NEW), said)).adopted(NEW)
    assert ["the service mints with the new secret"] == said


def test_the_service_stays_with_the_old_secret(data: Path) -> None:
    """Both are valid then."""
    with pytest.raises(RotationError, match="still mints with the old secret") as caught:
        TurnProof(service(data, Client(), [])).adopted(NEW)
    assert "both valid. Run this again to continue." in str(caught.value)


def test_clients_use_a_relay_that_is_elsewhere(data: Path) -> None:
    """This data directory has no relay: its secret can't be changed from here."""
    with pytest.raises(RotationError, match=r"clients use stun:192\.0\.2\.1, but no relay in"):
        TurnProof(service(data, Client(), [])).ready([OLD])


def test_an_api_key(data: Path) -> None:
    """The new one is accepted; the old one has to be rejected once it is removed."""
    said: list[str] = []
    client = Client(bearers={OLD.reveal(), NEW.reveal()})
    proof = KeyProof(service(data, client, said), Kind.API, lambda: 1_000_000)
    assert 0 == proof.adopted(NEW)
    with pytest.raises(RotationError, match="still accepts the old key: restart it"):
        proof.removed([OLD])
    client.bearers = {NEW.reveal()}
    proof.removed([OLD])
    assert ["the service accepts the new key", "the service rejects the old key"] == said


def test_a_token_key(data: Path) -> None:
    """It is proved by a token, which the service keeps accepting for as long as one can last."""
    said: list[str] = []
    client = Client()
    proof = KeyProof(service(data, client, said), Kind.TOKEN, lambda: 1_000_000)
    assert 86_400 == proof.adopted(NEW)
    (token,) = client.asked
    assert 2 == token.count(".")
    assert ["the service accepts tokens signed with the new key"] == said


def test_the_id_key(data: Path) -> None:
    """The user that the service makes of ours shows the key."""
    client = Client(user=opaque_user_id(NEW, f"user:{USER}"))
    proof = IdProof(service(data, client, []))
    proof.used(NEW, "Nothing was changed.", 0)
    with pytest.raises(RotationError, match="makes user ids with another key"):
        proof.used(OLD, "Nothing was changed.", 0)
