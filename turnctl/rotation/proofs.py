"""What has to be proved before a rotation continues, for each kind of secret.

A proof is a real allocation or a real answer of the service. A proof that fails raises
RotationError, which also says what is valid now: everything that was valid before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from signalpost import tokens
from signalpost.credentials import Secret, opaque_user_id
from signalpost.iceservers import parse_uri
from turnctl.rotation.confirm import (
    USER,
    Acceptance,
    Minted,
    RelayAnswer,
    ServiceClient,
    ServiceError,
    join_token,
    try_secret,
)
from turnctl.rotation.keyring import ConfiguredRelay, Keyring, configured_relays
from turnctl.rotation.steps import Kind

__all__ = [
    "PATIENCE",
    "QUICK",
    "IdProof",
    "KeyProof",
    "Proof",
    "RotationError",
    "ServiceCheck",
    "TurnProof",
]

PATIENCE = 20.0
"""Seconds for the service to notice a changed file (it looks every two), and for the service and
the relays to come back from a restart."""

QUICK = 3.0
"""Seconds for proofs before anything has changed: the operator waits, and nothing can be lost."""

UNCHANGED = "Nothing was changed."
BOTH = "The old and the new one are both valid. Run this again to continue."
NOT_RUNNING = "the service doesn't answer; it reads its files when it starts"

Say = Callable[[str], None]
"""Prints one line for the operator."""


class RotationError(Exception):
    """The rotation can't continue. The text says why, what to do and what is valid now."""


class Proof(Protocol):
    """The proofs for one kind of secret, in the order of the rotation. Each raises RotationError or
    files.Unusable. Lifetimes are in seconds."""

    def ready(self, values: Sequence[Secret]) -> int:
        """Before anything changes: all programs run and use `values`. Returns the longest lifetime
        of what they make with them."""
        ...

    def verified(self, new: Secret) -> None:
        """The relays accept what is made with the new value."""
        ...

    def adopted(self, new: Secret) -> int:
        """Nothing is made with another value any more. Returns the longest lifetime."""
        ...

    def removed(self, old: Sequence[Secret]) -> None:
        """Nothing accepts what was made with the old values any more."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceCheck:
    """Checks what the service does. Unless `strict`, a stopped service or relay is passed over: it
    reads the files when it starts."""

    directory: Path
    client: ServiceClient
    say: Say
    strict: bool = True

    @property
    def url(self) -> str:
        return self.client.url

    def mint(self) -> Minted:
        """A credential from the service. The API key is read again each time, since it may be
        rotated meanwhile. Raises ServiceError and files.Unusable."""
        key = Keyring(self.directory, Kind.API).progress(0).values[0]
        return self.client.mint(key.reveal())

    def accepts(self, bearer: str, *, user: bool) -> bool:
        """Whether the service accepts this key or token. Raises ServiceError."""
        try:
            self.client.mint(bearer, user=user)
        except ServiceError as error:
            if error.status == 401:
                return False
            raise
        return True

    def require(
        self, condition: Callable[[], bool], problem: str, state: str, patience: float
    ) -> bool:
        """Wait until the condition holds. False if the service is stopped and may be.

        Raises RotationError with the problem and the state if the condition never holds.
        """
        try:
            if self.client.wait_for(condition, patience=patience, must_answer=self.strict):
                return True
        except ServiceError as error:
            if self.strict or error.status is not None:
                raise RotationError(f"{error}. {_remedy(error)} {state}") from error
            return False
        raise RotationError(f"{problem}. {state}")


def _remedy(error: ServiceError) -> str:
    if error.status is None:
        return "Start it and run this again, or give its address with --service URL."
    if error.status == 401:
        return "It has other keys than this data directory: give its own directory with --dir."
    return "See its log."


@dataclass(slots=True)
class TurnProof:
    """Each relay grants an allocation to a credential from the new secret, then the service mints
    with it."""

    service: ServiceCheck
    _minted: Minted | None = None
    """The service's last credential."""

    def ready(self, values: Sequence[Secret]) -> int:
        problem = (
            f"the service at {self.service.url} mints with a secret that isn't in "
            f"{self.service.directory / Kind.TURN}: it reads another file"
        )
        self.service.require(lambda: self._mint().made_with(values), problem, UNCHANGED, QUICK)
        answers = self._try(
            values[0], lambda answers: not self._unserved(answers, _is_running), QUICK
        )
        self._require_served(answers, _is_running, UNCHANGED)
        return self._minted.ttl if self._minted else 0

    def verified(self, new: Secret) -> None:
        if self._minted is None:
            self.service.require(lambda: bool(self._mint()), "", BOTH, PATIENCE)
        answers = self._try(
            new,
            lambda answers: any(map(_rejects, answers)) or not self._unserved(answers, _accepts),
            PATIENCE,
        )
        for answer in answers:
            name = answer.relay.name
            if _rejects(answer):
                raise RotationError(
                    f"{name} rejects the new secret ({answer.detail}): it doesn't read "
                    f"{answer.relay.home}/turndb, or that file was replaced while it ran. "
                    f"Restart {name}. {BOTH}"
                )
            if _accepts(answer):
                self.service.say(f"{name} accepts the new secret: {answer.detail}")
        self._require_served(answers, _accepts, BOTH)
        if not any(map(_accepts, answers)):
            self.service.say(
                "no relay answers; each has the new secret in the database that it reads when it "
                "starts"
            )

    def adopted(self, new: Secret) -> int:
        adopted = self.service.require(
            lambda: self._mint().made_with([new]),
            f"the service at {self.service.url} still mints with the old secret",
            BOTH,
            PATIENCE,
        )
        self.service.say("the service mints with the new secret" if adopted else NOT_RUNNING)
        return self._minted.ttl if self._minted else 0

    def removed(self, old: Sequence[Secret]) -> None:
        for secret in old:
            for answer in self._try(
                secret, lambda answers: not any(map(_accepts, answers)), PATIENCE
            ):
                name = answer.relay.name
                if _accepts(answer):
                    raise RotationError(
                        f"{name} still accepts the removed secret: it reads another database, or "
                        "its configuration has a static-auth-secret. Run `turnctl init` and "
                        f"restart {name}."
                    )
                if _rejects(answer):
                    self.service.say(f"{name} rejects the old secret")

    def _mint(self) -> Minted:
        self._minted = self.service.mint()
        return self._minted

    def _try(
        self, secret: Secret, enough: Callable[[Sequence[RelayAnswer]], bool], patience: float
    ) -> tuple[RelayAnswer, ...]:
        relays = configured_relays(self.service.directory)
        patience = patience if self.service.strict else 0
        return try_secret(relays, secret, enough=enough, patience=patience)

    def _unserved(
        self, answers: Sequence[RelayAnswer], serves: Callable[[RelayAnswer], bool]
    ) -> list[tuple[str, list[RelayAnswer]]]:
        """The clients' URLs that no relay serves, each with the answers of the relays behind it."""
        unserved = []
        for url in self._minted.urls if self._minted else ():
            behind = [answer for answer in answers if _is_behind(answer.relay, url)]
            if not any(map(serves, behind)):
                unserved.append((url, behind))
        return unserved

    def _require_served(
        self, answers: Sequence[RelayAnswer], serves: Callable[[RelayAnswer], bool], state: str
    ) -> None:
        if not self.service.strict:
            return
        for url, behind in self._unserved(answers, serves):
            if not behind:
                raise RotationError(
                    f"clients use {url}, but no relay in {self.service.directory} serves it: its "
                    f"secret can't be changed from here. {state}"
                )
            details = ", ".join(f"{answer.relay.name}: {answer.detail}" for answer in behind)
            raise RotationError(f"no relay for {url} answers ({details}). Start it. {state}")


