"""What has to be proven before a rotation may go on, for each kind of secret.

A proof is a real allocation or a real answer of the service; what fails becomes one message that
says what is still valid, which is everything. Owns the expectations and the words. Refuses to
change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

from signalpost.credentials import Secret, opaque_user_id
from signalpost.iceservers import parse_uri
from turnctl.commands.errors import Failure
from turnctl.host import files
from turnctl.rotation.confirm import (
    USER,
    Answer,
    Minted,
    NoAnswer,
    Reception,
    Service,
    offer,
    token,
)
from turnctl.rotation.keyring import Keyring, Relay, relays
from turnctl.rotation.steps import LONGEST_TOKEN, Kind

__all__ = ["PATIENCE", "QUICK", "Asking", "IdProof", "KeyProof", "Proof", "TurnProof"]

PATIENCE = 20.0
"""Seconds for the service to notice a changed file, which it looks for every two, and for it and
the relays to come back from a restart."""

QUICK = 3.0
"""Seconds before anything was changed: whoever has typed the command waits, and loses nothing."""

UNCHANGED = "nothing was changed"
NOT_THERE = "the service does not answer; it reads its files when it starts"
BOTH = "the old and the new one are both valid; run this again to go on"


class Proof(Protocol):
    """Of one kind. Each raises Failure."""

    def ready(self, values: Sequence[Secret]) -> int:
        """Everything that a rotation needs is there. The longest lifetime of what is made with
        the values, in seconds."""
        ...

    def verified(self, new: Secret) -> None:
        """Whoever verifies takes what is made with the new value."""
        ...

    def adopted(self, new: Secret) -> int:
        """From now on nothing is made with another value. The longest lifetime, in seconds."""
        ...

    def gone(self, old: Sequence[Secret]) -> None:
        """Nobody takes what is made with the old values any more."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """Questions to the service. Without `strict`, an absent part is told and passed: it reads the
    files when it starts."""

    directory: Path
    service: Service
    strict: bool = True

    @property
    def api_key(self) -> str:
        """Read anew each time: it may be rotated meanwhile."""
        try:
            return Keyring(self.directory, Kind.API).standing(0).values[0].reveal()
        except files.Unusable as error:
            raise Failure(str(error)) from error

    def accepted(self, bearer: str, *, user: bool) -> bool:
        """Whether the service takes this key or token. Raises NoAnswer."""
        try:
            self.service.minted(bearer, user=user)
        except NoAnswer as error:
            if error.status == 401:
                return False
            raise
        return True

    def comes_to(
        self, question: Callable[[], bool], no: str, standing: str, patience: float
    ) -> bool:
        """Wait for a yes. Raises Failure, which says `no` and how things stand; False when the
        service is not there and need not be."""
        try:
            if self.service.comes_to(question, patience=patience, insist=self.strict):
                return True
        except NoAnswer as error:
            if self.strict or error.status is not None:
                raise Failure(f"{error}; {_cure(error)}; {standing}") from error
            return False
        raise Failure(f"{no}; {standing}")


def _cure(error: NoAnswer) -> str:
    if error.status is None:
        return "start it and run this again, or tell where it is with --service URL"
    if error.status == 401:
        return "it has other keys than this data directory: give its own with --dir"
    return "its log tells more"


@dataclass(slots=True)
class TurnProof:
    """A credential of the new secret gets an allocation, then the service mints with it."""

    asking: Asking
    _minted: Minted | None = None
    """What the service handed out last."""

    def ready(self, values: Sequence[Secret]) -> int:
        no = (
            f"the service at {self.asking.service.url} mints with a secret that is not in "
            f"{self.asking.directory / Kind.TURN}: it reads another file"
        )
        self.asking.comes_to(lambda: self._mint().by(values), no, UNCHANGED, QUICK)
        answers = self._offer(
            values[0], lambda answers: not self._lacking(answers, _running), QUICK
        )
        self._demand(answers, _running, UNCHANGED)
        return self._minted.ttl if self._minted else 0

    def verified(self, new: Secret) -> None:
        if self._minted is None:
            self.asking.comes_to(lambda: bool(self._mint()), "", BOTH, PATIENCE)
        answers = self._offer(
            new,
            lambda answers: any(map(_refusing, answers)) or not self._lacking(answers, _taking),
            PATIENCE,
        )
        for answer in answers:
            name, how = answer.relay.name, answer.reception
            if how is Reception.REFUSED:
                raise Failure(
                    f"{name} refuses the new secret ({answer.detail}): it does not read "
                    f"{answer.relay.home}/turndb, or that was replaced while it ran; restart it; "
                    f"{BOTH}"
                )
            if how is Reception.TAKEN:
                click.echo(f"{name} takes it: {answer.detail}")
        self._demand(answers, _taking, BOTH)
        if not any(map(_taking, answers)):
            click.echo("no relay answers; each has it in its database for when it starts")

    def adopted(self, new: Secret) -> int:
        no = f"the service at {self.asking.service.url} goes on minting with the old secret"
        adopted = self.asking.comes_to(lambda: self._mint().by([new]), no, BOTH, PATIENCE)
        click.echo("the service mints with it" if adopted else NOT_THERE)
        return self._minted.ttl if self._minted else 0

    def gone(self, old: Sequence[Secret]) -> None:
        for secret in old:
            for answer in self._offer(
                secret, lambda answers: not any(map(_taking, answers)), PATIENCE
            ):
                name = answer.relay.name
                if _taking(answer):
                    raise Failure(
                        f"{name} still takes the removed secret: its database is another one, or a "
                        "static-auth-secret stands in its configuration; run `turnctl init` and "
                        f"restart {name}"
                    )
                if answer.reception is Reception.REFUSED:
                    click.echo(f"{name} refuses the old secret")

    def _mint(self) -> Minted:
        self._minted = self.asking.service.minted(self.asking.api_key)
        return self._minted

    def _offer(
        self, secret: Secret, enough: Callable[[Sequence[Answer]], bool], patience: float
    ) -> tuple[Answer, ...]:
        try:
            found = relays(self.asking.directory)
        except files.Unusable as error:
            raise Failure(str(error)) from error
        return offer(found, secret, enough=enough, patience=patience if self.asking.strict else 0)

    def _lacking(
        self, answers: Sequence[Answer], fit: Callable[[Answer], bool]
    ) -> list[tuple[str, list[Answer]]]:
        """The URLs that clients are given and behind which no relay is fit, with its answers."""
        lacking = []
        for url in self._minted.urls if self._minted else ():
            behind = [answer for answer in answers if _serves(answer.relay, url)]
            if not any(map(fit, behind)):
                lacking.append((url, behind))
        return lacking

    def _demand(
        self, answers: Sequence[Answer], fit: Callable[[Answer], bool], standing: str
    ) -> None:
        if not self.asking.strict:
            return
        for url, behind in self._lacking(answers, fit):
            if not behind:
                raise Failure(
                    f"clients are sent to {url}, and no relay of {self.asking.directory} is there: "
                    f"its secret cannot be changed from here; {standing}"
                )
            told = ", ".join(f"{answer.relay.name}: {answer.detail}" for answer in behind)
            raise Failure(f"no relay for {url} answers ({told}); start it; {standing}")


def _running(answer: Answer) -> bool:
    return answer.reception is not Reception.OUT


def _refusing(answer: Answer) -> bool:
    return answer.reception is Reception.REFUSED


def _taking(answer: Answer) -> bool:
    return answer.reception is Reception.TAKEN


def _serves(relay: Relay, url: str) -> bool:
    """Whether clients that follow this URL end at this relay: over TLS they come by the edge. A
    name is taken to lead to this host."""
    uri = parse_uri(url)
    if uri.address is not None and str(uri.address) not in relay.addresses:
        return False
    return relay.proxied if uri.secure else not relay.proxied and relay.port == uri.port


@dataclass(frozen=True, slots=True)
class KeyProof:
    """The service accepts what the new key, of kind API or TOKEN, stands for."""

    asking: Asking
    kind: Kind
    now: Callable[[], float]

    @property
    def what(self) -> str:
        return "the {} key" if self.kind is Kind.API else "tokens that the {} key signed"

    def ready(self, values: Sequence[Secret]) -> int:
        self._accepts(values[0], "first", UNCHANGED, QUICK)
        return self._longest

    def verified(self, new: Secret) -> None:
        """There is nobody else to ask."""

    def adopted(self, new: Secret) -> int:
        adopted = self._accepts(new, "new", BOTH, PATIENCE)
        click.echo(f"the service accepts {self.what.format('new')}" if adopted else NOT_THERE)
        return self._longest

    def gone(self, old: Sequence[Secret]) -> None:
        what = self.what.format("old")
        if self.asking.comes_to(
            lambda: not any(map(self._accepted, old)),
            f"the service at {self.asking.service.url} still accepts {what}: restart it",
            f"it is out of {self.kind}",
            PATIENCE,
        ):
            click.echo(f"the service refuses {what}")

    @property
    def _longest(self) -> int:
        return LONGEST_TOKEN if self.kind is Kind.TOKEN else 0

    def _accepts(self, key: Secret, which: str, standing: str, patience: float) -> bool:
        no = f"the service at {self.asking.service.url} refuses {self.what.format(which)}"
        return self.asking.comes_to(
            lambda: self._accepted(key), f"{no} of {self.kind}", standing, patience
        )

    def _accepted(self, key: Secret) -> bool:
        if self.kind is Kind.API:
            return self.asking.accepted(key.reveal(), user=True)
        return self.asking.accepted(token(key, self.now()), user=False)


@dataclass(frozen=True, slots=True)
class IdProof:
    """The service makes users' ids with the key."""

    asking: Asking

    def holds(self, key: Secret, standing: str, patience: float) -> None:
        """Raises Failure when it makes them with another one."""
        asking = self.asking
        expected = opaque_user_id(key, f"user:{USER}")
        no = f"the service at {asking.service.url} makes user ids with another key than id-key's"
        asking.comes_to(
            lambda: asking.service.minted(asking.api_key).user == expected, no, standing, patience
        )