def _is_running(answer: RelayAnswer) -> bool:
    return answer.acceptance is not Acceptance.UNKNOWN


def _rejects(answer: RelayAnswer) -> bool:
    return answer.acceptance is Acceptance.REJECTED


def _accepts(answer: RelayAnswer) -> bool:
    return answer.acceptance is Acceptance.ACCEPTED


def _is_behind(relay: ConfiguredRelay, url: str) -> bool:
    """Whether clients with this URL reach this relay. Those with TLS come through the edge. A name
    is taken to mean this host."""
    uri = parse_uri(url)
    if uri.address is not None and str(uri.address) not in relay.addresses:
        return False
    return relay.proxied if uri.secure else not relay.proxied and relay.port == uri.port


@dataclass(frozen=True, slots=True)
class KeyProof:
    """The service accepts the new API key, or tokens that the new token key signed."""

    service: ServiceCheck
    kind: Kind
    now: Callable[[], float]

    def ready(self, values: Sequence[Secret]) -> int:
        self._require_accepted(values[0], "first", UNCHANGED, QUICK)
        return self._longest

    def verified(self, new: Secret) -> None:
        """No relay reads these keys."""

    def adopted(self, new: Secret) -> int:
        adopted = self._require_accepted(new, "new", BOTH, PATIENCE)
        self.service.say(f"the service accepts {self._what('new')}" if adopted else NOT_RUNNING)
        return self._longest

    def removed(self, old: Sequence[Secret]) -> None:
        if self.service.require(
            lambda: not any(map(self._is_accepted, old)),
            f"the service at {self.service.url} still accepts {self._what('old')}: restart it",
            f"{self.kind} no longer holds it.",
            PATIENCE,
        ):
            self.service.say(f"the service rejects {self._what('old')}")

    @property
    def _longest(self) -> int:
        return tokens.MAX_TTL if self.kind is Kind.TOKEN else 0

    def _what(self, which: str) -> str:
        key = f"the {which} key"
        return key if self.kind is Kind.API else f"tokens signed with {key}"

    def _require_accepted(self, key: Secret, which: str, state: str, patience: float) -> bool:
        problem = f"the service at {self.service.url} rejects {self._what(which)} in {self.kind}"
        return self.service.require(lambda: self._is_accepted(key), problem, state, patience)

    def _is_accepted(self, key: Secret) -> bool:
        if self.kind is Kind.API:
            return self.service.accepts(key.reveal(), user=True)
        return self.service.accepts(join_token(key, self.now()), user=False)


@dataclass(frozen=True, slots=True)
class IdProof:
    """The service makes users' ids with the key in the file."""

    service: ServiceCheck

    def used(self, key: Secret, state: str, patience: float) -> None:
        """Raises RotationError if it makes them with another one."""
        expected = opaque_user_id(key, f"user:{USER}")
        problem = f"the service at {self.service.url} makes user ids with another key than id-key's"
        self.service.require(lambda: self.service.mint().user == expected, problem, state, patience)
